//! The first moments of a connection: what it starts with, which filter chain serves it, the TLS handshake.
//!
//! Called by the accept loop in the connection's own task. Promises: a connection that says nothing, or not what it should, is closed within the
//! listener's and the chain's patience, and counted by Envoy's name; like Envoy, without a word to a client that does not speak TLS.

use crate::config::model::{FilterChain, Listener};
use crate::listener::chains::{self, Greeting};
use crate::listener::client::Client;
use crate::listener::stream::Stream;
use crate::peer::Certificate;
use crate::state::State;
use crate::stats::Reasons;
use crate::tls::counts;
use crate::tls::facts;
use crate::tls::material::suite_name;
use rustls::server::Acceptor;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

/// First byte of a TLS handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A connection before it is served: its bytes, or its hello already read.
enum Arrived {
    Raw(TcpStream),
    Hello(Box<StartHandshake<TcpStream>>),
}

/// Chooses the filter chain and shakes hands; None when the connection is over.
pub async fn greet<'a>(
    state: &State,
    listener: &'a Listener,
    stream: TcpStream,
    client: &mut Client,
    numbers: &Reasons,
) -> Option<(Stream, &'a FilterChain)> {
    let mut greeting = Greeting { port: client.local.port(), ..Greeting::default() };
    let arrived = if listener.inspect { inspect(listener, stream, &mut greeting, numbers).await? } else { Arrived::Raw(stream) };
    let Some(chain) = chains::choose(listener, &greeting) else {
        numbers.add("no_filter_chain_match");
        return None;
    };
    let Some(tls) = chain.tls else {
        return match arrived {
            Arrived::Raw(stream) => Some((Stream::Plain(stream), chain)),
            // A hello where plain text is spoken.
            Arrived::Hello(_) => None,
        };
    };
    let server = state.tls().servers.get(tls)?.clone();
    let shaking = async {
        let hello = match arrived {
            Arrived::Hello(hello) => *hello,
            Arrived::Raw(stream) => hello(stream).await?,
        };
        let config = server.for_client(&hello.client_hello());
        hello.into_stream(config).await
    };
    match timeout(chain.handshake, shaking).await {
        Ok(Ok(stream)) => {
            note(&stream, client, numbers);
            Some((Stream::Tls(Box::new(stream.into())), chain))
        }
        Ok(Err(error)) => {
            let words = counts::failed(numbers, &error);
            tracing::debug!(peer = %client.remote, %error, "{words}");
            None
        }
        Err(_) => {
            numbers.add("ssl.connection_error");
            None
        }
    }
}

/// Looks at what the connection starts with, within the listener's patience.
async fn inspect(listener: &Listener, stream: TcpStream, greeting: &mut Greeting, numbers: &Reasons) -> Option<Arrived> {
    let patience = listener.patience.unwrap_or(Duration::MAX);
    match timeout(patience, first_byte(&stream)).await {
        Ok(Ok(HANDSHAKE)) => {}
        Ok(Ok(_)) => return Some(Arrived::Raw(stream)),
        Ok(Err(_)) => return None,
        Err(_) => {
            numbers.add("downstream_pre_cx_timeout");
            return listener.impatient.then_some(Arrived::Raw(stream));
        }
    }
    let start = match timeout(patience, hello(stream)).await {
        Ok(Ok(start)) => start,
        Ok(Err(_)) => {
            numbers.add("ssl.connection_error");
            return None;
        }
        Err(_) => {
            numbers.add("downstream_pre_cx_timeout");
            return None;
        }
    };
    let said = start.client_hello();
    greeting.tls = true;
    greeting.server_name = said.server_name().unwrap_or_default().to_ascii_lowercase();
    greeting.protocols = said.alpn().into_iter().flatten().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    Some(Arrived::Hello(Box::new(start)))
}

/// The first byte, left where it is.
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

/// Reads a client's hello.
async fn hello(stream: TcpStream) -> io::Result<StartHandshake<TcpStream>> {
    if first_byte(&stream).await? != HANDSHAKE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a TLS handshake"));
    }
    LazyConfigAcceptor::new(Acceptor::default(), stream).await
}

/// What the handshake settled goes into the client and the numbers.
fn note(stream: &TlsStream<TcpStream>, client: &mut Client, numbers: &Reasons) {
    let (_, tls) = stream.get_ref();
    let certificate = tls.peer_certificates().and_then(|chain| chain.first());
    counts::shaken(numbers, tls, tls.negotiated_cipher_suite(), certificate.is_none());
    client.tls = true;
    client.server_name = tls.server_name().map(str::to_owned);
    client.alpn_http2 = tls.alpn_protocol().map(|p| p == b"h2");
    client.tls_version = Some(counts::version(tls.protocol_version()));
    client.tls_cipher = tls.negotiated_cipher_suite().map(suite_name);
    client.certificate = certificate.map(|der| Certificate::new(der, facts::peer));
}

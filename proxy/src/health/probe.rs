//! One health check of one endpoint: asks, and says how it went. Called by [`super::active`], on the main thread; each check has a connection of its own.

use crate::config::model::Probe;
use crate::listener::stream::Stream;
use crate::tls::client::Client;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most bytes read of an answer.
const MOST: usize = 64 << 10;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Well.
    Well,
    /// Not well; some of these in a row make an endpoint unhealthy.
    Failed,
    /// The endpoint says itself that it is not well: at once.
    Refused,
}

/// Asks within the time.
pub async fn ask(probe: &Probe, cluster: &str, address: SocketAddr, tls: Option<Arc<Client>>, timeout: Duration) -> Finding {
    let asking = async {
        let (stream, http2) = open(address, tls).await?;
        match probe {
            Probe::Tcp { send, receive } => tcp(stream, send, receive).await.map(|()| Finding::Well),
            Probe::Http { .. } => http(probe, cluster, stream, http2).await,
            Probe::Grpc { service, authority } => grpc(service, named(authority, cluster), stream).await,
        }
    };
    tokio::time::timeout(timeout, asking).await.ok().and_then(Result::ok).unwrap_or(Finding::Failed)
}

/// A connection as the cluster's requests have it, and whether its handshake settled on HTTP/2.
async fn open(address: SocketAddr, tls: Option<Arc<Client>>) -> io::Result<(Stream, bool)> {
    let stream = TcpStream::connect(address).await?;
    let Some(client) = tls else { return Ok((Stream::Plain(stream), false)) };
    let (config, name) = client.towards(address.ip(), None);
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Stream::Tls(Box::new(stream.into())), http2))
}

fn named<'a>(name: &'a str, cluster: &'a str) -> &'a str {
    if name.is_empty() { cluster } else { name }
}

async fn tcp(mut stream: Stream, send: &[u8], receive: &[Vec<u8>]) -> io::Result<()> {
    stream.write_all(send).await?;
    let mut heard = Vec::new();
    while !in_order(&heard, receive) {
        if heard.len() >= MOST || stream.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Whether all parts stand in the text, each after the one before.
fn in_order(text: &[u8], parts: &[Vec<u8>]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| {
        let found = rest.windows(part.len().max(1)).position(|w| w == part.as_slice());
        rest = found.map_or(&[], |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

async fn http(probe: &Probe, cluster: &str, stream: Stream, settled: bool) -> io::Result<Finding> {
    let Probe::Http { host, path, method, http2, expected, retriable } = probe else { return Ok(Finding::Failed) };
    let host = named(host, cluster);
    let request = Request::builder().method(method.clone()).header(USER_AGENT, "Foreshadow/HC");
    let request = if *http2 || settled {
        request.version(Version::HTTP_2).uri(format!("http://{host}{path}"))
    } else {
        request.uri(path.as_str()).header(HOST, host)
    };
    let answer = send(request.body(Full::default()).map_err(io::Error::other)?, stream).await?;
    let status = answer.status().as_u16();
    let within = |ranges: &[(u16, u16)]| ranges.iter().any(|(from, to)| (*from..*to).contains(&status));
    Ok(if (expected.is_empty() && status == 200) || within(expected) {
        Finding::Well
    } else if within(retriable) {
        Finding::Failed
    } else {
        Finding::Refused
    })
}

async fn send(request: Request<Full<Bytes>>, stream: Stream) -> io::Result<Response<Incoming>> {
    let io = TokioIo::new(stream);
    if request.version() == Version::HTTP_2 {
        let (mut send, driver) = http2::handshake(TokioExecutor::new(), io).await.map_err(io::Error::other)?;
        tokio::spawn(driver);
        return send.send_request(request).await.map_err(io::Error::other);
    }
    let (mut send, driver) = http1::handshake(io).await.map_err(io::Error::other)?;
    tokio::spawn(driver);
    send.send_request(request).await.map_err(io::Error::other)
}

/// gRPC's health checking protocol: `HealthCheckRequest { string service = 1 }`, `HealthCheckResponse { ServingStatus status = 1 }`, SERVING = 1.
async fn grpc(service: &str, authority: &str, stream: Stream) -> io::Result<Finding> {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "Foreshadow/HC")
        .body(Full::new(check_request(service)))
        .map_err(io::Error::other)?;
    let answer = send(request, stream).await?;
    let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(io::Error::other)?;
    let well = body.trailers().and_then(|t| t.get("grpc-status")).is_some_and(|s| s == "0");
    Ok(if well && is_serving(&body.to_bytes()) { Finding::Well } else { Finding::Failed })
}

/// A message frame with the service's name.
fn check_request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// Whether a message frame says SERVING: its first field is the status.
fn is_serving(frame: &[u8]) -> bool {
    matches!(frame, [0, _, _, _, _, 0x08, 1, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_order() {
        let of = |text: &str, parts: &[&str]| in_order(text.as_bytes(), &parts.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>());
        assert!(of("+PONG\r\n", &["PONG"]) && of("a-b-c", &["a", "c"]) && of("", &[]));
        assert!(!of("c-a", &["a", "c"]) && !of("aa", &["aa", "a"]) && !of("", &["a"]));
    }

    #[test]
    fn grpc_messages() {
        assert_eq!(&check_request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&check_request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(check_request(&"x".repeat(300))[5..8], [0x0a, 0xac, 0x02]);
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]) && !is_serving(&[0, 0, 0, 0, 2, 8, 2]) && !is_serving(&[0, 0, 0, 0, 0]));
    }
}

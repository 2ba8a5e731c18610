//! HTTP/2 of the client.

use crate::scene::H2Request;
use crate::transcript::{head, shown};
use crate::wire::PATIENCE;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Request};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// An HTTP/2 connection with prior knowledge.
pub struct H2 {
    send: SendRequest<Bytes>,
}

impl H2 {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (send, connection) = h2::client::Builder::new().initial_window_size(1 << 20).handshake(stream).await.ok()?;
        tokio::spawn(async move {
            // Its end shows in the requests on it.
            let _ = connection.await;
        });
        Some(Self { send })
    }

    /// One request and what came back.
    pub async fn ask(&mut self, request: &H2Request) -> Vec<String> {
        match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => vec![format!("client: HTTP/2 {}", named(&error))],
            Err(_) => vec!["client: no answer".into()],
        }
    }

    async fn exchange(&mut self, request: &H2Request) -> Result<Vec<String>, h2::Error> {
        let uri = format!("http://{}{}", request.authority, request.path);
        let mut built = Request::builder().method(request.method).uri(uri).version(http::Version::HTTP_2);
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        let Ok(built) = built.body(()) else { return Ok(vec!["client: the scene's request is not valid".into()]) };
        let mut ready = self.send.clone().ready().await?;
        let ends = request.body.is_none() && request.trailers.is_empty() && request.reset_after.is_none();
        let (answer, mut stream) = ready.send_request(built, ends)?;
        if let Some(body) = request.body.clone() {
            send(&mut stream, body, request.trailers.is_empty() && request.reset_after.is_none()).await;
        }
        if !request.trailers.is_empty() {
            let pairs = request.trailers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            stream.send_trailers(pairs.collect())?;
        }
        if let Some(ms) = request.reset_after {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            stream.send_reset(Reason::CANCEL);
            return Ok(vec!["client: resets the stream".into()]);
        }
        let (parts, body) = answer.await?.into_parts();
        let mut text = format!("HTTP/2 {}\r\n", parts.status.as_u16());
        for (name, value) in &parts.headers {
            let _ = write!(text, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
        }
        let mut lines = vec!["client: answer".to_owned()];
        lines.extend(head(&text));
        lines.extend(read(body).await);
        Ok(lines)
    }
}

async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, ends: bool) {
    if body.is_empty() && ends {
        // The stream's end is all there is to say.
        let _ = stream.send_data(body, true);
        return;
    }
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(n)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        let part = body.split_to(n.min(body.len()));
        let last = ends && body.is_empty();
        if stream.send_data(part, last).is_err() {
            return;
        }
    }
}

async fn read(mut body: RecvStream) -> Vec<String> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        match chunk {
            Ok(chunk) => {
                // Capacity that cannot be given back belongs to a stream that is over.
                let _ = body.flow_control().release_capacity(chunk.len());
                bytes.extend_from_slice(&chunk);
            }
            Err(error) => return vec![format!("  body, cut by {}: {}", named(&error), shown(&bytes))],
        }
    }
    let mut lines = if bytes.is_empty() { Vec::new() } else { vec![format!("  body: {}", shown(&bytes))] };
    if let Ok(Some(trailers)) = body.trailers().await {
        lines.extend(trailers.iter().map(|(n, v)| format!("  trailer {n}: {}", String::from_utf8_lossy(v.as_bytes()))));
    }
    lines
}

fn named(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_reset() => format!("stream reset, {reason:?}"),
        Some(reason) => format!("connection error, {reason:?}"),
        None => "connection closed".into(),
    }
}

//! HTTP clients for tests: one connection each, so that a test knows which connection carries what.

use bytes::Bytes;
use http::request::Builder;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer takes longer in these tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Body of a request.
pub type Body = BoxBody<Bytes, Infallible>;

enum Send {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// One connection.
pub struct Client {
    send: Send,
    /// What requests say in `host`.
    pub host: String,
}

/// An answer read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// No body.
pub fn empty() -> Body {
    Empty::new().boxed()
}

/// A body in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

impl Client {
    pub async fn h1(address: SocketAddr) -> Self {
        Self::try_h1(address).await.expect("the proxy accepts")
    }

    pub async fn try_h1(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        Ok(Self::h1_on(stream).await)
    }

    /// HTTP/1.1 on a connection that stands.
    pub async fn h1_on(stream: impl AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static) -> Self {
        let (send, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { send: Send::H1(send), host: "app.test".into() }
    }

    pub async fn h2(address: SocketAddr) -> Self {
        Self::h2_on(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/2 on a connection that stands.
    pub async fn h2_on(stream: impl AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static) -> Self {
        let (send, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { send: Send::H2(send), host: "app.test".into() }
    }

    /// A request in the form this connection wants.
    pub fn request(&self, method: &str, path: &str) -> Builder {
        match self.send {
            Send::H1(_) => Request::builder().method(method).uri(path).header("host", &self.host),
            Send::H2(_) => Request::builder().method(method).uri(format!("http://{}{path}", self.host)),
        }
    }

    /// Sends; the answer's body is still to be read.
    pub async fn start(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let sending = async {
            match &mut self.send {
                Send::H1(send) => {
                    send.ready().await?;
                    send.send_request(request).await
                }
                Send::H2(send) => {
                    send.ready().await?;
                    send.send_request(request).await
                }
            }
        };
        tokio::time::timeout(PATIENCE, sending).await.expect("the head of an answer in time")
    }

    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        let (head, body) = self.start(request).await?.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the body in time")?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request("GET", path).body(empty()).unwrap();
        self.send(request).await.expect("an answer")
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.request("POST", path).body(full(body)).unwrap();
        self.send(request).await.expect("an answer")
    }

    /// Whether the peer has closed the connection.
    pub fn is_closed(&self) -> bool {
        match &self.send {
            Send::H1(send) => send.is_closed(),
            Send::H2(send) => send.is_closed(),
        }
    }
}

/// Sends bytes; everything that comes until the proxy closes, or nothing comes for a while.
pub async fn say(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The proxy may have closed before everything is sent.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
        said.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < until, "did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

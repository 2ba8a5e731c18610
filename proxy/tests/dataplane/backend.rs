//! Applications and shadows for tests. What a request does stands in its path:
//! `/status/N`, `/wait/MS`, `/bytes/N`, `/echo` (streams the body back), `/close` (closes the connection after the answer);
//! `/flaky/N`, `/reset/N`, `/stall/N` (the first N requests of that path are answered 503, not at all, after a minute; the others 200);
//! everything else is answered 200 with the backend's name.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as the backend saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authority: String,
    pub headers: http::HeaderMap,
    pub version: http::Version,
    /// Empty for `/echo`, whose body goes straight back.
    pub body: Bytes,
    pub trailers: http::HeaderMap,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Default)]
struct Shared {
    name: &'static str,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// A running backend; gone with everything it holds when dropped.
pub struct Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Backend {
    /// An application that answers.
    pub async fn start(name: &'static str) -> Self {
        Self::start_at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(name: &'static str, address: SocketAddr) -> Self {
        Self::accept(name, address, |stream, shared| async move {
            let service = service_fn(|request| answer(shared.clone(), request));
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// An application behind TLS.
    pub async fn start_tls(name: &'static str, config: Arc<rustls::ServerConfig>) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        Self::accept(name, "127.0.0.1:0".parse().unwrap(), move |stream, shared| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| answer(shared.clone(), request));
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// Accepts and never reads.
    pub async fn stuck() -> Self {
        Self::accept("stuck", "127.0.0.1:0".parse().unwrap(), |stream, _| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Answers the first request of a connection, says nothing of closing, and closes when the second arrives.
    pub async fn closing_on_second() -> Self {
        Self::accept("closing", "127.0.0.1:0".parse().unwrap(), |mut stream, _| async move {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst").await;
                let _ = stream.read(&mut buffer).await;
            }
        })
        .await
    }

    async fn accept<F>(name: &'static str, address: SocketAddr, each: impl Fn(TcpStream, Arc<Shared>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = {
            let until = tokio::time::Instant::now() + super::client::PATIENCE;
            loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    // The backend before it at this address is just going away.
                    Err(error) => assert!(tokio::time::Instant::now() < until, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { name, ..Shared::default() });
        let of = shared.clone();
        let accepting = tokio::spawn(async move {
            let mut held = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                of.connections.fetch_add(1, Ordering::Relaxed);
                held.spawn(each(stream, of.clone()));
            }
        });
        Self { address, shared, accepting }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// Frames at hand.
struct Frames(std::collections::VecDeque<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("as the path asks for")]
struct Failure;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (action, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number: usize = argument.parse().unwrap_or_default();
    let (mut echo, mut read, mut trailers) = (None, Bytes::new(), http::HeaderMap::new());
    if action == "echo" {
        echo = Some(body);
    } else {
        let whole = body.collect().await.map_err(|_| Failure)?;
        trailers = whole.trailers().cloned().unwrap_or_default();
        read = whole.to_bytes();
    }
    let authority = head
        .uri
        .authority()
        .map_or_else(|| head.headers.get("host").map_or(String::new(), |h| h.to_str().unwrap().to_owned()), |a| a.as_str().to_owned());
    let path = head.uri.path_and_query().unwrap().to_string();
    let before = shared.seen.lock().unwrap().iter().filter(|s| s.path == path).count();
    let seen =
        Seen { method: head.method.to_string(), path, authority, headers: head.headers, version: head.version, body: read, trailers };
    shared.seen.lock().unwrap().push(seen);
    let answer =
        Response::builder().header("x-backend", shared.name).header("connection", if action == "close" { "close" } else { "keep-alive" });
    let answer = if head.version == http::Version::HTTP_2 { Response::builder().header("x-backend", shared.name) } else { answer };
    Ok(match action {
        "status" => answer.status(StatusCode::from_u16(number as u16).unwrap()).body(full("")).unwrap(),
        "bytes" => answer.body(full(vec![b'x'; number])).unwrap(),
        "echo" => answer.body(echo.map_or_else(|| full(""), |b| b.boxed())).unwrap(),
        "flaky" if before < number => answer.status(503).body(full("not yet")).unwrap(),
        "reset" if before < number => return Err(Failure),
        "stall" if before < number => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            answer.body(full("late")).unwrap()
        }
        "grpc.health.v1.Health" => {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\x02\x08\x01")), Frame::trailers(trailers)];
            let body = Frames(frames.into_iter().collect());
            answer.header("content-type", "application/grpc").body(body.map_err(|never: Infallible| match never {}).boxed()).unwrap()
        }
        "wait" => {
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            answer.body(full("waited")).unwrap()
        }
        _ => answer.body(full(shared.name)).unwrap(),
    })
}

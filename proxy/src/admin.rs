//! Admin endpoints: Envoy's, and `/telemetry` for the agent.
//!
//! Runs on the main thread behind a bound on connections, concurrency and time, so that a scraper gone mad harms nobody. What changes something is POST only.

mod pages;
mod state;
mod stats;

use crate::control::Control;
use crate::telemetry::log;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

/// Requests answered at once; more are shed.
const CONCURRENCY: usize = 32;
/// Connections held.
const CONNECTIONS: usize = 128;
/// Longest answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the endpoints need.
#[derive(Clone)]
pub struct Shared {
    /// The controller.
    pub control: Arc<Control>,
    /// The log's level.
    pub log: log::Handle,
    /// Grace of a drain.
    pub grace: Duration,
    /// `/quitquitquit`.
    pub quit: mpsc::Sender<()>,
}

/// Erased here: the stack's full type defeats the compiler's proof that it may move between threads.
type Answering = Pin<Box<dyn Future<Output = Result<Response<PageBody>, BoxError>> + Send>>;

/// Starts serving; the bound address.
///
/// # Errors
/// When the address cannot be bound, in words.
pub async fn start(address: SocketAddr, shared: Shared) -> Result<SocketAddr, String> {
    let socket = TcpListener::bind(address).await.map_err(|e| format!("admin cannot listen on {address}: {e}"))?;
    let bound = socket.local_addr().map_err(|e| format!("admin on {address}: {e}"))?;
    tokio::spawn(accept(socket, shared));
    Ok(bound)
}

async fn accept(socket: TcpListener, shared: Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let limited = ServiceBuilder::new().load_shed().concurrency_limit(CONCURRENCY).timeout(TIMEOUT).service(tower::service_fn(
        move |request: Request<Incoming>| {
            let shared = shared.clone();
            Box::pin(async move { Ok(pages::answer(&shared, request).await) }) as Answering
        },
    ));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let limited = limited.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answered: Answering = Box::pin(limited.clone().oneshot(request));
                async move { Ok::<_, Infallible>(answered.await.unwrap_or_else(|_| overloaded())) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(TIMEOUT * 6);
            // A client that breaks off is nobody's concern here.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

/// Overload and timeouts are answers, too.
fn overloaded() -> Response<PageBody> {
    pages::plain(http::StatusCode::SERVICE_UNAVAILABLE, "overloaded\n")
}

/// Body of an admin answer.
pub type PageBody = http_body_util::Full<Bytes>;

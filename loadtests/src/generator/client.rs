//! One HTTP/1.1 client: idle keep-alive connections and the way of one request.
//!
//! Called by the engine. Promises: a connection is reused only after its answer was read whole; a request is sent again (on a new connection)
//! only when the old one closed before anything of it was written. Connections are bounded by the engine's bound on requests under way.
//! Not here: timeouts and counting.

use crate::generator::line::Failure;
use crate::generator::plan::{Plan, PlanError};
use crate::generator::tally::Ending;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;

/// A connection, and the requests that were sent on it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    used: u32,
}

/// Sends the requests of a plan.
pub struct Client {
    address: String,
    most_requests: u32,
    prepared: Vec<Request<Full<Bytes>>>,
    /// The last one used is taken first: few connections stay warm.
    idle: Mutex<Vec<Connection>>,
    opened: AtomicU64,
}

impl Client {
    /// Prepares the plan's requests.
    ///
    /// # Errors
    /// When the plan does not pass its checks.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let host = plan.target.trim_start_matches("http://").trim_end_matches('/');
        let error = |e| PlanError { field: "requests".into(), problem: e };
        let prepare = |r: &crate::generator::plan::RequestTemplate| {
            let body = Full::new(Bytes::from(r.body.clone()));
            r.build(host).map(|head| head.map(|()| body)).map_err(error)
        };
        let prepared = plan.requests.iter().map(prepare).collect::<Result<_, _>>()?;
        let authority: http::uri::Authority =
            host.parse().map_err(|_| PlanError { field: "target".into(), problem: format!("{host:?} is not a host") })?;
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let most_requests = plan.requests_per_connection.unwrap_or(u32::MAX);
        Ok(Self { address, most_requests, prepared, idle: Mutex::default(), opened: AtomicU64::new(0) })
    }

    /// Connections opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Sends request number `request` of the plan and reads its answer to the end.
    pub async fn send(&self, request: usize) -> Ending {
        match self.exchange(self.prepared[request].clone()).await {
            Ok(status) => Ending::Answer(status),
            Err(failure) => Ending::Failed(failure),
        }
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<u16, Failure> {
        loop {
            let (mut connection, reused) = match self.take_idle() {
                Some(connection) => (connection, true),
                None => (self.connect().await.map_err(|_| Failure::Connect)?, false),
            };
            if connection.sender.ready().await.is_err() {
                if reused {
                    continue;
                }
                return Err(Failure::Reset);
            }
            connection.used = connection.used.saturating_add(1);
            let answer = match connection.sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut e) => match e.take_message() {
                    Some(unsent) if reused => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(Failure::Reset),
                },
            };
            let status = answer.status().as_u16();
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(|_| Failure::Reset)?;
            }
            if !connection.sender.is_closed() && connection.used < self.most_requests {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            return Ok(status);
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(std::io::Error::other)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            // Its error reaches the request that was under way.
            let _ = connection.await;
        });
        Ok(Connection { sender, used: 0 })
    }
}

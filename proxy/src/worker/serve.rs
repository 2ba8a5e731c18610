//! Serves one client connection: hyper reads requests ([`http1`], [`http2`]), [`crate::stack`] answers them, the connection's account is kept.

mod http1;
mod http2;
mod watched;

use super::connections::{Busy, Connection, Connections, Order};
use super::tunnel;
use crate::config::model::{Codec, HttpManager, ManagerId};
use crate::http::body::AnswerBody;
use crate::listener::client::Client;
use crate::listener::original::OriginalDst;
use crate::listener::preface::Preface;
use crate::listener::stream::Stream;
use crate::stack;
use crate::state::State;
use crate::stats::WorkerStats;
use crate::upstream::changed::Changed;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use tokio::task::spawn_local;
use watched::Watched;

/// Why a connection was cut.
const LATE: &str = "the request's head did not arrive in time";

/// A connection to be served.
pub struct Serving {
    /// The state now in force.
    pub state: Rc<RefCell<Option<Rc<State>>>>,
    /// The worker's numbers.
    pub stats: Rc<WorkerStats>,
    /// The worker's connections.
    pub connections: Rc<Connections>,
    /// This connection's account.
    pub connection: Rc<Connection>,
    /// What is known of it.
    pub client: Rc<Client>,
    /// Where it wanted to go before it was redirected here.
    pub wanted: Option<SocketAddr>,
    /// Bytes to be held for it; None = hyper's own bounds.
    pub buffer_limit: Option<u32>,
    /// What an answer 101 has left to go on with.
    pub changed: Cell<Option<Box<Changed>>>,
}

impl Serving {
    /// The state now, and the connection manager of this connection in it.
    fn current(&self) -> Option<(Rc<State>, ManagerId)> {
        let state = self.state.borrow().clone()?;
        let manager = self.connection.place.manager(state.serial, &state.config)?;
        Some((state, manager))
    }

    /// Serves it to its end.
    pub async fn run(self, mut stream: Stream, manager: &HttpManager) {
        let mut preface = Preface::default();
        let http2 = match (manager.codec, self.client.alpn_http2) {
            (Codec::Http1, _) => false,
            (Codec::Http2, _) => true,
            (Codec::Auto, Some(agreed)) => agreed,
            (Codec::Auto, None) => match self.begins_with(&mut preface, &mut stream).await {
                Some(http2) => http2,
                None if self.connection.is_cut() => return Box::pin(http1::late(&self, &mut stream)).await,
                None => return,
            },
        };
        let watched = Watched { first: preface.bytes(), stream, connection: self.connection.clone() };
        let it = Rc::new(self);
        // Large, and not both at once: not to be part of the connection's own future.
        let ended = if http2 { Box::pin(http2::run(&it, watched, manager)).await } else { http1::run(&it, watched, manager).await };
        if let Err(error) = ended {
            tracing::debug!(peer = %it.client.remote, error, "connection ended");
        }
    }

    /// Whether the client begins with HTTP/2; None when the connection is over before that is known.
    async fn begins_with(&self, preface: &mut Preface, stream: &mut Stream) -> Option<bool> {
        poll_fn(|cx| {
            if self.connection.order(cx.waker()) > Order::Stay {
                return Poll::Ready(None);
            }
            let polled = preface.poll(stream, cx).map(Result::ok);
            if !preface.is_empty() {
                self.connection.heard();
            }
            polled
        })
        .await
    }

    /// Answers one request.
    async fn answer(
        self: Rc<Self>,
        mut request: Request<Incoming>,
        multiplexed: bool,
    ) -> Result<Response<AnswerBody<Option<Busy>>>, Infallible> {
        let current = self.current();
        let busy = self.connection.begin(multiplexed);
        let once = request.version() < Version::HTTP_11 && !keeps_alive(request.headers());
        if let (Some(to), Some((state, _))) = (self.wanted, &current)
            && state.original_dst
        {
            request.extensions_mut().insert(OriginalDst(to));
        }
        let stream = (multiplexed && request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        let mut request = Some(request);
        let mut answer = match current {
            Some((state, manager)) => stack::serve(&state, &self.stats, manager, &self.client, &mut request).await,
            // The listener was removed by a reload while the connection stayed.
            None => stack::gone(),
        };
        let last = once || self.connection.is_last() || answer.status() == StatusCode::UPGRADE_REQUIRED;
        if let Some(changed) = answer.body_mut().take_changed() {
            let Some(stream) = stream else {
                self.changed.set(Some(changed));
                return Ok(answer.map(|body: AnswerBody| body.guarded(Some(busy))));
            };
            spawn_local(async move {
                let _busy = busy;
                // A client that is gone has closed the account.
                if let Ok(stream) = stream.await {
                    tunnel::run(TokioIo::new(stream), Bytes::new(), *changed).await;
                }
            });
            return Ok(answer.map(|body: AnswerBody| body.guarded(None)));
        }
        if !multiplexed && (last || self.connections.draining()) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body: AnswerBody| body.guarded(Some(busy))))
    }
}

/// Whether a request of HTTP/1.0 asks for its connection to be kept.
fn keeps_alive(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).and_then(|v| v.to_str().ok()).is_some_and(|v| v.to_ascii_lowercase().contains("keep-alive"))
}

/// Largest request head.
fn head_bytes(manager: &HttpManager) -> usize {
    (manager.max_request_headers_kb as usize * 1024).max(8192)
}

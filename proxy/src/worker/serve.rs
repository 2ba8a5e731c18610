//! Serves one client connection: hyper reads requests, [`crate::stack`] answers them, the connection's account is kept.

use super::connections::{Busy, Connection, Connections, Order};
use super::tunnel;
use crate::config::model::{Codec, HttpManager, ManagerId};
use crate::executor::LocalExecutor;
use crate::http::body::AnswerBody;
use crate::listener::client::Client;
use crate::listener::original::OriginalDst;
use crate::listener::preface::Preface;
use crate::listener::stream::Stream;
use crate::stack;
use crate::state::State;
use crate::stats::WorkerStats;
use crate::upstream::changed::Changed;
use crate::upstream::request::BoxError;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Streams at once on a connection of HTTP/2.
const STREAMS: u32 = 1024;
/// Why a connection was cut.
const LATE: &str = "the request's head did not arrive in time";
/// Most headers that hyper parses without making room for them at every request.
const FREE_HEADERS: u32 = 100;

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
                None => return,
            },
        };
        let watched = Watched { first: preface.bytes(), stream, connection: self.connection.clone() };
        let it = Rc::new(self);
        let ended = if http2 { it.http2(watched, manager).await } else { it.http1(watched, manager).await };
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
    async fn answer(self: Rc<Self>, mut request: Request<Incoming>, multiplexed: bool) -> Result<Response<AnswerBody<Busy>>, Infallible> {
        let current = self.current();
        let busy = self.connection.begin(multiplexed);
        let once = request.version() < Version::HTTP_11 && !keeps_alive(request.headers());
        if let (Some(to), Some((state, _))) = (self.wanted, &current)
            && state.original_dst
        {
            request.extensions_mut().insert(OriginalDst(to));
        }
        let mut request = Some(request);
        let mut answer = match current {
            Some((state, manager)) => stack::serve(&state, &self.stats, manager, &self.client, &mut request).await,
            // The listener was removed by a reload while the connection stayed.
            None => stack::gone(),
        };
        let last = once || self.connection.is_last() || answer.status() == StatusCode::UPGRADE_REQUIRED;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.changed.set(answer.body_mut().take_changed());
        } else if !multiplexed && (last || self.connections.draining()) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body: AnswerBody| body.guarded(busy)))
    }

    async fn http1(self: &Rc<Self>, watched: Watched, manager: &HttpManager) -> Result<(), BoxError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(head_bytes(manager)).header_read_timeout(None);
        if manager.max_headers_count != FREE_HEADERS {
            builder.max_headers(manager.max_headers_count as usize);
        }
        let mut served = builder.serve_connection(TokioIo::new(watched), service_fn(|request| self.clone().answer(request, false)));
        let mut finishing = false;
        poll_fn(|cx| {
            match self.connection.order(cx.waker()) {
                Order::Finish if !finishing => {
                    finishing = true;
                    Pin::new(&mut served).graceful_shutdown();
                }
                Order::Cut => return Poll::Ready(Err(LATE.into())),
                _ => {}
            }
            Pin::new(&mut served).poll(cx).map_err(BoxError::from)
        })
        .await?;
        if let Some(changed) = self.changed.take() {
            let parts = served.into_parts();
            let _busy = self.connection.begin(false);
            Box::pin(tunnel::run(parts.io.into_inner().stream, parts.read_buf, *changed)).await;
        }
        Ok(())
    }

    async fn http2(self: &Rc<Self>, watched: Watched, manager: &HttpManager) -> Result<(), BoxError> {
        let settings = &manager.connection.http2;
        let mut builder = http2::Builder::new(LocalExecutor);
        builder.timer(TokioTimer::new()).max_header_list_size(head_bytes(manager) as u32);
        builder.max_concurrent_streams(settings.max_streams.unwrap_or(STREAMS));
        if let Some(bytes) = settings.stream_window {
            builder.initial_stream_window_size(bytes);
        }
        if let Some(bytes) = settings.connection_window {
            builder.initial_connection_window_size(bytes);
        }
        if let Some((interval, timeout)) = settings.keepalive {
            builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
        }
        let it = self.clone();
        let mut served = pin!(builder.serve_connection(TokioIo::new(watched), service_fn(move |request| it.clone().answer(request, true))));
        let mut finishing = false;
        poll_fn(|cx| {
            match self.connection.order(cx.waker()) {
                Order::Finish if !finishing => {
                    finishing = true;
                    served.as_mut().graceful_shutdown();
                }
                Order::Cut => return Poll::Ready(Err(LATE.into())),
                _ => {}
            }
            served.as_mut().poll(cx).map_err(BoxError::from)
        })
        .await
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

/// A stream that tells its connection when bytes arrive.
struct Watched {
    /// What was read before it was known which HTTP this is.
    first: Bytes,
    stream: Stream,
    connection: Rc<Connection>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let n = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(n));
            self.connection.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.heard();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

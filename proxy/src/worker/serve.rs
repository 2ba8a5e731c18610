//! Serves one client connection: hyper reads requests, [`crate::stack`] answers them, the connection's account is kept.

use super::connections::{Connection, Connections, Order};
use crate::config::model::{Codec, HttpManager, ManagerId};
use crate::executor::LocalExecutor;
use crate::http::body::AnswerBody;
use crate::listener::client::Client;
use crate::listener::original::OriginalDst;
use crate::listener::stream::Stream;
use crate::stack;
use crate::state::State;
use crate::stats::WorkerStats;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
}

impl Serving {
    /// The state now, and the connection manager of this connection in it.
    fn current(&self) -> Option<(Rc<State>, ManagerId)> {
        let state = self.state.borrow().clone()?;
        let manager = self.connection.place.manager(state.serial, &state.config)?;
        Some((state, manager))
    }

    /// Serves it to its end.
    pub async fn run(self, stream: Stream, manager: &HttpManager) {
        let (connection, builder) = (self.connection.clone(), builder(manager));
        let it = Rc::new(self);
        let io = TokioIo::new(Watched { stream, connection: connection.clone() });
        let service = service_fn(|mut request: Request<Incoming>| {
            let (it, current) = (it.clone(), it.current());
            let multiplexed = request.version() == Version::HTTP_2;
            let busy = connection.begin(multiplexed);
            if let (Some(to), Some((state, _))) = (it.wanted, &current)
                && state.original_dst
            {
                request.extensions_mut().insert(OriginalDst(to));
            }
            let mut request = Some(request);
            async move {
                let mut answer = match current {
                    Some((state, manager)) => stack::serve(&state, &it.stats, manager, &it.client, &mut request).await,
                    // The listener was removed by a reload while the connection stayed.
                    None => stack::gone(),
                };
                if it.connections.draining() && !multiplexed {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body: AnswerBody| body.guarded(busy)))
            }
        });
        let mut served = pin!(builder.serve_connection(io, service));
        let mut finishing = false;
        let ended = poll_fn(|cx| {
            match connection.order(cx.waker()) {
                Order::Finish if !finishing => {
                    finishing = true;
                    served.as_mut().graceful_shutdown();
                }
                Order::Cut => return Poll::Ready(Err("the request's head did not arrive in time".into())),
                _ => {}
            }
            served.as_mut().poll(cx)
        })
        .await;
        if let Err(error) = ended {
            tracing::debug!(peer = %it.client.remote, error, "connection ended");
        }
    }
}

fn builder(manager: &HttpManager) -> auto::Builder<LocalExecutor> {
    let mut builder = auto::Builder::new(LocalExecutor);
    builder = match manager.codec {
        Codec::Auto => builder,
        Codec::Http1 => builder.http1_only(),
        Codec::Http2 => builder.http2_only(),
    };
    let head = (manager.max_request_headers_kb as usize * 1024).max(8192);
    builder.http1().max_buf_size(head).header_read_timeout(None);
    if manager.max_headers_count != FREE_HEADERS {
        builder.http1().max_headers(manager.max_headers_count as usize);
    }
    builder.http2().timer(TokioTimer::new()).max_header_list_size(head as u32).max_concurrent_streams(1024);
    builder
}

/// A stream that tells its connection when bytes arrive.
struct Watched {
    stream: Stream,
    connection: Rc<Connection>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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

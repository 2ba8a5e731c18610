//! Accepts connections of one listener and serves each in a task of its own.

use super::connections::{Connection, Connections, Order};
use crate::config::model::{Codec, HttpManager};
use crate::executor::LocalExecutor;
use crate::http::body::AnswerBody;
use crate::listener::client::Client;
use crate::listener::original::{self, OriginalDst};
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
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

/// After an accept that failed for want of descriptors, this long is waited before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Client connections of one worker; more are closed at once and counted.
const MAX_CONNECTIONS: usize = 16_384;
/// Most headers that hyper parses without making room for them at every request.
const FREE_HEADERS: u32 = 100;

/// What an accept loop needs.
#[derive(Clone)]
pub struct Accepting {
    /// The listener's name.
    pub name: Rc<str>,
    /// The state now in force.
    pub state: Rc<RefCell<Option<Rc<State>>>>,
    /// The worker's numbers.
    pub stats: Rc<WorkerStats>,
    /// The worker's connections.
    pub connections: Rc<Connections>,
}

impl Accepting {
    /// Accepts until told to stop; what the kernel has accepted by then is still served.
    pub async fn run(self, socket: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|s| *s) => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        tracing::warn!(listener = &*self.name, %error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Asked of the kernel itself: what the runtime has not heard of yet counts, too.
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((stream, peer)) = socket.accept() {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.begin(stream, peer);
            }
        }
    }

    /// The state now and the index of this listener in it.
    fn current(&self) -> Option<(Rc<State>, usize)> {
        let state = self.state.borrow().clone()?;
        let index = state.config.listeners.iter().position(|l| *l.name == *self.name)?;
        Some((state, index))
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let Some((state, index)) = self.current() else { return };
        if self.connections.len() >= MAX_CONNECTIONS {
            self.stats.downstream.refused.add("connections");
            return;
        }
        // Small answers are not to wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let accepted_by = &state.config.listeners[index];
        let wanted = if accepted_by.original_dst { original::destination(&stream) } else { None };
        let handed_to = wanted.filter(|_| accepted_by.hand_over).and_then(|to| original::listener_for(&state.config, to));
        let listener = &state.config.listeners[handed_to.unwrap_or(index)];
        let manager = &listener.http;
        let mut it = self.clone();
        if handed_to.is_some() {
            it.name = listener.name.as_str().into();
        }
        let local = wanted.or_else(|| stream.local_addr().ok()).unwrap_or(accepted_by.address);
        let client = Rc::new(Client { remote: peer, local, tls: false, server_name: None });
        let (connection, registered) = self.connections.register(it.name.clone(), manager);
        let builder = builder(manager);
        spawn_local(async move {
            let stats = it.stats.clone();
            stats.downstream.connections.add(1);
            stats.downstream.connections_total.add(1);
            it.serve(builder, stream, client, wanted, connection).await;
            stats.downstream.connections.sub(1);
            drop(registered);
        });
    }

    async fn serve(
        self,
        builder: auto::Builder<LocalExecutor>,
        stream: TcpStream,
        client: Rc<Client>,
        wanted: Option<SocketAddr>,
        connection: Rc<Connection>,
    ) {
        let io = TokioIo::new(Watched { stream, connection: connection.clone() });
        let service = service_fn(|mut request: Request<Incoming>| {
            let (current, stats, connections) = (self.current(), self.stats.clone(), self.connections.clone());
            let client = client.clone();
            let multiplexed = request.version() == Version::HTTP_2;
            let busy = connection.begin(multiplexed);
            if let (Some(to), Some((state, _))) = (wanted, &current)
                && state.original_dst
            {
                request.extensions_mut().insert(OriginalDst(to));
            }
            let mut request = Some(request);
            async move {
                let mut answer = match current {
                    Some((state, index)) => stack::serve(&state, &stats, index, &client, &mut request).await,
                    // The listener was removed by a reload while the connection stayed.
                    None => stack::gone(),
                };
                if connections.draining() && !multiplexed {
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
            tracing::debug!(peer = %client.remote, error, "connection ended");
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
    stream: TcpStream,
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

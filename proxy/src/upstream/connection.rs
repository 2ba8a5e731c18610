//! HTTP connections to an endpoint.
//!
//! HTTP/1.1: `SendRequest` and `Connection` stay together and are polled by the request's own future, then by its answer's body: no task, no wake-up
//! between tasks. HTTP/2: one connection per endpoint and worker, driven by a local task.

use super::request::{Parcel, RequestBody};
use super::rtt;
use crate::error::ProxyError;
use crate::executor::LocalExecutor;
use crate::format::record::Connected;
use crate::listener::gather::Gather;
use crate::listener::stream::Stream;
use crate::peer::Certificate;
use crate::tls::material::suite_name;
use crate::tls::{counts, facts};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, Version};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Receive windows of HTTP/2 streams and connections: large enough for bodies at full speed over a millisecond or two.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// HTTP/2's own first window (RFC 9113, section 6.9.2).
const LEAST_WINDOW: u32 = (64 << 10) - 1;

/// How long HTTP may take to let go of a connection that has changed its protocol.
const CHANGE: Duration = Duration::from_secs(1);

/// An HTTP/1.1 connection with its driver.
pub struct H1 {
    send: http1::SendRequest<RequestBody>,
    driver: Pin<Box<http1::Connection<TokioIo<Stream>, RequestBody>>>,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
    over: bool,
    /// Its answer is its last one.
    last: bool,
    /// Its socket, which `driver` holds open.
    socket: RawFd,
    /// What is known of it.
    pub connected: Rc<Connected>,
    /// The name that was asked for, where requests bring it.
    pub name: Option<Rc<str>>,
}

/// Wakes the task that uses a connection. The parts of a connection signal each other by waking, too; since one task drives them all, one after
/// the other, such signals would only poll it once more for nothing. So the bell is muted while the other end of a channel is served.
#[derive(Debug, Default)]
struct Bell {
    task: Mutex<Option<Waker>>,
    muted: AtomicBool,
}

impl Bell {
    fn rings_for(&self, task: &Waker) {
        let mut mine = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !mine.as_ref().is_some_and(|w| w.will_wake(task)) {
            *mine = Some(task.clone());
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            task.wake_by_ref();
        }
    }
}

/// A handle to an HTTP/2 connection.
#[derive(Clone)]
pub struct H2 {
    /// Sends on it.
    pub send: http2::SendRequest<RequestBody>,
    /// What is known of it.
    pub connected: Rc<Connected>,
    /// The name that was asked for, where requests bring it.
    pub name: Option<Rc<str>>,
}

impl std::fmt::Debug for H2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2").field("connected", &self.connected).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for H1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H1").field("over", &self.over).finish()
    }
}

impl H1 {
    /// Drives the connection: reads and writes what can be.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.bell.rings_for(cx.waker());
        if !self.over && self.driver.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.over = true;
        }
    }

    /// Takes the next frame of an answer's body that the connection has read, without being called again for having taken it.
    pub fn take_frame(&mut self, body: &mut Incoming) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.bell.muted.store(true, Ordering::Relaxed);
        let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        self.bell.muted.store(false, Ordering::Relaxed);
        frame
    }

    /// Its smoothed round trip time in microseconds, when the kernel knows it.
    #[expect(unsafe_code, reason = "hyper does not lend the socket that its connection owns")]
    pub fn rtt_us(&self) -> Option<u64> {
        // SAFETY: the driver owns the stream of this descriptor and is never taken apart, so it is open as long as `self` is.
        rtt::smoothed_us(unsafe { BorrowedFd::borrow_raw(self.socket) })
    }

    /// Nobody is to be woken by an idle connection any more; whether it is worth keeping. What its peer does from now on is noticed when it is taken
    /// ([`Self::is_reusable`]): driving it here would have hyper make room for another answer while this one still holds the buffer.
    pub fn rest(&mut self) -> bool {
        if self.last {
            return self.is_reusable();
        }
        self.bell.rings_for(Waker::noop());
        !self.over
    }

    /// Drives it once and tells whether it can take another request. Nobody is to be woken by an idle connection, not even by the next
    /// request that is given to it: that request drives it anyway.
    pub fn is_reusable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.over && self.send.is_ready()
    }

    /// The bytes of a connection that has changed its protocol, and what was read of them already; None when it broke.
    pub async fn into_stream(mut self) -> Option<(Stream, Bytes)> {
        let driving = poll_fn(|cx| {
            self.drive(cx);
            if self.over { Poll::Ready(()) } else { Poll::Pending }
        });
        // The answer was the end of HTTP on it: this takes a poll or two.
        tokio::time::timeout(CHANGE, driving).await.ok()?;
        let parts = Pin::into_inner(self.driver).into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }

    /// Sends the request and drives the connection until the head of the answer is there.
    ///
    /// # Errors
    /// When the connection breaks; a request that was not touched is put back.
    pub async fn send(&mut self, parcel: &mut Parcel) -> Result<Response<Incoming>, ProxyError> {
        let Some(request) = parcel.take() else { return Err(ProxyError::Reset("nothing to send")) };
        let Self { send, driver, bell, waker, over, last, .. } = self;
        bell.muted.store(true, Ordering::Relaxed);
        let mut answer = pin!(send.try_send_request(request));
        bell.muted.store(false, Ordering::Relaxed);
        poll_fn(|cx| {
            bell.rings_for(cx.waker());
            if !*over && driver.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                *over = true;
            }
            // Becomes ready in the connection's own poll only.
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
        .map_err(|error| put_back(error, parcel))
        .and_then(framed_once)
        .inspect(|answer| *last = ends_connection(answer))
    }
}

/// Whether no other answer comes after this one: its end is the connection's, or it says so (RFC 9112, section 9.3).
fn ends_connection(answer: &Response<Incoming>) -> bool {
    let headers = answer.headers();
    let framed = answer.body().is_end_stream() || answer.body().size_hint().exact().is_some() || headers.contains_key(TRANSFER_ENCODING);
    !framed || answer.version() < Version::HTTP_11 || headers.contains_key(CONNECTION)
}

/// An answer that says its length in two ways may be read in two ways; such a one is nobody's (RFC 9112, section 6.3).
fn framed_once(answer: Response<Incoming>) -> Result<Response<Incoming>, ProxyError> {
    let headers = answer.headers();
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(ProxyError::Reset("protocol error"));
    }
    Ok(answer)
}

/// hyper's error; the request that it may carry goes back to where it came from.
pub fn put_back(mut error: TrySendError<Request<RequestBody>>, parcel: &mut Parcel) -> ProxyError {
    *parcel = error.take_message();
    // The body that the client sends is no valid one: not the endpoint's fault.
    if error.error().is_user() { ProxyError::Invalid("the body is not valid") } else { ProxyError::reset(error.error()) }
}

/// Most bytes of an answer's head, when a cluster bounds what is held for a connection. (Where none does, hyper reads up to 400 KiB at once: with 64 KiB, an
/// answer of 1 MiB costs 1.4 times the processor time.)
const HEAD_BYTES: u32 = 64 << 10;

/// Begins HTTP/1.1 on a connection; `limit` bounds the bytes that are held for it.
///
/// # Errors
/// When it breaks at once.
pub async fn begin_h1(stream: Stream, limit: Option<u32>) -> Result<H1, ProxyError> {
    let (socket, connected) = (stream.as_raw_fd(), Rc::new(connected(&stream)));
    let mut builder = http1::Builder::new();
    if let Some(limit) = limit {
        builder.max_buf_size(limit.max(HEAD_BYTES) as usize);
    }
    let (send, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| ProxyError::reset(&e))?;
    let bell = Arc::<Bell>::default();
    let mut fresh =
        H1 { send, driver: Box::pin(driver), waker: bell.clone().into(), bell, over: false, last: false, socket, connected, name: None };
    // A new connection wants one poll before it takes a request.
    poll_fn(|cx| {
        fresh.drive(cx);
        Poll::Ready(())
    })
    .await;
    Ok(fresh)
}

/// Begins HTTP/2 on a connection; `limit` bounds the bytes that are held for each stream.
///
/// # Errors
/// When it breaks at once.
pub async fn begin_h2(stream: Stream, limit: Option<u32>) -> Result<H2, ProxyError> {
    let connected = Rc::new(connected(&stream));
    let mut builder = http2::Builder::new(LocalExecutor);
    if let Some(limit) = limit {
        builder.max_send_buf_size(limit as usize);
    }
    let (send, driver) = builder
        .initial_stream_window_size(limit.map_or(STREAM_WINDOW, |limit| limit.clamp(LEAST_WINDOW, STREAM_WINDOW)))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(Gather::new(stream)))
        .await
        .map_err(|e| ProxyError::reset(&e))?;
    tokio::task::spawn_local(async move {
        // Its end is noticed by `is_closed`; its errors by the requests on it.
        let _ = driver.await;
    });
    Ok(H2 { send, connected, name: None })
}

fn connected(stream: &Stream) -> Connected {
    let tls = stream.tls().map(|tls| (counts::version(tls.protocol_version()), tls.negotiated_cipher_suite().map_or("", suite_name)));
    let certificate = stream.tls().and_then(|tls| tls.peer_certificates()?.first()).map(|der| Certificate::new(der, facts::peer));
    Connected { local: stream.local_addr(), tls, certificate }
}

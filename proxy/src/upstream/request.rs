//! Bodies on the way up.
//!
//! A client's body passes through frame by frame; copies are offered each frame as it passes. [`Upload`] tells the waiting side how far it is.

use super::replay::Replay;
use crate::mirror::tee::Tee;
use crate::stats::ClusterStats;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Any error of a body; hyper turns it into a reset.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request on its way up. It stays in one place, and those who handle it get a reference: a request is large, and futures that pass it on by value
/// are copied with it. Whoever sends it takes it out; what is still (or again) there after a failure may be sent elsewhere.
pub type Parcel = Option<http::Request<RequestBody>>;

/// Body of a request towards upstream. Small, because requests are moved often and most have no body.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// Held in memory: a copy's.
    Held(Box<Held>),
    /// The client's, passed through.
    Client(Box<ClientBody>),
    /// The client's, kept for another try as it passes.
    Replay(Box<Replay>),
}

/// A body in memory: the frames as they came.
#[derive(Debug)]
pub struct Held {
    frames: VecDeque<Bytes>,
    left: u64,
}

/// The client's body.
#[derive(Debug)]
pub struct ClientBody {
    inner: Incoming,
    stats: Rc<ClusterStats>,
    upload: Rc<Upload>,
    tee: Option<Tee>,
}

/// How far a client's body is.
#[derive(Debug, Default)]
pub struct Upload {
    ended: Cell<Option<Instant>>,
    moved: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl RequestBody {
    /// Frames from memory, in order.
    pub fn held(frames: impl IntoIterator<Item = Bytes>) -> Self {
        let frames: VecDeque<_> = frames.into_iter().filter(|f| !f.is_empty()).collect();
        let left = frames.iter().map(|f| f.len() as u64).sum();
        if left == 0 { Self::Empty } else { Self::Held(Box::new(Held { frames, left })) }
    }

    /// A client's body; its bytes count for the cluster, its frames are offered to `tee`.
    pub fn client(inner: Incoming, stats: &Rc<ClusterStats>, tee: Option<Tee>) -> Self {
        if inner.is_end_stream() {
            return Self::Empty;
        }
        Self::Client(Box::new(ClientBody { inner, stats: stats.clone(), upload: Rc::default(), tee }))
    }

    /// How far it is; None when there is nothing to wait for.
    pub fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            Self::Client(body) => Some(body.upload.clone()),
            Self::Replay(body) => body.upload(),
            Self::Empty | Self::Held(_) => None,
        }
    }
}

impl Upload {
    /// When it ended; whoever asks before that is woken when it does.
    pub fn ended(&self, waker: &Waker) -> Option<Instant> {
        if self.ended.get().is_none() {
            self.waiter.replace(Some(waker.clone()));
        }
        self.ended.get()
    }

    /// Whether anything passed since this was last asked.
    pub fn take_moved(&self) -> bool {
        self.moved.replace(false)
    }

    fn end(&self) {
        if self.ended.get().is_none() {
            self.ended.set(Some(Instant::now()));
            if let Some(waiter) = self.waiter.take() {
                waiter.wake();
            }
        }
    }
}

impl ClientBody {
    /// How far it is.
    pub fn upload(&self) -> Rc<Upload> {
        self.upload.clone()
    }

    /// Whether the end has been read.
    pub fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// What is still to come.
    pub fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    /// Reads the next frame and shows it to whoever is concerned.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.upload.moved.set(true);
                    self.stats.bytes_sent.add(data.len() as u64);
                    if let Some(tee) = &mut self.tee {
                        tee.offer(data);
                    }
                }
                // hyper may never poll again once the announced length has passed.
                if self.inner.is_end_stream() {
                    self.end();
                }
            }
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled.map(|frame| frame.map(|f| f.map_err(Into::into)))
    }

    fn end(&mut self) {
        self.upload.end();
        if let Some(tee) = &mut self.tee {
            tee.finish();
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.upload.end();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Held(held) => Poll::Ready(held.frames.pop_front().map(|f| {
                held.left -= f.len() as u64;
                Ok(Frame::data(f))
            })),
            Self::Client(body) => body.poll(cx),
            Self::Replay(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Held(held) => held.frames.is_empty(),
            Self::Client(body) => body.is_end_stream(),
            Self::Replay(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Held(held) => SizeHint::with_exact(held.left),
            Self::Client(body) => body.size_hint(),
            Self::Replay(body) => body.size_hint(),
        }
    }
}

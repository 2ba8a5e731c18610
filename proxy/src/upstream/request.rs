//! Bodies on the way up.
//!
//! None, one held in memory, or the client's: passed through ([`super::upload`]), or kept for another try as it passes ([`super::replay`]).

pub use super::upload::{BoxError, ClientBody, Upload};

use super::replay::Replay;
use crate::listener::client::Client;
use crate::mirror::tee::Tee;
use crate::stats::ClusterStats;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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

impl RequestBody {
    /// Frames from memory, in order.
    pub fn held(frames: impl IntoIterator<Item = Bytes>) -> Self {
        let frames: VecDeque<_> = frames.into_iter().filter(|f| !f.is_empty()).collect();
        let left = frames.iter().map(|f| f.len() as u64).sum();
        if left == 0 { Self::Empty } else { Self::Held(Box::new(Held { frames, left })) }
    }

    /// A client's body; its bytes count for the cluster, its frames are offered to `tee`.
    pub fn client(inner: Incoming, client: &Rc<Client>, stats: &Rc<ClusterStats>, tee: Option<Tee>) -> Self {
        if inner.is_end_stream() {
            return Self::Empty;
        }
        Self::Client(Box::new(ClientBody::new(inner, client, stats, tee)))
    }

    /// How far it is; None when there is nothing to wait for.
    pub fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            Self::Client(body) => Some(body.upload()),
            Self::Replay(body) => body.upload(),
            Self::Empty | Self::Held(_) => None,
        }
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

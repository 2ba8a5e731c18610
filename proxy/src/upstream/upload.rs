//! A client's body on its way up: it passes through frame by frame; copies are offered each frame as it passes. [`Upload`] tells the waiting side
//! how far it is. Wrapped by [`super::request`] and [`super::replay`].

use crate::format::record;
use crate::listener::client::Client;
use crate::mirror::tee::Tee;
use crate::stats::ClusterStats;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Any error of a body; hyper turns it into a reset.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The client's body.
#[derive(Debug)]
pub struct ClientBody {
    inner: Incoming,
    stats: Rc<ClusterStats>,
    upload: Rc<Upload>,
    tee: Option<Tee>,
    client: Rc<Client>,
}

/// How far a client's body is.
#[derive(Debug, Default)]
pub struct Upload {
    ended: Cell<Option<Instant>>,
    moved: Cell<bool>,
    bytes: Cell<u64>,
    waiter: RefCell<Option<Waker>>,
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

impl record::Upload for Upload {
    fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn ended_at(&self) -> Option<Instant> {
        self.ended.get()
    }
}

impl ClientBody {
    /// A body whose bytes count for the cluster, whose frames are offered to `tee`.
    pub fn new(inner: Incoming, client: &Rc<Client>, stats: &Rc<ClusterStats>, tee: Option<Tee>) -> Self {
        client.uploads.set(client.uploads.get() + 1);
        Self { inner, stats: stats.clone(), upload: Rc::default(), tee, client: client.clone() }
    }

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
                    self.upload.bytes.set(self.upload.bytes.get() + data.len() as u64);
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
        self.client.uploads.set(self.client.uploads.get() - 1);
        self.upload.end();
    }
}

//! Body of an answer to a client: from upstream, or made here.

use crate::access_log::Logged;
use crate::error::ProxyError;
use crate::mirror::pair::Watch;
use crate::upstream::answer::UpstreamBody;
use crate::upstream::changed::Changed;
use crate::upstream::request::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Body of an answer, with what has to live as long as it (`G`).
#[derive(Debug)]
pub struct AnswerBody<G = ()> {
    from: From,
    log: Option<Box<Logged>>,
    watch: Option<Box<Watch>>,
    _guard: G,
}

#[derive(Debug)]
enum From {
    Own(Option<Bytes>),
    Upstream(UpstreamBody),
    Changed(Option<Box<Changed>>),
}

impl AnswerBody {
    /// A body made here.
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { from: From::Own((!bytes.is_empty()).then_some(bytes)), log: None, watch: None, _guard: () }
    }

    /// A body from upstream.
    pub fn upstream(body: UpstreamBody) -> Self {
        Self { from: From::Upstream(body), log: None, watch: None, _guard: () }
    }

    /// No body: the connection changes its protocol.
    pub fn changed(changed: Changed) -> Self {
        Self { from: From::Changed(Some(Box::new(changed))), log: None, watch: None, _guard: () }
    }

    /// What a connection that changes its protocol goes on with.
    pub fn take_changed(&mut self) -> Option<Box<Changed>> {
        match &mut self.from {
            From::Changed(changed) => changed.take(),
            _ => None,
        }
    }

    /// The same, shown to who compares it with a copy's.
    pub fn watched(mut self, watch: Option<Box<Watch>>) -> Self {
        match watch {
            Some(watch) if self.is_end_stream() => watch.complete(),
            other => self.watch = other,
        }
        self
    }

    /// The whole body, when it was made here.
    pub fn text(&self) -> Option<&Bytes> {
        match &self.from {
            From::Own(bytes) => bytes.as_ref(),
            From::Upstream(_) | From::Changed(_) => None,
        }
    }

    /// The same, told to a log.
    pub fn logged(mut self, mut log: Box<Logged>) -> Self {
        if self.is_end_stream() {
            log.complete();
        }
        self.log = Some(log);
        self
    }

    /// The same, holding on to `guard` until it is dropped.
    pub fn guarded<G>(self, guard: G) -> AnswerBody<G> {
        AnswerBody { from: self.from, log: self.log, watch: self.watch, _guard: guard }
    }
}

impl<G: Unpin> Body for AnswerBody<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let it = self.get_mut();
        let polled = match &mut it.from {
            From::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            From::Upstream(body) => Pin::new(body).poll_frame(cx),
            From::Changed(_) => Poll::Ready(None),
        };
        if let (Some(log), Poll::Ready(frame)) = (&mut it.log, &polled) {
            tell(log, frame.as_ref(), it.from.is_over());
        }
        if let (Some(_), Poll::Ready(frame)) = (&it.watch, &polled) {
            show(&mut it.watch, frame.as_ref(), it.from.is_over());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            From::Upstream(body) => body.size_hint(),
            From::Changed(_) => SizeHint::with_exact(0),
        }
    }
}

impl From {
    fn is_over(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Changed(_) => true,
        }
    }
}

/// Tells the log of a frame, or of the end; `over` when no more will come.
fn tell(log: &mut Logged, frame: Option<&Result<Frame<Bytes>, BoxError>>, over: bool) {
    match frame {
        Some(Ok(frame)) => log.frame(frame),
        Some(Err(error)) => log.broken(error.downcast_ref::<ProxyError>()),
        None => {}
    }
    if over || frame.is_none() {
        log.complete();
    }
}

/// Shows the one who compares a frame, or the end; what broke off is not compared.
fn show(watch: &mut Option<Box<Watch>>, frame: Option<&Result<Frame<Bytes>, BoxError>>, over: bool) {
    match (frame, &mut *watch) {
        (Some(Err(_)), _) => *watch = None,
        (Some(Ok(frame)), Some(watch)) => {
            if let Some(data) = frame.data_ref() {
                watch.frame(data);
            }
        }
        _ => {}
    }
    if (over || frame.is_none())
        && let Some(watch) = watch.take()
    {
        watch.complete();
    }
}

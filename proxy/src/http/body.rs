//! Body of an answer to a client: from upstream, or made here.

use crate::upstream::answer::UpstreamBody;
use crate::upstream::request::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Body of an answer, with what has to live as long as it (`G`).
#[derive(Debug)]
pub struct AnswerBody<G = ()> {
    from: From,
    _guard: G,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing the common case would cost every request an allocation")]
enum From {
    Own(Option<Bytes>),
    Upstream(UpstreamBody),
}

impl AnswerBody {
    /// A body made here.
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { from: From::Own((!bytes.is_empty()).then_some(bytes)), _guard: () }
    }

    /// A body from upstream.
    pub fn upstream(body: UpstreamBody) -> Self {
        Self { from: From::Upstream(body), _guard: () }
    }

    /// The same, holding on to `guard` until it is dropped.
    pub fn guarded<G>(self, guard: G) -> AnswerBody<G> {
        AnswerBody { from: self.from, _guard: guard }
    }
}

impl<G: Unpin> Body for AnswerBody<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().from {
            From::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            From::Upstream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Own(bytes) => bytes.is_none(),
            From::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            From::Upstream(body) => body.size_hint(),
        }
    }
}

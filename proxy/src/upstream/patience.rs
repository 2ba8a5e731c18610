//! How long an exchange may take. Envoy's rules: the route's timeout runs from the moment the request is complete (a long upload is not under it)
//! to the end of the answer; the idle timeout ends a stream in which nothing moves; the request timeout bounds the upload.

use super::request::Upload;
use crate::clock::Deadline;
use crate::error::ProxyError;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bounds in time of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When the request arrived.
    pub arrived: Instant,
    /// From the end of the request to the end of the answer.
    pub timeout: Option<Duration>,
    /// Without any progress; noticed after once to twice this time.
    pub idle: Option<Duration>,
    /// From arrival to the end of the request.
    pub upload: Option<Duration>,
    /// Of one try: from the end of the request, or from the try's beginning, to the head of the answer.
    pub per_try: Option<Duration>,
    /// Of one try, without any progress once the request is complete; noticed after once to twice this time.
    pub per_try_idle: Option<Duration>,
    /// From arrival to the end of the answer, come what may.
    pub longest: Option<Duration>,
}

impl Limits {
    /// No bounds.
    pub const fn none(arrived: Instant) -> Self {
        Self { arrived, timeout: None, idle: None, upload: None, per_try: None, per_try_idle: None, longest: None }
    }

    /// When everything has to be over, given when the request was complete.
    pub fn end(&self, complete: Instant) -> Option<(Instant, ProxyError)> {
        let timeout = self.timeout.map(|t| (complete + t, ProxyError::Timeout));
        let longest = self.longest.map(|t| (self.arrived + t, ProxyError::StreamDuration));
        earlier(timeout, longest)
    }
}

fn earlier(a: Option<(Instant, ProxyError)>, b: Option<(Instant, ProxyError)>) -> Option<(Instant, ProxyError)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Watches the bounds of one exchange: polled whenever there is nothing else to do.
#[derive(Debug)]
pub struct Patience {
    limits: Limits,
    upload: Option<Rc<Upload>>,
    /// When the answer has to be complete, once the request is, and what it is called when it is not.
    end: Option<(Instant, ProxyError)>,
    /// When the answer has to begin.
    head: Option<Instant>,
    moved: bool,
    armed: Option<Deadline>,
}

impl Patience {
    /// For a request whose body is `upload`; None when it is complete already.
    pub fn new(limits: Limits, upload: Option<Rc<Upload>>) -> Self {
        let mut it = Self { limits, upload: None, end: None, head: None, moved: false, armed: None };
        match upload {
            Some(upload) => it.upload = Some(upload),
            None => it.complete(limits.arrived),
        }
        it
    }

    /// The request was complete at `then`; the try's own time begins now.
    fn complete(&mut self, then: Instant) {
        self.end = self.limits.end(then);
        self.head = self.limits.per_try.map(|t| Instant::now() + t);
    }

    /// Something of the answer arrived.
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// The head of the answer arrived.
    pub fn answered(&mut self) {
        if self.limits.per_try.take().is_some() {
            (self.head, self.armed) = (None, None);
        }
    }

    /// Ready when a bound has passed, with what to call it.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<ProxyError> {
        if let Some(ended) = self.upload.as_ref().and_then(|u| u.ended(cx.waker())) {
            self.upload = None;
            self.complete(ended);
            self.armed = None;
        }
        loop {
            let Some(armed) = &mut self.armed else {
                let Some(at) = self.next() else { return Poll::Pending };
                self.armed = Some(Deadline::new(at));
                continue;
            };
            if armed.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            if let Some(why) = self.passed() {
                return Poll::Ready(why);
            }
        }
    }

    /// The bound on the upload or on the answer, whichever is under way.
    fn fixed(&self) -> Option<(Instant, ProxyError)> {
        if self.upload.is_none() {
            return earlier(self.end, self.head.map(|at| (at, ProxyError::PerTryTimeout)));
        }
        let upload = self.limits.upload.map(|t| (self.limits.arrived + t, ProxyError::RequestTimeout));
        earlier(upload, self.limits.longest.map(|t| (self.limits.arrived + t, ProxyError::StreamDuration)))
    }

    fn next(&self) -> Option<Instant> {
        // Most requests have a timeout shorter than the idle one: their clock need not be read.
        let idle = match (self.limits.idle, self.limits.timeout) {
            (Some(idle), Some(timeout)) if self.upload.is_none() && timeout <= idle => None,
            (idle, _) => idle.map(|t| Instant::now() + t),
        };
        let try_idle = self.try_idle().map(|t| Instant::now() + t);
        [self.fixed().map(|f| f.0), idle, try_idle].into_iter().flatten().min()
    }

    fn passed(&mut self) -> Option<ProxyError> {
        if let Some((at, why)) = self.fixed()
            && at <= Instant::now()
        {
            return Some(why);
        }
        let moved = std::mem::take(&mut self.moved) | self.upload.as_ref().is_some_and(|u| u.take_moved());
        match (moved, self.upload.is_some()) {
            (true, _) => None,
            (false, true) => Some(ProxyError::RequestTimeout),
            (false, false) if self.try_idle().is_some() => Some(ProxyError::PerTryIdle),
            (false, false) => Some(ProxyError::StreamIdle),
        }
    }

    /// The time in which a try may stand still, when it is the shorter one and the request is complete.
    fn try_idle(&self) -> Option<Duration> {
        let time = self.limits.per_try_idle.filter(|_| self.upload.is_none());
        time.filter(|t| self.limits.idle.is_none_or(|idle| *t < idle))
    }
}

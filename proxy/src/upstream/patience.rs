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
}

/// Watches the bounds of one exchange: polled whenever there is nothing else to do.
#[derive(Debug)]
pub struct Patience {
    limits: Limits,
    upload: Option<Rc<Upload>>,
    /// When the answer has to be complete, once the request is.
    end: Option<Instant>,
    moved: bool,
    armed: Option<Deadline>,
}

impl Patience {
    /// For a request whose body is `upload`; None when it is complete already.
    pub fn new(limits: Limits, upload: Option<Rc<Upload>>) -> Self {
        let end = if upload.is_none() { limits.timeout.map(|t| limits.arrived + t) } else { None };
        Self { limits, upload, end, moved: false, armed: None }
    }

    /// Something of the answer arrived.
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// Ready when a bound has passed, with what to call it.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<ProxyError> {
        if let Some(ended) = self.upload.as_ref().and_then(|u| u.ended(cx.waker())) {
            self.upload = None;
            self.end = self.limits.timeout.map(|t| ended + t);
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
    fn fixed(&self) -> Option<Instant> {
        if self.upload.is_some() { self.limits.upload.map(|t| self.limits.arrived + t) } else { self.end }
    }

    fn next(&self) -> Option<Instant> {
        // Most requests have a timeout shorter than the idle one: their clock need not be read.
        let idle = match (self.limits.idle, self.limits.timeout) {
            (Some(idle), Some(timeout)) if self.upload.is_none() && timeout <= idle => None,
            (idle, _) => idle.map(|t| Instant::now() + t),
        };
        [self.fixed(), idle].into_iter().flatten().min()
    }

    fn passed(&mut self) -> Option<ProxyError> {
        let uploading = self.upload.is_some();
        if self.fixed().is_some_and(|at| at <= Instant::now()) {
            return Some(if uploading { ProxyError::RequestTimeout } else { ProxyError::Timeout });
        }
        let moved = std::mem::take(&mut self.moved) | self.upload.as_ref().is_some_and(|u| u.take_moved());
        match (moved, uploading) {
            (true, _) => None,
            (false, true) => Some(ProxyError::RequestTimeout),
            (false, false) => Some(ProxyError::StreamIdle),
        }
    }
}

//! Tries a request again, as its route or its own headers ask. Envoy's rules: what counts as worth another try ([`decide`]), a jittered exponential
//! wait before it, a bound on retries at once (a number or a share of the requests under way), a body kept within a bound.
//!
//! Called by [`crate::stack`] for requests that may be tried again; the others do not come here. Copies left before and are never sent again.

pub mod budget;
pub mod decide;

use super::Upstream;
use super::answer::UpstreamBody;
use super::errand::Errand;
use super::patience::Limits;
use super::replay::{Replay, Source};
use super::request::{Parcel, RequestBody, Upload};
use crate::clock::Deadline;
use crate::error::ProxyError;
use crate::router::terms::Retry;
use budget::Permit;
use http::{Request, Response};
use rand::RngExt as _;
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

type Sent = Result<Response<UpstreamBody>, ProxyError>;

/// Sends a request as often as its terms allow, until an answer is worth passing on.
///
/// # Errors
/// What the last try ended with.
pub async fn send(upstream: &Upstream, parcel: &mut Parcel, errand: &Errand<'_>, mut retry: Box<Retry>) -> Sent {
    let Some(mut again) = parcel.take().map(|request| Again::new(request, retry.buffer)) else {
        return Err(ProxyError::Reset("nothing to send"));
    };
    let mut wait = retry.policy.base_interval;
    let mut tries = 0;
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut permit: Option<Permit> = None;
    loop {
        let mut to = None;
        *parcel = Some(again.request());
        let avoid = if retry.policy.avoid_tried > 0 { tried.as_slice() } else { &[] };
        let sent = upstream.attempt(parcel, &Errand { avoid, once: true, ..*errand }, &mut to).await;
        tried.extend(to);
        tries += 1;
        upstream.tries.set(tries);
        let was_retry = permit.take().is_some();
        if !decide::is_worth_another(&retry, &sent) {
            if was_retry && sent.is_ok() {
                upstream.stats.events.add("upstream_rq_retry_success");
            }
            again.settle();
            return if was_retry { sent.map_err(ProxyError::again) } else { sent };
        }
        permit = allowed(upstream, errand.high_priority, &mut retry, &again);
        if permit.is_none() {
            again.settle();
            return if was_retry { sent.map_err(ProxyError::again) } else { sent };
        }
        if let Ok(answer) = sent {
            answer.into_body().let_go();
        }
        upstream.stats.events.add("upstream_rq_retry_backoff_exponential");
        pause(jittered(wait), &errand.limits, again.complete()).await?;
        wait = (wait * 2).min(retry.policy.max_interval);
    }
}

/// Counts a retry if there may be one.
fn allowed(upstream: &Upstream, high_priority: bool, retry: &mut Retry, again: &Again) -> Option<Permit> {
    let events = &upstream.stats.events;
    if retry.left == 0 {
        events.add("upstream_rq_retry_limit_exceeded");
        return None;
    }
    if !again.is_possible() {
        events.add("retry_or_shadow_abandoned");
        return None;
    }
    retry.left -= 1;
    let permit = upstream.retry_permit(high_priority);
    events.add(if permit.is_some() { "upstream_rq_retry" } else { "upstream_rq_retry_overflow" });
    permit
}

/// A uniform part of the longest wait.
fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// Waits, but not beyond the end of the whole.
async fn pause(time: Duration, limits: &Limits, complete: Instant) -> Result<(), ProxyError> {
    let until = Instant::now() + time;
    match limits.end(complete) {
        Some((end, why)) if end <= until => {
            let mut deadline = Deadline::new(end);
            poll_fn(|cx| deadline.poll(cx)).await;
            Err(why)
        }
        _ => {
            tokio::time::sleep(time).await;
            Ok(())
        }
    }
}

/// A request that can be made again.
struct Again {
    head: Request<()>,
    body: Kept,
}

enum Kept {
    Empty,
    Source(Rc<RefCell<Source>>, Rc<Upload>),
    /// Something that can be sent only once.
    Once(Option<RequestBody>),
}

impl Again {
    fn new(request: Request<RequestBody>, buffer: usize) -> Self {
        let (head, body) = request.into_parts();
        let body = match body {
            RequestBody::Empty => Kept::Empty,
            RequestBody::Client(client) => {
                let upload = client.upload();
                Kept::Source(Source::new(*client, buffer), upload)
            }
            other => Kept::Once(Some(other)),
        };
        Self { head: Request::from_parts(head, ()), body }
    }

    fn request(&mut self) -> Request<RequestBody> {
        let body = match &mut self.body {
            Kept::Empty => RequestBody::Empty,
            Kept::Source(source, _) => RequestBody::Replay(Box::new(Replay::next(source))),
            Kept::Once(body) => body.take().unwrap_or(RequestBody::Empty),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method().clone();
        *request.uri_mut() = self.head.uri().clone();
        *request.headers_mut() = self.head.headers().clone();
        *request.extensions_mut() = self.head.extensions().clone();
        request
    }

    fn is_possible(&self) -> bool {
        match &self.body {
            Kept::Empty => true,
            Kept::Source(source, _) => source.borrow().is_whole(),
            Kept::Once(body) => body.is_some(),
        }
    }

    /// When the request was complete; now, if it is not.
    fn complete(&self) -> Instant {
        match &self.body {
            Kept::Source(_, upload) => upload.ended(Waker::noop()).unwrap_or_else(Instant::now),
            Kept::Empty | Kept::Once(_) => Instant::now(),
        }
    }

    fn settle(&self) {
        if let Kept::Source(source, _) = &self.body {
            source.borrow_mut().settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_a_part_of_the_longest() {
        let longest = Duration::from_millis(100);
        let waits: Vec<_> = (0..200).map(|_| jittered(longest)).collect();
        assert!(waits.iter().all(|w| *w < longest));
        // The middle of 200 uniform draws: 50 ms with a standard error of 2 ms.
        let mean = waits.iter().sum::<Duration>() / 200;
        assert!((38..62).contains(&mean.as_millis()), "{mean:?}");
    }
}

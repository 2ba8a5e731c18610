//! Copies. The promises:
//!
//! * Production never waits for a copy: a copy runs in its own task, over its own connections; its body is collected from frames that pass by anyway.
//! * Production never sees a copy's failure, and never sends anything again because of one.
//! * Everything is bounded: copies under way, body bytes held (per copy and in all), time. What exceeds a bound costs the copy, with a reason.
//! * The account closes: every copy opportunity is completed, under way, or dropped for exactly one named reason.
//! * Copies are marked, and a marked request is never copied again.
//! * Sampling of each policy is independent of every other random choice about the request.

pub mod sample;
pub mod tee;

use crate::config::model::{MirrorMethods, MirrorPolicy};
use crate::error::ProxyError;
use crate::http::headers;
use crate::stats::MirrorStats;
use crate::upstream::Upstream;
use crate::upstream::patience::Limits;
use crate::upstream::request::{Parcel, RequestBody};
use http::{HeaderValue, Method, Request, StatusCode, request};
use http_body::Body as _;
use rand::RngExt as _;
use sample::Fraction;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tee::{Collected, Tee};
use tokio::sync::oneshot;

/// Marks a copy.
pub const MARK: http::HeaderName = http::HeaderName::from_static("x-foreshadow-copy");

/// A mirror policy as one worker applies it.
#[derive(Debug)]
pub struct Mirror {
    policy: Arc<MirrorPolicy>,
    upstream: Rc<Upstream>,
    stats: Rc<MirrorStats>,
    fraction: Rc<Fraction>,
    /// The host of the last request and the copy's: nearly always the same again.
    last_host: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

/// Copies of one request that were decided on; sent when production's side allows.
#[derive(Debug)]
pub struct Copies {
    accepted: Vec<oneshot::Sender<bool>>,
    pairs: Vec<Rc<Pair>>,
    /// Collects the request's body for the copies; None when there is no body to collect.
    pub tee: Option<Tee>,
}

impl Copies {
    /// Production answered with this status.
    pub fn answered(&mut self, status: StatusCode) {
        for gate in self.accepted.drain(..) {
            // A copy that is gone does not want to know.
            let _ = gate.send(status.as_u16() < 500);
        }
        self.pairs.drain(..).for_each(|pair| pair.production(status));
    }
}

impl Mirror {
    /// A policy in force.
    pub fn new(policy: Arc<MirrorPolicy>, upstream: Rc<Upstream>, stats: Rc<MirrorStats>, fraction: Rc<Fraction>) -> Self {
        Self { policy, upstream, stats, fraction, last_host: RefCell::default() }
    }

    /// How many copies this request gets; counts the opportunity and, when none, the reason.
    fn wish(&self, head: &request::Parts, peer: IpAddr) -> u64 {
        self.stats.eligible_requests.add(1);
        let refused = if head.headers.contains_key(&MARK) {
            Some("marked")
        } else if self.policy.limits.methods == MirrorMethods::Safe && !is_safe(&head.method) {
            Some("method")
        } else {
            None
        };
        let wished = if refused.is_some() { 0 } else { self.fraction.copies(self.policy.limits.key.as_ref(), head, peer) };
        self.stats.eligible.add(wished.max(1));
        if wished == 0 {
            self.stats.dropped.add(refused.unwrap_or("sampled_out"));
        }
        wished
    }

    /// Takes a place for a copy, if there is one.
    fn place(&self) -> Option<Place> {
        if self.stats.in_flight.get() >= self.policy.limits.max_in_flight as u64 {
            self.stats.dropped.add("overflow_count");
            return None;
        }
        self.stats.in_flight.add(1);
        Some(Place { stats: self.stats.clone(), over: Cell::new(false) })
    }

    /// The copy of a request, without its body.
    fn copy(&self, head: &request::Parts) -> Request<RequestBody> {
        let mut copy = Request::new(RequestBody::Empty);
        (*copy.method_mut(), *copy.uri_mut()) = (head.method.clone(), head.uri.clone());
        let headers = copy.headers_mut();
        *headers = head.headers.clone();
        headers::apply(&self.policy.request_headers, headers);
        let host = match (&self.policy.host_rewrite, headers.get(http::header::HOST)) {
            (Some(host), _) => Some(host.clone()),
            (None, Some(host)) if !self.policy.keep_host => self.shadow_host(host),
            _ => None,
        };
        if let Some(host) = host {
            headers.insert(http::header::HOST, host);
        }
        headers.insert(MARK, HeaderValue::from_static("1"));
        copy
    }

    fn shadow_host(&self, host: &HeaderValue) -> Option<HeaderValue> {
        if let Some((_, shadow)) = self.last_host.borrow().as_ref().filter(|last| last.0 == host) {
            return Some(shadow.clone());
        }
        let shadow = shadow_host(host)?;
        self.last_host.replace(Some((host.clone(), shadow.clone())));
        Some(shadow)
    }
}

/// Decides about copies of a request (its head as it goes upstream) and starts them; they wait for the body and, where the policy says so, for
/// production's acceptance. `body` is the request's.
pub fn start(mirrors: &[Rc<Mirror>], head: &request::Parts, body: &hyper::body::Incoming, peer: IpAddr) -> Option<Copies> {
    let mut copies = Copies { accepted: Vec::new(), pairs: Vec::new(), tee: None };
    let mut started = false;
    for mirror in mirrors {
        let wished = mirror.wish(head, peer);
        for nth in 0..wished {
            let Some(place) = mirror.place() else { continue };
            started = true;
            let pair = Rc::new(Pair::new(&mirror.stats));
            let accepted = mirror.policy.limits.only_accepted.then(|| {
                let (gate, wait) = oneshot::channel();
                copies.accepted.push(gate);
                wait
            });
            if nth == 0 {
                copies.pairs.push(pair.clone());
            }
            let collected =
                (!body.is_end_stream()).then(|| copies.tee.get_or_insert_with(Tee::default).collect(&mirror.stats, &mirror.policy.limits));
            let delay = (nth > 0).then(|| mirror.policy.limits.spread.mul_f64(rand::rng().random_range(0.0..1.0)));
            let mut copy = Copy { mirror: mirror.clone(), parcel: Some(mirror.copy(head)), pair, delay, collected, accepted };
            tokio::task::spawn_local(async move {
                match copy.run().await {
                    Ok(()) => place.completed(),
                    Err(reason) => place.dropped(reason),
                }
            });
        }
    }
    started.then_some(copies)
}

/// One copy on its way.
struct Copy {
    mirror: Rc<Mirror>,
    parcel: Parcel,
    pair: Rc<Pair>,
    delay: Option<Duration>,
    collected: Option<oneshot::Receiver<Collected>>,
    accepted: Option<oneshot::Receiver<bool>>,
}

impl Copy {
    /// Until the answer has arrived whole, or why it has not.
    async fn run(&mut self) -> Result<(), &'static str> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        // Held until the end: the bytes are this long in use.
        let mut held = Collected::default();
        if let Some(wait) = self.collected.take() {
            // Nobody answers when the request's body went away before its end.
            held = wait.await.map_err(|_| "client_cancelled")?;
        }
        if let Some(reason) = held.refused {
            return Err(reason);
        }
        if let Some(wait) = self.accepted.take()
            && !wait.await.unwrap_or(false)
        {
            return Err("not_accepted");
        }
        if let Some(request) = &mut self.parcel {
            *request.body_mut() = RequestBody::held(held.frames.iter().cloned());
        }
        let limits = Limits { timeout: Some(self.mirror.policy.limits.timeout), ..Limits::none(Instant::now()) };
        let mut answer = self.mirror.upstream.send(&mut self.parcel, limits).await.map_err(ProxyError::reason)?;
        self.pair.copy(answer.status());
        let mut body = pin!(answer.body_mut());
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            frame.map_err(|e| e.downcast_ref::<ProxyError>().map_or("reset", |p| p.reason()))?;
        }
        Ok(())
    }
}

/// A copy's place in the account: closed exactly once, also when its task is dropped.
#[derive(Debug)]
struct Place {
    stats: Rc<MirrorStats>,
    over: Cell<bool>,
}

impl Place {
    fn completed(&self) {
        self.close();
        self.stats.completed.add(1);
    }

    fn dropped(&self, reason: &'static str) {
        self.close();
        self.stats.dropped.add(reason);
    }

    fn close(&self) {
        self.over.set(true);
        self.stats.in_flight.sub(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.over.get() {
            self.dropped("shutdown");
        }
    }
}

/// Compares the statuses of a request and its first copy when both are known.
#[derive(Debug)]
struct Pair {
    stats: Rc<MirrorStats>,
    production: Cell<u16>,
    copy: Cell<u16>,
}

impl Pair {
    fn new(stats: &Rc<MirrorStats>) -> Self {
        Self { stats: stats.clone(), production: Cell::new(0), copy: Cell::new(0) }
    }

    fn production(&self, status: StatusCode) {
        self.production.set(status.as_u16() / 100);
        self.compare();
    }

    fn copy(&self, status: StatusCode) {
        self.copy.set(status.as_u16() / 100);
        self.compare();
    }

    fn compare(&self) {
        match (self.production.get(), self.copy.get()) {
            (0, _) | (_, 0) => {}
            (a, b) if a == b => self.stats.status_match.add(1),
            _ => self.stats.status_mismatch.add(1),
        }
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// `host:port` -> `host-shadow:port`, as Envoy does.
fn shadow_host(host: &HeaderValue) -> Option<HeaderValue> {
    let text = host.to_str().ok()?;
    let port = text.rfind(':').filter(|i| text[i + 1..].bytes().all(|b| b.is_ascii_digit()));
    let (name, port) = text.split_at(port.unwrap_or(text.len()));
    HeaderValue::from_str(&format!("{name}-shadow{port}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_suffix_stands_before_the_port() {
        let suffixed = |h: &str| shadow_host(&HeaderValue::from_str(h).unwrap()).unwrap();
        assert_eq!(suffixed("a.example"), "a.example-shadow");
        assert_eq!(suffixed("a.example:8080"), "a.example-shadow:8080");
        assert_eq!(suffixed("[::1]:80"), "[::1]-shadow:80");
    }

    #[test]
    fn a_place_is_closed_exactly_once() {
        let stats = Rc::new(MirrorStats::default());
        stats.in_flight.add(2);
        Place { stats: stats.clone(), over: Cell::new(false) }.completed();
        drop(Place { stats: stats.clone(), over: Cell::new(false) });
        assert_eq!((stats.in_flight.get(), stats.completed.get()), (0, 1));
    }
}

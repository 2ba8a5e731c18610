//! Copies. The promises:
//!
//! * Production never waits for a copy: a copy runs in its own task, over its own connections; its body is collected from frames that pass by anyway.
//! * Production never sees a copy's failure, and never sends anything again because of one.
//! * Everything is bounded, for the whole process ([`caps`]): copies under way, body bytes held (per copy and in all), rate, time. What exceeds a bound costs the copy, with a reason.
//! * The account closes: every copy opportunity is completed, under way, or dropped for exactly one named reason.
//! * Copies are marked, and a marked request is never copied again.
//! * Sampling of each policy is independent of every other random choice about the request.
//!
//! Neither CONNECT nor upgraded connections are copied: what follows on them answers the other side, and a shadow's answers go nowhere. (Envoy copies
//! the request that asks for a WebSocket; its shadow then waits for frames that never come.)

pub mod caps;
pub mod copy;
pub mod pair;
pub mod sample;
pub mod tee;

use crate::config::model::{MirrorMethods, MirrorPolicy};
use crate::format::record::Record;
use crate::http::headers;
use crate::stats::{MirrorStats, RouteStats};
use crate::upstream::Upstream;
use crate::upstream::request::RequestBody;
use caps::Caps;
use copy::{Copy, Place};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, request};
use http_body::Body as _;
use pair::{Pair, Side, Watch};
use rand::RngExt as _;
use sample::Fraction;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tee::Tee;
use tokio::sync::oneshot;

/// Marks a copy.
pub const MARK: http::HeaderName = http::HeaderName::from_static("x-foreshadow-copy");

/// A mirror policy as one worker applies it.
#[derive(Debug)]
pub struct Mirror {
    policy: Arc<MirrorPolicy>,
    to: To,
    caps: Arc<Caps>,
    stats: Rc<MirrorStats>,
    fraction: Rc<Fraction>,
    /// The host of the last request and the copy's: nearly always the same again.
    last_host: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

/// Where a policy's copies go.
#[derive(Debug)]
pub enum To {
    /// To this cluster.
    One(Rc<Upstream>),
    /// To the cluster that a request header names.
    Named(HeaderName, Rc<BTreeMap<String, Rc<Upstream>>>),
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
    /// Production answered with this status, so long after the request arrived; None when it did not get as far as an upstream. Whoever passes
    /// the answer's body on has to show it to the watch, if there is one.
    pub fn answered(&mut self, status: StatusCode, first_byte_us: Option<u64>) -> Option<Box<Watch>> {
        for gate in self.accepted.drain(..) {
            // A copy that is gone does not want to know.
            let _ = gate.send(status.as_u16() < 500);
        }
        Watch::of(std::mem::take(&mut self.pairs), Side::new(status, first_byte_us))
    }

    /// One more copy waits for production's acceptance.
    fn gate(&mut self) -> oneshot::Receiver<bool> {
        let (gate, wait) = oneshot::channel();
        self.accepted.push(gate);
        wait
    }
}

impl Mirror {
    /// A policy in force.
    pub fn new(policy: Arc<MirrorPolicy>, to: To, caps: Arc<Caps>, stats: Rc<MirrorStats>, fraction: Rc<Fraction>) -> Self {
        Self { policy, to, caps, stats, fraction, last_host: RefCell::default() }
    }

    /// How many copies this request gets; counts the opportunity and, when none, the reason.
    fn wish(&self, head: &request::Parts, peer: IpAddr) -> u64 {
        self.stats.eligible_requests.add(1);
        let fraction = self.fraction.now();
        let refused = if head.headers.contains_key(&MARK) {
            Some("marked")
        } else if self.policy.limits.methods == MirrorMethods::Safe && !is_safe(&head.method) {
            Some("method")
        } else {
            None
        };
        let wished = if refused.is_some() { 0 } else { self.fraction.copies(fraction, self.policy.limits.key.as_ref(), head, peer) };
        self.stats.eligible.add(wished.max(1));
        if wished == 0 {
            self.stats.dropped.add(refused.unwrap_or("sampled_out"));
        } else {
            // Each copy stands for so many requests, whatever the fraction was when it was drawn (Horvitz and Thompson 1952).
            self.stats.represented.add(wished as f64 / fraction);
        }
        wished
    }

    /// Where copies of this request go.
    fn upstream(&self, head: &request::Parts) -> Option<&Rc<Upstream>> {
        match &self.to {
            To::One(upstream) => Some(upstream),
            To::Named(header, clusters) => clusters.get(head.headers.get(header)?.to_str().ok()?),
        }
    }

    /// Takes a place for a copy, if there is one.
    fn place(&self) -> Option<Place> {
        let limits = &self.policy.limits;
        if !self.caps.enter(limits.max_in_flight as u64) {
            self.stats.dropped.add("overflow_count");
            return None;
        }
        if limits.max_per_second.is_some_and(|rate| !self.caps.keeps_rate(rate)) {
            self.caps.leave();
            self.stats.dropped.add("rate");
            return None;
        }
        self.stats.in_flight.add(1);
        Some(Place::new(&self.stats, &self.caps))
    }

    /// The copy of a request, without its body.
    fn copy(&self, head: &request::Parts, record: Option<&Record>) -> Request<RequestBody> {
        let mut copy = Request::new(RequestBody::Empty);
        (*copy.method_mut(), *copy.uri_mut()) = (head.method.clone(), head.uri.clone());
        let headers = copy.headers_mut();
        *headers = head.headers.clone();
        for name in &self.policy.limits.strip_headers {
            headers.remove(name);
        }
        headers::apply(&self.policy.request_headers, headers, record);
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
/// production's acceptance. `body` is the request's; `class` finds the numbers of its route towards a cluster.
pub fn start(
    mirrors: &[Rc<Mirror>],
    head: &request::Parts,
    body: &hyper::body::Incoming,
    peer: IpAddr,
    record: Option<&Record>,
    class: &dyn Fn(&Upstream) -> Option<Rc<RouteStats>>,
) -> Option<Copies> {
    let mut copies = Copies { accepted: Vec::new(), pairs: Vec::new(), tee: None };
    let mut started = false;
    // A body that says it is too long is not collected at all.
    let size = body.size_hint().lower();
    for mirror in mirrors {
        let wished = mirror.wish(head, peer);
        let Some(upstream) = mirror.upstream(head).filter(|_| wished > 0) else {
            (0..wished).for_each(|_| mirror.stats.dropped.add("no_cluster"));
            continue;
        };
        let limits = &mirror.policy.limits;
        if let Err(reason) = tee::fits(size, &mirror.caps, limits) {
            (0..wished).for_each(|_| mirror.stats.dropped.add(reason));
            continue;
        }
        for nth in 0..wished {
            let Some(place) = mirror.place() else { continue };
            started = true;
            let pair = (nth == 0).then(|| Rc::new(Pair::new(&mirror.stats, limits.compare_bodies)));
            copies.pairs.extend(pair.clone());
            let accepted = limits.only_accepted.then(|| copies.gate());
            let collected =
                (!body.is_end_stream()).then(|| copies.tee.get_or_insert_with(Tee::default).collect(&mirror.stats, &mirror.caps, limits));
            let delay = (nth > 0).then(|| limits.spread.mul_f64(rand::rng().random_range(0.0..1.0)));
            let parcel = Some(mirror.copy(head, record));
            let copy = Copy {
                upstream: upstream.clone(),
                class: class(upstream),
                timeout: limits.timeout,
                parcel,
                pair,
                delay,
                collected,
                accepted,
            };
            tokio::task::spawn_local(copy.send(place));
        }
    }
    started.then_some(copies)
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
}

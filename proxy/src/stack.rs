//! A request's way through the sidecar, on one screen: arrive, route, prepare, copy, forward, answer.
//!
//! Runs on one worker's thread; every stage is a plain call. The copy leaves at one named place ([`crate::mirror::start`]).

mod arrive;
mod change;
mod leave;
mod notes;
mod own;

use crate::config::model::{Forward, HeaderOps, HttpManager, ManagerId, Route, RouteAction};
use crate::error::ProxyError;
use crate::http::body::AnswerBody;
use crate::http::forwarded::Origin;
use crate::http::{headers, host, numbers, reply};
use crate::listener::client::Client;
use crate::mirror::{self, Copies};
use crate::router::hash::{self, Hashed};
use crate::router::matching::is_grpc;
use crate::router::terms::{Retry, Terms};
use crate::router::{self, Found, redirect, target};
use crate::state::State;
use crate::stats::{RouteStats, WorkerStats};
use crate::upstream::answer::UpstreamBody;
use crate::upstream::errand::Errand;
use crate::upstream::patience::Limits;
use crate::upstream::request::{Parcel, RequestBody};
use crate::upstream::{Upstream, retry};
use change::{Change, Wish};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use notes::Notes;
use std::rc::Rc;
use std::time::Instant;

pub use own::{gone, unheard};

const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// One request in so many is looked at for the synthetic stream.
const SHAPE_EVERY: u64 = 16;

/// Serves one request, which is taken out of its place.
pub async fn serve(
    state: &State,
    stats: &WorkerStats,
    id: ManagerId,
    client: &Rc<Client>,
    request: &mut Option<Request<Incoming>>,
) -> Response<AnswerBody> {
    stats.downstream.requests.add(1);
    let manager = &state.config.managers[id];
    let mut notes = Notes::default();
    let mut answer = match begin(state, stats, id, client, request, &mut notes) {
        Err(error) => own::own_answer(error, manager, stats, &mut notes),
        Ok(Step::Answer(answer)) => own::local_answer(answer, manager, &mut notes),
        Ok(Step::Forward(mut way)) => {
            let upstream = way.upstream;
            let answered = match way.change.take() {
                // Rare, and large: not to be part of every request's future.
                Some(change) => Box::pin(change::send(way, change, &mut notes)).await,
                None => {
                    let sent = match way.retry.take() {
                        None => way.upstream.send(&mut way.parcel, &way.errand).await,
                        // Rare, and large, too.
                        Some(retry) => Box::pin(retry::send(way.upstream, &mut way.parcel, &way.errand, retry)).await,
                    };
                    notes.sent(way.upstream, &sent);
                    let sent = classified(sent, way.class.take());
                    way.answered(sent, &notes)
                }
            };
            answered.unwrap_or_else(|error| {
                if !error.is_refusal() {
                    upstream.stats.own(error.status());
                }
                own::own_answer(error, manager, stats, &mut notes)
            })
        }
    };
    own::finish(manager, state.servers[id].as_ref(), &mut notes, answer.headers_mut());
    own::answered(stats, answer.status());
    notes.close(answer)
}

/// What a request's first stages come to. (Made once and used where it is made: its size costs nothing.)
#[allow(clippy::large_enum_variant)]
enum Step<'a> {
    Answer(Response<AnswerBody>),
    Forward(Way<'a>),
}

/// A request on its way: the copies, if any, have left.
struct Way<'a> {
    upstream: &'a Upstream,
    parcel: Parcel,
    errand: Errand<'a>,
    retry: Option<Box<Retry>>,
    copies: Option<Copies>,
    answer_headers: &'a HeaderOps,
    manager: &'a HttpManager,
    class: Option<Rc<RouteStats>>,
    /// The request wants its connection to become something else.
    change: Option<Change>,
}

impl Way<'_> {
    fn answered(mut self, sent: Result<Response<UpstreamBody>, ProxyError>, notes: &Notes) -> Result<Response<AnswerBody>, ProxyError> {
        let status = sent.as_ref().map_or_else(|e| e.status(), Response::status);
        let first_byte_us = sent.as_ref().ok().map(|s| s.body().first_byte_us());
        let watch = self.copies.as_mut().and_then(|copies| copies.answered(status, first_byte_us));
        let mut answer = sent?.map(|body| AnswerBody::upstream(body).watched(watch));
        *answer.version_mut() = Version::HTTP_11;
        // An upstream's own reason phrase ends here, as with Envoy.
        answer.extensions_mut().clear();
        if headers::look(answer.headers()).hop_by_hop {
            headers::strip_hop_by_hop(answer.headers_mut());
        }
        if !self.manager.suppress_envoy_headers {
            answer.headers_mut().insert(SERVICE_TIME, numbers::value(first_byte_us.unwrap_or_default() / 1000));
        }
        headers::apply(self.answer_headers, answer.headers_mut(), notes.record());
        Ok(answer)
    }
}

/// What became of a request counts for its route, too, when that has a name.
fn classified(
    mut sent: Result<Response<UpstreamBody>, ProxyError>,
    class: Option<Rc<RouteStats>>,
) -> Result<Response<UpstreamBody>, ProxyError> {
    let Some(class) = class else { return sent };
    class.requests.add(1);
    match &mut sent {
        Ok(answer) => answer.body_mut().classify(class),
        Err(_) => class.failures.add(1),
    }
    sent
}

/// A request that has found its route.
struct Routed<'a, 'c> {
    state: &'a State,
    stats: &'c WorkerStats,
    manager: &'a HttpManager,
    client: &'c Rc<Client>,
    route: &'a Route,
    to: &'a Forward,
    arrived: Instant,
    origin: Origin,
    host: HeaderValue,
    /// One of the kubelet's: neither copied nor counted.
    probe: bool,
    /// What it wants its connection to become.
    change: Option<Change>,
}

/// Arrive, route.
fn begin<'a>(
    state: &'a State,
    stats: &WorkerStats,
    id: ManagerId,
    client: &Rc<Client>,
    request: &mut Option<Request<Incoming>>,
    notes: &mut Notes,
) -> Result<Step<'a>, ProxyError> {
    let arrived = Instant::now();
    let manager = &state.config.managers[id];
    let (mut head, body) = request.take().ok_or(ProxyError::Invalid("no request"))?.into_parts();
    if head.version < Version::HTTP_11 && !manager.connection.accept_http_10 {
        return Ok(Step::Answer(reply::with(StatusCode::UPGRADE_REQUIRED, "Upgrade Required")));
    }
    let wish = change::wish(&mut head);
    notes.open(state, id, arrived, client, Some(&head));
    let host = host::normalize(manager, arrive::admit(&mut head)?, client.local.port());
    if let Some(to) = arrive::normalize(manager, &mut head)? {
        return own::redirected(Some((StatusCode::TEMPORARY_REDIRECT, to)), None, notes);
    }
    let origin = arrive::origin(manager, &mut head, client);
    let probe = arrive::is_probe(&head);
    notes.arrived(manager, &head, &host, origin.address, probe);
    notes.grpc = head.method == Method::POST && is_grpc(head.headers.get(CONTENT_TYPE));
    let host_text = host.to_str().unwrap_or_default();
    if stats.downstream.requests.get() % SHAPE_EVERY == 1 {
        arrive::remember(stats, &head, host_text);
    }
    let route = match router::find(&manager.routes, &head, host_text, state) {
        Found::Route(route) => route,
        Found::TlsRequired => return own::redirected(redirect::to_tls(&head, host_text), None, notes),
        Found::Nothing => return Err(if wish == Some(Wish::Tunnel) { ProxyError::Connecting } else { ProxyError::NoRoute }),
    };
    notes.named(route);
    let change = wish.map(|wish| change::allow(wish, &head, manager, &route.action, state)).transpose()?;
    let to = match &route.action {
        RouteAction::Direct { status, body } => return Ok(Step::Answer(own::direct(*status, body, route, notes))),
        RouteAction::Redirect(to) => {
            return own::redirected(redirect::location(to, &route.matching.path, &head, host_text), Some(route), notes);
        }
        RouteAction::Forward(to) => to,
    };
    let routed = Routed { state, stats, manager, client, route, to, arrived, origin, host, probe, change };
    routed.leave(head, body, notes).map(Step::Forward)
}

impl<'a> Routed<'a, '_> {
    /// Prepare, copy.
    fn leave(self, mut head: Parts, body: Incoming, notes: &mut Notes) -> Result<Way<'a>, ProxyError> {
        let Self { state, stats, manager, client, route, to, arrived, origin, host, probe, change } = self;
        let http2 = head.version == Version::HTTP_2;
        let (cluster, weighted) = target::choose(&to.to, &head, state)?;
        let hashed = if to.hash.is_empty() { Hashed::default() } else { hash::hash(&to.hash, &head, origin.address) };
        notes.cookie = hashed.cookie;
        let mut terms = Terms::new(to, &mut head, origin.internal);
        let auto_host = leave::prepare(manager, route, to, weighted, &mut head, host, notes)?;
        leave::tell_timeout(manager, &terms, &mut head);
        if change.is_some() {
            terms = Terms::without_end();
        }
        if body.is_end_stream() && leave::announces_length(&head.method) && !head.headers.contains_key(CONTENT_LENGTH) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let upstream = if probe { &state.probes[cluster] } else { &state.upstreams[cluster] };
        let mut copies = if probe || change.is_some() {
            None
        } else {
            let class = |to: &Upstream| state.class(stats, route, to);
            mirror::start(leave::mirrors(state, to, cluster), &head, &body, origin.address, notes.record(), &class)
        };
        let body = RequestBody::client(body, client, &upstream.stats, copies.as_mut().and_then(|c| c.tee.take()));
        notes.towards(upstream, body.upload());
        let limits = Limits {
            arrived,
            timeout: terms.timeout,
            idle: to.idle_timeout.unwrap_or(manager.stream_idle_timeout),
            upload: manager.request_timeout,
            per_try: terms.per_try,
            per_try_idle: terms.per_try_idle,
            longest: terms.longest,
        };
        let change = change.map(|mut change| {
            change.ask(&mut head, upstream.cluster.protocol);
            change.idle = limits.idle;
            change
        });
        let tunnel = change.as_ref().is_some_and(Change::by_connect);
        let errand = Errand { auto_host, hash: hashed.hash, high_priority: to.high_priority, http2, tunnel, ..limits.into() };
        let answer_headers = weighted.and_then(|w| w.headers.as_deref()).map_or(&route.response_headers, |own| &own.1);
        let class = if probe { None } else { state.class(stats, route, upstream) };
        let parcel = Some(Request::from_parts(head, body));
        Ok(Way { upstream, parcel, errand, retry: terms.retry, copies, answer_headers, manager, class, change })
    }
}

//! A request's way through the sidecar, on one screen: arrive, route, prepare, copy, forward, answer.
//!
//! Runs on one worker's thread; every stage is a plain call. The copy leaves at one named place ([`crate::mirror::start`]).

mod change;
mod notes;

use crate::config::model::{Forward, HeaderOps, HostRewrite, HttpManager, ManagerId, Route, RouteAction, ServerHeader, Weighted};
use crate::error::{ProxyError, grpc_status};
use crate::http::body::AnswerBody;
use crate::http::forwarded::{self, Origin};
use crate::http::{headers, host, numbers, path, reply};
use crate::listener::client::Client;
use crate::mirror::{self, Copies, Mirror};
use crate::router::hash::{self, Hashed};
use crate::router::matching::is_grpc;
use crate::router::terms::{Retry, Terms};
use crate::router::{self, Found, redirect, rewrite, target};
use crate::state::State;
use crate::stats::{RouteStats, WorkerStats};
use crate::upstream::answer::UpstreamBody;
use crate::upstream::errand::Errand;
use crate::upstream::patience::Limits;
use crate::upstream::request::{Parcel, RequestBody};
use crate::upstream::{Upstream, retry};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, SERVER, SET_COOKIE, USER_AGENT,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use notes::Notes;
use std::rc::Rc;
use std::time::{Duration, Instant};

const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// One request in so many is looked at for the synthetic stream.
const SHAPE_EVERY: u64 = 16;
/// Longest path remembered for the synthetic stream.
const SHAPE_PATH: usize = 512;

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
        Err(error) => own_answer(error, manager, stats, &mut notes),
        Ok(Step::Answer(answer)) => local_answer(answer, manager, &mut notes),
        Ok(Step::Forward(mut way)) => {
            let upstream = way.upstream;
            let sent = match way.retry.take() {
                None => way.upstream.send(&mut way.parcel, way.errand).await,
                // Rare, and large: not to be part of every request's future.
                Some(retry) => Box::pin(retry::send(way.upstream, &mut way.parcel, way.errand, retry)).await,
            };
            notes.sent(way.upstream, &sent);
            let sent = classified(sent, way.class.take());
            let answered = match way.change.take() {
                None => way.answered(sent, &notes),
                // Rare, and large: not to be part of every request's future.
                Some(idle) => Box::pin(change::answered(way, sent, idle, &notes)).await,
            };
            answered.unwrap_or_else(|error| {
                if !error.is_refusal() {
                    upstream.stats.own(error.status());
                }
                own_answer(error, manager, stats, &mut notes)
            })
        }
    };
    finish(manager, state.servers[id].as_ref(), &mut notes, answer.headers_mut());
    answered(stats, answer.status());
    notes.close(answer)
}

fn answered(stats: &WorkerStats, status: StatusCode) {
    stats.downstream.responses[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].add(1);
}

/// What every answer gets.
fn finish(manager: &HttpManager, server: Option<&HeaderValue>, notes: &mut Notes, headers: &mut HeaderMap) {
    if let Some(server) = server
        && (manager.server_header == ServerHeader::Overwrite
            || manager.server_header == ServerHeader::AppendIfAbsent && !headers.contains_key(SERVER))
    {
        headers.insert(SERVER, server.clone());
    }
    if let Some(id) = notes.id.take() {
        headers.insert(forwarded::REQUEST_ID, id);
    }
    if let Some(cookie) = notes.cookie.take() {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(via) = &manager.via {
        forwarded::add_via(headers, via);
    }
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
    /// The request asks for another protocol, on which nothing may move for so long.
    change: Option<Option<Duration>>,
}

impl Way<'_> {
    fn answered(mut self, sent: Result<Response<UpstreamBody>, ProxyError>, notes: &Notes) -> Result<Response<AnswerBody>, ProxyError> {
        let status = sent.as_ref().map_or_else(|e| e.status(), Response::status);
        let first_byte_us = sent.as_ref().ok().map(|s| s.body().first_byte_us);
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

/// Arrive, route, prepare, copy.
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
    let change = change::wish(&head);
    notes.open(state, id, arrived, client, Some(&head));
    let host = host::normalize(manager, admit(&mut head)?, client.local.port());
    match path::normalize(manager, path_and_query(&head)) {
        path::Outcome::Unchanged => {}
        path::Outcome::Changed(path) => head.uri = path.parse().map_err(|_| ProxyError::Invalid("path_normalization_failed"))?,
        path::Outcome::Redirect(to) => {
            return redirected(HeaderValue::from_str(&to).ok().map(|to| (StatusCode::TEMPORARY_REDIRECT, to)), None, notes);
        }
        path::Outcome::Refused => return Err(ProxyError::Invalid("path_normalization_failed")),
    }
    let origin = arrive(manager, &mut head, client);
    let probe = is_probe(&head);
    notes.arrived(manager, &head, &host, origin.address, probe);
    notes.grpc = head.method == Method::POST && is_grpc(head.headers.get(CONTENT_TYPE));
    let host_text = host.to_str().unwrap_or_default();
    if stats.downstream.requests.get() % SHAPE_EVERY == 1 {
        remember(stats, &head, host_text);
    }
    let route = match router::find(&manager.routes, &head, host_text, state) {
        Found::Route(route) => route,
        Found::TlsRequired => return redirected(redirect::to_tls(&head, host_text), None, notes),
        Found::Nothing => return Err(ProxyError::NoRoute),
    };
    notes.named(route);
    if let Some(protocol) = &change {
        change::allow(protocol, manager, &route.action, state)?;
    }
    let to = match &route.action {
        RouteAction::Direct { status, body } => return Ok(Step::Answer(direct(*status, body, route, notes))),
        RouteAction::Redirect(to) => return redirected(redirect::location(to, &route.matching.path, &head, host_text), Some(route), notes),
        RouteAction::Forward(to) => to,
    };
    let (cluster, weighted) = target::choose(&to.to, &head, state)?;
    let hashed = if to.hash.is_empty() { Hashed::default() } else { hash::hash(&to.hash, &head, origin.address) };
    notes.cookie = hashed.cookie;
    let mut terms = Terms::new(to, &mut head, origin.internal);
    let auto_host = prepare(manager, route, to, weighted, &mut head, host, notes)?;
    tell_timeout(manager, &terms, &mut head);
    if change.is_some() {
        terms = Terms::without_end();
    }
    if body.is_end_stream() && announces_length(&head.method) && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let upstream = if probe { &state.probes[cluster] } else { &state.upstreams[cluster] };
    let mut copies = if probe || change.is_some() {
        None
    } else {
        mirror::start(mirrors(state, to, cluster), &head, &body, origin.address, notes.record(), &|to| state.class(stats, route, to))
    };
    let body = RequestBody::client(body, client, &upstream.stats, copies.as_mut().and_then(|c| c.tee.take()));
    notes.towards(upstream, body.upload());
    let limits = Limits {
        arrived,
        timeout: terms.timeout,
        idle: to.idle_timeout.unwrap_or(manager.stream_idle_timeout),
        upload: manager.request_timeout,
        per_try: terms.per_try,
        longest: terms.longest,
    };
    let errand = Errand { auto_host, hash: hashed.hash, high_priority: to.high_priority, ..limits.into() };
    let answer_headers = weighted.and_then(|w| w.headers.as_deref()).map_or(&route.response_headers, |own| &own.1);
    let class = if probe { None } else { state.class(stats, route, upstream) };
    let change = change.map(|protocol| {
        change::ask(protocol, &mut head.headers);
        limits.idle
    });
    let parcel = Some(Request::from_parts(head, body));
    Ok(Step::Forward(Way { upstream, parcel, errand, retry: terms.retry, copies, answer_headers, manager, class, change }))
}

/// What every request gets before it is routed; where it comes from.
fn arrive(manager: &HttpManager, head: &mut Parts, client: &Client) -> Origin {
    let found = headers::look(&head.headers);
    if found.hop_by_hop {
        headers::strip_hop_by_hop(&mut head.headers);
    }
    if found.expect {
        headers::strip_continue(&mut head.headers);
    }
    if found.client_cert {
        forwarded::strip_client_cert(&mut head.headers);
    }
    forwarded::arrive(manager, &mut head.headers, client, found.envoy)
}

/// Methods whose requests say how long their body is even when there is none (RFC 9110, section 8.6).
fn announces_length(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT)
}

fn path_and_query(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", |p| p.as_str())
}

/// Sends the client elsewhere.
fn redirected<'a>(to: Option<(StatusCode, HeaderValue)>, route: Option<&Route>, notes: &Notes) -> Result<Step<'a>, ProxyError> {
    let (status, location) = to.ok_or(ProxyError::Invalid("the redirect cannot be written"))?;
    let mut answer = reply::with(status, "");
    answer.headers_mut().insert(LOCATION, location);
    if let Some(route) = route {
        headers::apply(&route.response_headers, answer.headers_mut(), notes.record());
    }
    Ok(Step::Answer(answer))
}

fn direct(status: StatusCode, body: &Bytes, route: &Route, notes: &Notes) -> Response<AnswerBody> {
    let mut answer = reply::with(status, body.clone());
    headers::apply(&route.response_headers, answer.headers_mut(), notes.record());
    answer
}

/// Refuses what is not served here; the host of what is.
fn admit(head: &mut Parts) -> Result<HeaderValue, ProxyError> {
    if head.method == Method::CONNECT {
        return Err(ProxyError::Connecting);
    }
    if head.version == Version::HTTP_2 {
        join_cookies(head);
    }
    // RFC 9112, section 3.2: whoever reads the other one would be led astray.
    if head.headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(ProxyError::Invalid("multiple_host_headers"));
    }
    let host = match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => head.headers.get(HOST).cloned(),
    };
    // HTTP/1.0 knows requests without a host.
    let host = host.or_else(|| (head.version < Version::HTTP_11).then_some(HeaderValue::from_static("")));
    host.ok_or(ProxyError::Invalid("missing_host_header"))
}

/// HTTP/2 may bring a cookie in crumbs; they are joined on the way (RFC 9113, section 8.2.3).
fn join_cookies(head: &mut Parts) {
    if head.headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<_> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            head.headers.insert(COOKIE, whole);
        }
    }
}

/// The request as it goes upstream: path, headers, host. Whether the host is left to the endpoint.
fn prepare(
    manager: &HttpManager,
    route: &Route,
    to: &Forward,
    weighted: Option<&Weighted>,
    head: &mut Parts,
    host: HeaderValue,
    notes: &mut Notes,
) -> Result<bool, ProxyError> {
    rewrite::path(&route.matching.path, to, head)?;
    let headers = weighted.and_then(|w| w.headers.as_deref()).map_or(&route.request_headers, |own| &own.0);
    headers::apply(headers, &mut head.headers, notes.record());
    let how = weighted.and_then(|w| w.host_rewrite.as_ref()).or(to.host_rewrite.as_ref());
    let new = how.and_then(|how| rewrite::host(how, to.append_forwarded_host, head, &host));
    let host = new.unwrap_or(host);
    if head.version == Version::HTTP_2 || head.headers.get(HOST) != Some(&host) {
        head.headers.insert(HOST, host.clone());
    }
    if manager.suppress_envoy_headers {
        rewrite::untold(head);
    }
    notes.request(head, &host);
    head.version = Version::HTTP_11;
    Ok(matches!(how, Some(HostRewrite::Auto)))
}

/// Tells upstream how long it has: one try, or all.
fn tell_timeout(manager: &HttpManager, terms: &Terms, head: &mut Parts) {
    if let Some(timeout) = terms.per_try.or(terms.timeout).filter(|_| !manager.suppress_envoy_headers) {
        head.headers.insert(EXPECTED_TIMEOUT, numbers::value(timeout.as_millis() as u64));
    }
}

/// A cluster's own policies stand before the route's.
fn mirrors<'a>(state: &'a State, to: &Forward, cluster: usize) -> &'a [Rc<Mirror>] {
    let own = &state.cluster_mirrors[cluster];
    if own.is_empty() { state.route_mirrors(to) } else { own }
}

/// The kubelet's probes are neither copied nor counted.
fn is_probe(head: &Parts) -> bool {
    head.headers.get(USER_AGENT).is_some_and(|a| a.as_bytes().starts_with(b"kube-probe/"))
}

/// Remembers the request's shape for the synthetic stream: safe methods only, nothing that came with credentials, query values left out.
fn remember(stats: &WorkerStats, head: &Parts, host: &str) {
    let safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe || is_probe(head) || head.headers.contains_key(AUTHORIZATION) || head.headers.contains_key(mirror::MARK) {
        return;
    }
    let mut path = head.uri.path().to_owned();
    for (nth, pair) in head.uri.query().into_iter().flat_map(|q| q.split('&')).enumerate() {
        path.push(if nth == 0 { '?' } else { '&' });
        path.push_str(&pair[..pair.find('=').map_or(pair.len(), |at| at + 1)]);
    }
    if path.len() <= SHAPE_PATH {
        stats.remember(head.method.as_str(), host, &path);
    }
}

/// An answer by a route's own words, in the form that is wanted.
fn local_answer(answer: Response<AnswerBody>, manager: &HttpManager, notes: &mut Notes) -> Response<AnswerBody> {
    if !notes.grpc {
        return notes.local(manager, answer);
    }
    let (status, text) = (grpc_status(answer.status()), answer.body().text().cloned().unwrap_or_default());
    notes.local(manager, reply::for_grpc(answer, status, &String::from_utf8_lossy(&text)))
}

fn own_answer(error: ProxyError, manager: &HttpManager, stats: &WorkerStats, notes: &mut Notes) -> Response<AnswerBody> {
    if error.is_refusal() {
        stats.downstream.refused.add(error.reason());
    }
    let answer = reply::failed(error, manager.suppress_envoy_headers);
    notes.failed(error);
    let answer = if notes.grpc { reply::for_grpc(answer, error.grpc_status(), &error.to_string()) } else { answer };
    notes.local(manager, answer)
}

/// The answer to what never became a request: counted and written down like others.
pub fn unheard(state: &State, stats: &WorkerStats, id: ManagerId, client: &Rc<Client>, why: ProxyError) -> Response<AnswerBody> {
    let manager = &state.config.managers[id];
    stats.downstream.events.add(if why == ProxyError::HeadTimeout {
        "downstream_rq_header_timeout"
    } else {
        "downstream_cx_protocol_error"
    });
    let mut notes = Notes::default();
    notes.open(state, id, Instant::now(), client, None);
    let mut answer = own_answer(why, manager, stats, &mut notes);
    finish(manager, state.servers[id].as_ref(), &mut notes, answer.headers_mut());
    answered(stats, answer.status());
    notes.close(answer)
}

/// Answer when the listener is gone.
pub fn gone() -> Response<AnswerBody> {
    reply::with(StatusCode::SERVICE_UNAVAILABLE, "the listener was removed")
}

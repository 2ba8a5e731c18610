//! A request as it leaves: path, headers and host as its route wants them, what upstream is told, who gets a copy.

use super::EXPECTED_TIMEOUT;
use super::notes::Notes;
use crate::config::model::{Forward, HostRewrite, HttpManager, Route, Weighted};
use crate::error::ProxyError;
use crate::http::{headers, numbers};
use crate::mirror::Mirror;
use crate::router::rewrite;
use crate::router::terms::Terms;
use crate::state::State;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Version};
use std::rc::Rc;

/// Methods whose requests say how long their body is even when there is none (RFC 9110, section 8.6).
pub(super) fn announces_length(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT)
}

/// The request as it goes upstream: path, headers, host. Whether the host is left to the endpoint.
pub(super) fn prepare(
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
pub(super) fn tell_timeout(manager: &HttpManager, terms: &Terms, head: &mut Parts) {
    if let Some(timeout) = terms.per_try.or(terms.timeout).filter(|_| !manager.suppress_envoy_headers) {
        head.headers.insert(EXPECTED_TIMEOUT, numbers::value(timeout.as_millis() as u64));
    }
}

/// A cluster's own policies stand before the route's.
pub(super) fn mirrors<'a>(state: &'a State, to: &Forward, cluster: usize) -> &'a [Rc<Mirror>] {
    let own = &state.cluster_mirrors[cluster];
    if own.is_empty() { state.route_mirrors(to) } else { own }
}

//! A request's arrival: who it comes from, what is not served here, and its path in the form that routes are compared with.

use crate::config::model::HttpManager;
use crate::error::ProxyError;
use crate::http::forwarded::{self, Origin};
use crate::http::{headers, path};
use crate::listener::client::Client;
use crate::mirror;
use crate::stats::WorkerStats;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Method, Version};

/// Longest path remembered for the synthetic stream.
const SHAPE_PATH: usize = 512;

/// Brings the path into its normal form; where to send the client instead, if the manager wants that.
pub(super) fn normalize(manager: &HttpManager, head: &mut Parts) -> Result<Option<HeaderValue>, ProxyError> {
    const WRONG: ProxyError = ProxyError::Invalid("path_normalization_failed");
    if let Some(target) = path::rooted(&head.uri) {
        head.uri = target;
    }
    match path::normalize(manager, path_and_query(head)) {
        path::Outcome::Unchanged => {}
        path::Outcome::Changed(path) => head.uri = path.parse().map_err(|_| WRONG)?,
        path::Outcome::Redirect(to) => {
            return HeaderValue::from_str(&to).map(Some).map_err(|_| ProxyError::Invalid("the redirect cannot be written"));
        }
        path::Outcome::Refused => return Err(WRONG),
    }
    Ok(None)
}

/// What every request gets before it is routed; where it comes from.
pub(super) fn origin(manager: &HttpManager, head: &mut Parts, client: &Client) -> Origin {
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

fn path_and_query(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", |p| p.as_str())
}

/// Refuses what is not served here; the host of what is.
pub(super) fn admit(head: &mut Parts) -> Result<HeaderValue, ProxyError> {
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

/// The kubelet's probes are neither copied nor counted.
pub(super) fn is_probe(head: &Parts) -> bool {
    head.headers.get(USER_AGENT).is_some_and(|a| a.as_bytes().starts_with(b"kube-probe/"))
}

/// Remembers the request's shape for the synthetic stream: safe methods only, nothing that came with credentials, query values left out.
pub(super) fn remember(stats: &WorkerStats, head: &Parts, host: &str) {
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

//! What a request says about where it comes from, and how much of it is believed: `x-forwarded-for`, `x-forwarded-proto`, `x-request-id` and
//! Envoy's own `x-envoy-*`. Envoy's rules, so that applications behind either proxy see the same.
//!
//! Called once for each request, before it is routed. Not here: hop-by-hop headers ([`super::headers`]).

use crate::config::model::HttpManager;
use crate::listener::client::Client;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT, VIA};
use rand::RngExt as _;
use std::net::IpAddr;

/// Identifies a request on all its hops.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const SERVICE_CLUSTER: HeaderName = HeaderName::from_static("x-envoy-downstream-service-cluster");
const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Taken from requests that do not come from inside: these steer the proxy.
static FOR_INSIDERS: [HeaderName; 14] = [
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-upstream-alt-stat-name"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-alt-response"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-force-trace"),
    HeaderName::from_static("x-envoy-ip-tags"),
    HeaderName::from_static("x-envoy-original-url"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
];

/// Taken from requests that come from outside: nobody before us could have set these rightly.
static FOR_MIDDLEMEN: [HeaderName; 5] = [
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-downstream-service-cluster"),
    HeaderName::from_static("x-envoy-downstream-service-node"),
    HeaderName::from_static("x-envoy-original-path"),
    HeaderName::from_static("x-envoy-original-host"),
];

/// Whom a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as the hops between are trusted.
    pub address: IpAddr,
    /// From an internal address, with nobody between.
    pub internal: bool,
    /// From outside, and this proxy is the first that sees it.
    pub edge: bool,
}

/// Finds out where a request comes from and sets what the next hop is told about it. `has_envoy` says whether any `x-envoy-*` header is there.
pub fn arrive(manager: &HttpManager, headers: &mut HeaderMap, client: &Client, has_envoy: bool) -> Origin {
    let origin = origin(manager, headers, client.remote.ip());
    if has_envoy {
        sanitize(headers, origin);
    }
    if manager.use_remote_address {
        if !manager.skip_xff_append {
            append(headers, client.remote.ip());
        }
        if origin.edge
            && let Ok(value) = HeaderValue::from_str(&origin.address.to_string())
        {
            headers.insert(EXTERNAL_ADDRESS, value);
        }
    }
    if origin.internal {
        headers.insert(INTERNAL, HeaderValue::from_static("true"));
    }
    // At the edge nobody is believed; one trusted hop before us knows better.
    if (manager.use_remote_address && manager.xff_num_trusted_hops == 0) || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if client.tls { "https" } else { "http" }));
    }
    introduce(manager, headers);
    if manager.generate_request_id {
        let keep = !origin.edge || manager.preserve_external_request_id;
        if !(keep && headers.contains_key(REQUEST_ID)) {
            headers.insert(REQUEST_ID, request_id());
        }
    }
    origin
}

/// Says who we are, where that is wanted.
fn introduce(manager: &HttpManager, headers: &mut HeaderMap) {
    if let Some(name) = &manager.add_user_agent {
        headers.insert(SERVICE_CLUSTER, name.clone());
        if headers.get(USER_AGENT).is_none_or(HeaderValue::is_empty) {
            headers.insert(USER_AGENT, name.clone());
        }
    }
    if let Some(via) = &manager.via {
        add_via(headers, via);
    }
}

/// Adds a hop to `via`.
pub fn add_via(headers: &mut HeaderMap, via: &HeaderValue) {
    let joined = headers.get(VIA).and_then(|before| HeaderValue::from_bytes(&[before.as_bytes(), b", ", via.as_bytes()].concat()).ok());
    headers.insert(VIA, joined.unwrap_or_else(|| via.clone()));
}

/// Whom a request comes from, by its headers as they arrived.
fn origin(manager: &HttpManager, headers: &HeaderMap, peer: IpAddr) -> Origin {
    let trusted = manager.xff_num_trusted_hops as usize;
    let (address, alone) = if manager.use_remote_address {
        let named = trusted.checked_sub(1).and_then(|skip| from_end(headers, skip)).map(|a| a.0);
        (Some(named.unwrap_or(peer)), !headers.contains_key(FORWARDED_FOR))
    } else {
        from_end(headers, trusted).map_or((None, false), |(address, alone)| (Some(address), alone))
    };
    let internal = alone && address.is_some_and(|a| manager.internal_addresses.iter().any(|range| range.contains(a)));
    Origin { address: address.unwrap_or(peer), internal, edge: manager.use_remote_address && !internal }
}

/// The address so many places before the end of `x-forwarded-for`, and whether it stands there alone.
fn from_end(headers: &HeaderMap, skip: usize) -> Option<(IpAddr, bool)> {
    let mut left = skip;
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        let text = line.to_str().ok()?;
        let hops = text.split(',').count();
        if left < hops {
            let address = text.rsplit(',').nth(left)?.trim().parse().ok()?;
            return Some((address, skip == 0 && hops == 1 && headers.get_all(FORWARDED_FOR).iter().nth(1).is_none()));
        }
        left -= hops;
    }
    None
}

fn append(headers: &mut HeaderMap, peer: IpAddr) {
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok());
    let mut all = String::new();
    for line in before {
        all.push_str(line);
        all.push(',');
    }
    all.push_str(&peer.to_string());
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(FORWARDED_FOR, value);
    }
}

fn sanitize(headers: &mut HeaderMap, origin: Origin) {
    headers.remove(INTERNAL);
    let inside: &[HeaderName] = if origin.internal { &[] } else { &FOR_INSIDERS };
    let between: &[HeaderName] = if origin.edge { &FOR_MIDDLEMEN } else { &[] };
    for name in inside.iter().chain(between) {
        headers.remove(name);
    }
}

/// The client's certificate is told by whoever saw it: never by the client (Envoy's SANITIZE).
pub fn strip_client_cert(headers: &mut HeaderMap) {
    headers.remove(CLIENT_CERT);
}

/// A random UUID, version 4 (RFC 9562).
fn request_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(b >> 4)];
        text[at + 1] = HEX[usize::from(b & 0xf)];
        at += 2;
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|l| (FORWARDED_FOR, HeaderValue::from_static(l))).collect()
    }

    #[test]
    fn hops_are_counted_from_the_end_over_all_lines() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let two = headers(&["1.1.1.1, 2.2.2.2", "3.3.3.3"]);
        assert_eq!(from_end(&two, 0), Some((ip("3.3.3.3"), false)));
        assert_eq!(from_end(&two, 1), Some((ip("2.2.2.2"), false)));
        assert_eq!(from_end(&two, 2), Some((ip("1.1.1.1"), false)));
        assert_eq!(from_end(&two, 3), None);
        assert_eq!(from_end(&headers(&["::1"]), 0), Some((ip("::1"), true)));
        assert_eq!(from_end(&headers(&["junk"]), 0), None);
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let id = request_id();
        let id = id.to_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(id, request_id());
    }
}

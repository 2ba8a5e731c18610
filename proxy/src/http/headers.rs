//! Header operations: configured additions and removals, hop-by-hop headers, forwarding headers, request ids.

use crate::config::model::{HeaderOps, HeaderSetMode, HttpManager};
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use rand::RngExt as _;
use std::net::IpAddr;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HOP_BY_HOP: [HeaderName; 4] = [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];

/// Applies configured operations: removals first.
pub fn apply(ops: &HeaderOps, headers: &mut HeaderMap) {
    for name in &ops.remove {
        headers.remove(name);
    }
    for set in &ops.set {
        let present = headers.contains_key(&set.name);
        match set.mode {
            HeaderSetMode::Append => {
                headers.append(set.name.clone(), set.value.clone());
            }
            HeaderSetMode::AddIfAbsent if present => {}
            HeaderSetMode::OverwriteIfExists if !present => {}
            _ => {
                headers.insert(set.name.clone(), set.value.clone());
            }
        }
    }
}

/// Removes what concerns one connection only (RFC 9110, section 7.6.1). One look over the names finds that there is nothing to do, as a rule.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let hop = |name: &HeaderName| HOP_BY_HOP.contains(name) || *name == TE || *name == CONNECTION;
    if !headers.keys().any(hop) {
        return;
    }
    if let Some(connection) = headers.remove(CONNECTION) {
        let named = connection.to_str().unwrap_or_default().split(',').filter_map(|n| n.trim().parse::<HeaderName>().ok());
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // Only "trailers" may pass (RFC 9113, section 8.2.2).
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
}

/// Sets `x-forwarded-for`, `x-forwarded-proto` and `x-request-id` as the connection manager says.
pub fn forward(manager: &HttpManager, headers: &mut HeaderMap, peer: IpAddr) {
    if manager.use_remote_address {
        let text = match headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok()) {
            Some(before) => format!("{before},{peer}"),
            None => peer.to_string(),
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    // At the edge nobody is believed; one trusted hop before us knows better.
    if (manager.use_remote_address && manager.xff_num_trusted_hops == 0) || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    let keep = headers.contains_key(REQUEST_ID) && (manager.preserve_external_request_id || !manager.use_remote_address);
    if manager.generate_request_id && !keep {
        headers.insert(REQUEST_ID, request_id());
    }
}

/// Who the client is, by the headers as they arrived: as many hops of `x-forwarded-for` are believed as the connection manager says.
pub fn client(manager: &HttpManager, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let trusted = manager.xff_num_trusted_hops as usize;
    let from_end = match (manager.use_remote_address, trusted) {
        (true, 0) => return peer,
        (true, hops) => hops - 1,
        (false, hops) => hops,
    };
    let forwarded = headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok());
    forwarded.and_then(|f| f.rsplit(',').nth(from_end)).and_then(|a| a.trim().parse().ok()).unwrap_or(peer)
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

    #[test]
    fn connection_headers_stay_on_their_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "x-mine, keep-alive"), ("x-mine", "1"), ("keep-alive", "5"), ("te", "gzip"), ("x-other", "2")]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let id = request_id();
        let id = id.to_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(id, request_id());
    }
}

//! Header operations: configured additions and removals, hop-by-hop headers. Not here: who is believed what ([`super::forwarded`]).

use crate::config::model::{HeaderOps, HeaderSetMode, HeaderText};
use crate::format::record::Record;
use http::header::{CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HOP_BY_HOP: [HeaderName; 4] = [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];

/// Applies configured operations: removals first. Values that are made for each exchange are made from `record`; there is one wherever the
/// configuration has such values.
pub fn apply(ops: &HeaderOps, headers: &mut HeaderMap, record: Option<&Record>) {
    for name in &ops.remove {
        headers.remove(name);
    }
    for set in &ops.set {
        let made = match (&set.value, record) {
            (HeaderText::Fixed(value), _) => Some(value.clone()),
            (HeaderText::Made(template), Some(record)) => HeaderValue::from_str(&template.text(record, "")).ok(),
            (HeaderText::Made(_), None) => None,
        };
        let Some(value) = made.filter(|v| set.keep_empty || !v.is_empty()) else { continue };
        let present = headers.contains_key(&set.name);
        match set.mode {
            HeaderSetMode::Append => {
                headers.append(set.name.clone(), value);
            }
            HeaderSetMode::AddIfAbsent if present => {}
            HeaderSetMode::OverwriteIfExists if !present => {}
            _ => {
                headers.insert(set.name.clone(), value);
            }
        }
    }
}

/// What one look over the names of headers finds: as a rule that there is nothing to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Something that concerns one connection only.
    pub hop_by_hop: bool,
    /// One of Envoy's own, `x-envoy-*`.
    pub envoy: bool,
    /// A client certificate's description.
    pub client_cert: bool,
    /// An expectation.
    pub expect: bool,
}

/// Looks over the names.
pub fn look(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for name in headers.keys() {
        let text = name.as_str();
        if text.starts_with("x-") {
            found.envoy |= text.starts_with("x-envoy-");
            found.client_cert |= text == "x-forwarded-client-cert";
        } else {
            found.expect |= *name == EXPECT;
            found.hop_by_hop |= HOP_BY_HOP.contains(name) || *name == TE || *name == CONNECTION;
        }
    }
    found
}

/// Removes what concerns one connection only (RFC 9110, section 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
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

/// Removes the expectation that is met here already (RFC 9110, section 10.1.1).
pub fn strip_continue(headers: &mut HeaderMap) {
    if headers.get(EXPECT).is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        headers.remove(EXPECT);
    }
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
        assert!(look(&headers).hop_by_hop && !look(&headers).envoy);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}

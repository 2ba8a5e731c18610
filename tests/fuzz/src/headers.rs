//! Headers: trust rules, hop-by-hop headers, configured rewrites. What concerns one connection never passes.

use foreshadow_proxy::config::model::HttpManager;
use foreshadow_proxy::http::{forwarded, headers};
use foreshadow_proxy::listener::client::Client;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;

thread_local! {
    static MANAGER: HttpManager = super::manager();
}

/// Takes bytes as header lines.
pub fn fuzz(data: &[u8]) {
    let mut map = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(200) {
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().and_then(|n| HeaderName::from_bytes(n).ok());
        let value = parts.next().and_then(|v| HeaderValue::from_bytes(v).ok());
        if let (Some(name), Some(value)) = (name, value) {
            map.append(name, value);
        }
    }
    let client = Client::new(SocketAddr::from(([203, 0, 113, 7], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
    MANAGER.with(|manager| {
        let found = headers::look(&map);
        forwarded::arrive(manager, &mut map, &client, found.envoy);
        headers::strip_hop_by_hop(&mut map);
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            assert!(!map.contains_key(name), "{name} passes");
        }
        assert!(map.get("te").is_none_or(|te| te == "trailers"));
        for host in &manager.routes.virtual_hosts {
            for route in &host.routes {
                let mut rewritten = map.clone();
                headers::apply(&route.request_headers, &mut rewritten, None);
                assert!(
                    route
                        .request_headers
                        .remove
                        .iter()
                        .all(|n| route.request_headers.set.iter().any(|s| s.name == *n) || !rewritten.contains_key(n))
                );
            }
        }
    });
}

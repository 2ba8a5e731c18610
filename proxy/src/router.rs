//! Which route a request takes: virtual host by Envoy's precedence (exact, longest suffix, longest prefix, any), then the first route that matches.

use crate::config::model::{Domain, HeaderMatch, HeaderValueMatch, PathMatch, Route, RouteTable, VirtualHost};
use http::request::Parts;
use std::sync::Arc;

/// The route of a request, if any.
pub fn find<'a>(table: &'a RouteTable, head: &Parts, host: &str) -> Option<&'a Arc<Route>> {
    let path = head.uri.path();
    virtual_host(table, host)?
        .routes
        .iter()
        .find(|r| path_matches(&r.path, path) && r.headers.iter().all(|h| header_matches(h, head, host)))
}

fn virtual_host<'a>(table: &'a RouteTable, host: &str) -> Option<&'a VirtualHost> {
    // The usual sidecar has one virtual host for everything.
    if let [only] = table.virtual_hosts.as_slice()
        && only.domains.contains(&Domain::Any)
    {
        return Some(only);
    }
    let host = host.to_ascii_lowercase();
    let rank = |v: &VirtualHost| v.domains.iter().filter_map(|d| domain_rank(d, &host)).max();
    table.virtual_hosts.iter().filter_map(|v| rank(v).map(|r| (r, v))).max_by_key(|r| r.0).map(|r| r.1)
}

/// Larger wins; None does not match.
fn domain_rank(domain: &Domain, host: &str) -> Option<(u8, usize)> {
    match domain {
        Domain::Exact(name) => (name == host).then_some((3, 0)),
        Domain::Suffix(end) => (host.len() > end.len() && host.ends_with(end.as_str())).then_some((2, end.len())),
        Domain::Prefix(start) => (host.len() > start.len() && host.starts_with(start.as_str())).then_some((1, start.len())),
        Domain::Any => Some((0, 0)),
    }
}

fn path_matches(matcher: &PathMatch, path: &str) -> bool {
    match matcher {
        PathMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
        PathMatch::Exact(exact) => path == exact,
        PathMatch::SeparatedPrefix(prefix) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Regex(regex) => regex.is_match(path),
    }
}

fn header_matches(matcher: &HeaderMatch, head: &Parts, host: &str) -> bool {
    let value = match matcher.name.as_str() {
        ":method" => Some(head.method.as_str()),
        ":path" => Some(head.uri.path_and_query().map_or("/", |p| p.as_str())),
        ":authority" | "host" => Some(host),
        name => head.headers.get(name).and_then(|v| v.to_str().ok()),
    };
    let matched = match (&matcher.value, value) {
        (HeaderValueMatch::Present(wanted), value) => value.is_some() == *wanted,
        (_, None) => return false,
        (HeaderValueMatch::Exact(text), Some(v)) => v == text,
        (HeaderValueMatch::Prefix(text), Some(v)) => v.starts_with(text.as_str()),
        (HeaderValueMatch::Suffix(text), Some(v)) => v.ends_with(text.as_str()),
        (HeaderValueMatch::Contains(text), Some(v)) => v.contains(text.as_str()),
        (HeaderValueMatch::Regex(regex), Some(v)) => regex.is_match(v),
    };
    matched != matcher.invert
}

/// The path after a prefix rewrite.
pub fn rewrite(matcher: &PathMatch, rewrite: &str, path_and_query: &str) -> String {
    let matched = match matcher {
        PathMatch::Prefix(p) | PathMatch::Exact(p) | PathMatch::SeparatedPrefix(p) => p.len(),
        PathMatch::Regex(_) => 0,
    };
    let text = format!("{rewrite}{}", path_and_query.get(matched..).unwrap_or_default());
    if text.starts_with('/') { text } else { format!("/{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, domain: Domain) -> VirtualHost {
        VirtualHost { name: name.into(), domains: vec![domain], routes: Vec::new() }
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let table = RouteTable {
            name: String::new(),
            virtual_hosts: vec![
                host("any", Domain::Any),
                host("prefix", Domain::Prefix("api.".into())),
                host("suffix", Domain::Suffix(".example.com".into())),
                host("longer", Domain::Suffix(".eu.example.com".into())),
                host("exact", Domain::Exact("api.example.com".into())),
            ],
        };
        let of = |h: &str| virtual_host(&table, h).map(|v| v.name.clone()).unwrap();
        assert_eq!(of("API.example.com"), "exact");
        assert_eq!(of("a.eu.example.com"), "longer");
        assert_eq!(of("b.example.com"), "suffix");
        assert_eq!(of("api.other"), "prefix");
        assert_eq!(of("other"), "any");
    }

    #[test]
    fn paths() {
        let separated = PathMatch::SeparatedPrefix("/api".into());
        assert!(path_matches(&separated, "/api") && path_matches(&separated, "/api/x") && !path_matches(&separated, "/apix"));
        assert_eq!(rewrite(&PathMatch::Prefix("/old/".into()), "/new/", "/old/x?y=1"), "/new/x?y=1");
        assert_eq!(rewrite(&PathMatch::Prefix("/old".into()), "", "/old"), "/");
    }
}

//! The hash of a request for balancing by hash, by the policies of its route: values are hashed and combined as in Envoy, so that both proxies send a
//! request to the same endpoint. A client without the cookie that is asked for gets one.

use crate::config::model::{HashOf, HashPolicy};
use http::HeaderValue;
use http::header::COOKIE;
use http::request::Parts;
use rand::RngExt as _;
use std::net::IpAddr;
use xxhash_rust::xxh64::xxh64;

/// A request's hash, and the `set-cookie` for its answer.
#[derive(Debug, Default)]
pub struct Hashed {
    /// None when no policy found anything.
    pub hash: Option<u64>,
    /// A cookie made here.
    pub cookie: Option<HeaderValue>,
}

/// Applies the policies in order.
pub fn hash(policies: &[HashPolicy], head: &Parts, client: IpAddr) -> Hashed {
    let mut it = Hashed::default();
    for policy in policies {
        let found = match &policy.of {
            HashOf::Header(name) => header(head, name),
            HashOf::Cookie { name, ttl, path } => match cookie(head, name) {
                Some(value) => Some(xxh64(value.as_bytes(), 0)),
                None => ttl.map(|ttl| {
                    let value = format!("{:016x}", rand::rng().random::<u64>());
                    it.cookie = set_cookie(name, &value, ttl.as_secs(), path);
                    xxh64(value.as_bytes(), 0)
                }),
            },
            HashOf::SourceIp => Some(xxh64(client.to_string().as_bytes(), 0)),
            HashOf::Query(name) => query(head, name).map(|v| xxh64(v.as_bytes(), 0)),
        };
        if let Some(found) = found {
            it.hash = Some(it.hash.map_or(found, |before| before.rotate_left(1) ^ found));
            if policy.terminal {
                break;
            }
        }
    }
    it
}

/// Several values count in any order.
fn header(head: &Parts, name: &http::HeaderName) -> Option<u64> {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    let mut all = vec![first];
    all.extend(values.map(HeaderValue::as_bytes));
    all.sort_unstable();
    Some(all.iter().fold(0, |seed, value| xxh64(value, seed)))
}

fn cookie<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = head.headers.get_all(COOKIE).iter().filter_map(|c| c.to_str().ok()).flat_map(|c| c.split(';'));
    let value = pairs.filter_map(|pair| pair.trim().split_once('=')).find(|pair| pair.0 == name)?.1;
    Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)).filter(|v| !v.is_empty())
}

fn query<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).find(|pair| pair.0 == name).map(|pair| pair.1)
}

fn set_cookie(name: &str, value: &str, seconds: u64, path: &str) -> Option<HeaderValue> {
    let age = if seconds > 0 { format!("; Max-Age={seconds}") } else { String::new() };
    let path = if path.is_empty() { String::new() } else { format!("; Path={path}") };
    HeaderValue::from_str(&format!("{name}=\"{value}\"{age}{path}; HttpOnly")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::time::Duration;

    fn head(headers: &[(&str, &str)]) -> Parts {
        headers.iter().fold(Request::builder().uri("/x?a=1&b"), |r, (n, v)| r.header(*n, *v)).body(()).unwrap().into_parts().0
    }

    fn policy(of: HashOf, terminal: bool) -> HashPolicy {
        HashPolicy { of, terminal }
    }

    fn of(policies: &[HashPolicy], headers: &[(&str, &str)]) -> Hashed {
        hash(policies, &head(headers), "10.0.0.1".parse().unwrap())
    }

    #[test]
    fn policies_combine_until_one_that_ends_them() {
        let header = |terminal| policy(HashOf::Header("x-user".parse().unwrap()), terminal);
        let query = || policy(HashOf::Query("a".into()), false);
        let both = of(&[header(false), query()], &[("x-user", "u")]).hash.unwrap();
        assert_eq!(both, xxh64(b"u", 0).rotate_left(1) ^ xxh64(b"1", 0));
        assert_eq!(of(&[header(true), query()], &[("x-user", "u")]).hash, Some(xxh64(b"u", 0)));
        assert_eq!(of(&[header(true), query()], &[]).hash, Some(xxh64(b"1", 0)), "one that finds nothing ends nothing");
        assert_eq!(of(&[header(true)], &[]).hash, None);
        assert_eq!(
            of(&[header(true)], &[("x-user", "b"), ("x-user", "a")]).hash,
            of(&[header(true)], &[("x-user", "a"), ("x-user", "b")]).hash
        );
        assert_eq!(of(&[policy(HashOf::SourceIp, true)], &[]).hash, Some(xxh64(b"10.0.0.1", 0)));
    }

    #[test]
    fn a_client_without_the_cookie_gets_one() {
        let cookie = |ttl| [policy(HashOf::Cookie { name: "s".into(), ttl, path: "/p".into() }, true)];
        let made = of(&cookie(Some(Duration::from_secs(60))), &[("cookie", "other=1")]);
        let line = made.cookie.unwrap().to_str().unwrap().to_owned();
        let value = line.strip_prefix("s=\"").unwrap().split('"').next().unwrap().to_owned();
        assert!(line.ends_with("; Max-Age=60; Path=/p; HttpOnly"), "{line}");
        for sent in [format!("other=1; s={value}"), format!("s=\"{value}\"")] {
            let again = of(&cookie(Some(Duration::from_secs(60))), &[("cookie", &sent)]);
            assert!(again.hash == made.hash && again.cookie.is_none());
        }
        assert!(of(&cookie(None), &[]).hash.is_none());
    }
}

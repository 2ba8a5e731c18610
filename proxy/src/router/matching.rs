//! Whether a request matches a route, by Envoy's rules. Of a header that stands several times, one that matches is enough.

use super::Circumstances;
use crate::config::model::{HeaderMatch, HeaderValueMatch, PathMatch, QueryMatch, RouteMatch};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use std::borrow::Cow;

/// Whether all conditions hold; `path` is the request's without its query.
pub fn matches(route: &RouteMatch, head: &Parts, path: &str, host: &str, now: &impl Circumstances) -> bool {
    // A tunnel has no path, and nothing but a matcher of its own matches it.
    (head.method == Method::CONNECT) == matches!(route.path, PathMatch::Connect)
        && path_matches(&route.path, route.ignore_case, path)
        && route.headers.iter().all(|h| header_matches(h, head, host))
        && route.query.iter().all(|q| query_matches(q, head.uri.query().unwrap_or_default()))
        && (!route.grpc || is_grpc(head.headers.get(CONTENT_TYPE)))
        && route.fraction.as_ref().is_none_or(|f| now.takes_in(f))
}

fn path_matches(matcher: &PathMatch, ignore_case: bool, path: &str) -> bool {
    match matcher {
        PathMatch::Prefix(prefix) => after(prefix, ignore_case, path).is_some(),
        PathMatch::Exact(exact) => after(exact, ignore_case, path).is_some_and(str::is_empty),
        PathMatch::SeparatedPrefix(prefix) => after(prefix, ignore_case, path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathMatch::Regex(regex) => regex.is_match(path),
        PathMatch::Connect => true,
    }
}

/// What follows a prefix.
fn after<'a>(prefix: &str, ignore_case: bool, path: &'a str) -> Option<&'a str> {
    if !ignore_case {
        return path.strip_prefix(prefix);
    }
    let start = path.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &path[prefix.len()..])
}

/// Whether a matcher holds for a request.
pub fn header_matches(matcher: &HeaderMatch, head: &Parts, host: &str) -> bool {
    let pseudo = match matcher.name.as_str() {
        ":method" => Some(head.method.as_str()),
        ":path" => Some(head.uri.path_and_query().map_or("/", |p| p.as_str())),
        ":authority" | "host" => Some(host),
        ":scheme" => Some(super::redirect::scheme(head)),
        _ => None,
    };
    if let Some(value) = pseudo {
        return matcher.value.is_met(Some(value)) != matcher.invert;
    }
    holds(matcher, &head.headers)
}

/// Whether a matcher that is not about the request line holds for these headers.
pub fn holds(matcher: &HeaderMatch, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(matcher.name.as_str()).iter().map(text).peekable();
    if values.peek().is_none() {
        let known = matcher.missing_is_empty || matches!(matcher.value, HeaderValueMatch::Present(_));
        let missing = matcher.missing_is_empty.then_some("");
        return known && matcher.value.is_met(missing) != matcher.invert;
    }
    values.any(|v| matcher.value.is_met(Some(&v))) != matcher.invert
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn query_matches(matcher: &QueryMatch, query: &str) -> bool {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.find(|(name, _)| *name == matcher.name).map(|(_, value)| value);
    match (&matcher.value, value) {
        (None, value) => value.is_some(),
        (Some(wanted), value) => value.is_some_and(|v| wanted.is_match(v)),
    }
}

/// Whether a content type is gRPC's: `application/grpc`, alone or with a suffix such as `+proto`.
pub fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    let rest = content_type.and_then(|v| v.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{RuntimeFraction, StringMatch};
    use http::Request;

    struct Calm;

    impl Circumstances for Calm {
        fn takes_in(&self, fraction: &RuntimeFraction) -> bool {
            fraction.default >= 1.0
        }

        fn cluster(&self, _: &str) -> Option<usize> {
            None
        }
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::builder().uri(uri), |r, (n, v)| r.header(*n, *v));
        request.body(()).unwrap().into_parts().0
    }

    fn header(value: HeaderValueMatch, missing_is_empty: bool, invert: bool) -> HeaderMatch {
        HeaderMatch { name: "x-a".into(), value, missing_is_empty, invert }
    }

    #[test]
    fn paths() {
        let of = |m: &PathMatch, any_case, path: &str| path_matches(m, any_case, path);
        let separated = PathMatch::SeparatedPrefix("/api".into());
        assert!(of(&separated, false, "/api") && of(&separated, false, "/api/x") && !of(&separated, false, "/apix"));
        assert!(of(&separated, true, "/aPI/x") && !of(&separated, false, "/aPI/x") && !of(&separated, true, "/apix"));
        let exact = PathMatch::Exact("/A".into());
        assert!(of(&exact, true, "/a") && !of(&exact, false, "/a") && !of(&exact, true, "/a/"));
        // A letter of several bytes at the end of the prefix is no panic.
        assert!(!of(&PathMatch::Prefix("/ab".into()), true, "/aé"));
    }

    #[test]
    fn headers_by_envoys_truth_table() {
        let exact = |t: &str| HeaderValueMatch::Text(StringMatch::Exact(t.into()));
        let of = |m: &HeaderMatch, headers: &[(&str, &str)]| header_matches(m, &head("/", headers), "h");
        let both: &[(&str, &str)] = &[("x-a", "1"), ("x-a", "2")];
        let none: &[(&str, &str)] = &[];
        // One of several values is enough; inverted, none of them may match.
        assert!(of(&header(exact("2"), false, false), both) && !of(&header(exact("2"), false, true), both));
        assert!(!of(&header(exact("1,2"), false, false), both));
        // Missing: nothing matches, not even inverted, unless it counts as empty.
        assert!(!of(&header(exact("2"), false, true), none) && of(&header(exact("2"), true, true), none));
        assert!(of(&header(exact(""), true, false), none) && !of(&header(exact(""), false, false), none));
        assert!(of(&header(HeaderValueMatch::Present(false), false, false), none));
        assert!(of(&header(HeaderValueMatch::Present(true), false, true), none));
        assert!(of(&header(HeaderValueMatch::Present(true), true, false), none));
        let range = header(HeaderValueMatch::Range(-1, 10), false, false);
        let in_range = |v: &str| of(&range, &[("x-a", v)]);
        assert!(in_range("-1") && in_range("9") && !in_range("10") && !in_range("x") && !in_range("1.5"));
    }

    #[test]
    fn queries_grpc_and_fractions() {
        let of = |value: Option<&str>, query: &str| {
            query_matches(&QueryMatch { name: "a".into(), value: value.map(|v| StringMatch::Exact(v.into())) }, query)
        };
        assert!(of(Some("1"), "b=2&a=1&a=2") && !of(Some("2"), "a=1&a=2") && of(None, "a") && !of(None, "b=a"));
        let grpc = |t: &'static str| is_grpc(Some(&HeaderValue::from_static(t)));
        assert!(grpc("application/grpc") && grpc("application/grpc+proto") && !grpc("application/grpc-web") && !is_grpc(None));
        let part = |default| RouteMatch {
            path: PathMatch::Prefix("/".into()),
            ignore_case: false,
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            fraction: Some(RuntimeFraction { default, key: None }),
        };
        assert!(matches(&part(1.0), &head("/", &[]), "/", "h", &Calm) && !matches(&part(0.5), &head("/", &[]), "/", "h", &Calm));
    }
}

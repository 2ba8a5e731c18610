//! Where a client is sent that has to go elsewhere. Envoy's rules: what a redirect does not say stays as in the request; a port that fits the old
//! scheme only (`:80`, `:443`) goes with it.

use super::rewrite;
use crate::config::model::{PathMatch, Redirect, RedirectPath};
use http::HeaderValue;
use http::StatusCode;
use http::request::Parts;
use std::borrow::Cow;

/// The status and the `location` of a redirect; None when no such location can be written.
pub fn location(redirect: &Redirect, matched: &PathMatch, head: &Parts, host: &str) -> Option<(StatusCode, HeaderValue)> {
    let old = scheme(head);
    let new = redirect.scheme.as_deref().unwrap_or(old);
    let port = redirect.port.map(|p| format!(":{p}")).unwrap_or_default();
    let host = match &redirect.host {
        Some(host) => host,
        None => without_port(host, old, new, !port.is_empty()),
    };
    let path = path(redirect, matched, head.uri.path_and_query().map_or("/", |p| p.as_str()));
    Some((redirect.status, HeaderValue::from_str(&format!("{new}://{host}{port}{path}")).ok()?))
}

/// The same request over TLS.
pub fn to_tls(head: &Parts, host: &str) -> Option<(StatusCode, HeaderValue)> {
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    Some((StatusCode::MOVED_PERMANENTLY, HeaderValue::from_str(&format!("https://{host}{path}")).ok()?))
}

/// The request's scheme, as the connection manager tells it in `x-forwarded-proto`.
pub fn scheme(head: &Parts) -> &'static str {
    if head.headers.get("x-forwarded-proto").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"https")) { "https" } else { "http" }
}

fn path<'a>(redirect: &'a Redirect, matched: &PathMatch, old: &'a str) -> Cow<'a, str> {
    let query = old.find('?').map_or("", |at| &old[at..]);
    let path: Cow<'_, str> = match &redirect.path {
        Some(RedirectPath::Whole(path)) if path.contains('?') => return path.into(),
        Some(RedirectPath::Whole(path)) => format!("{path}{query}").into(),
        Some(RedirectPath::Rewritten(how)) => rewrite::new_path(matched, how, old).into(),
        None => old.into(),
    };
    match path.find('?') {
        Some(at) if redirect.strip_query => path[..at].to_owned().into(),
        _ => path,
    }
}

fn without_port<'a>(host: &'a str, old: &str, new: &str, other_port: bool) -> &'a str {
    let at = if host.starts_with('[') { host.rfind("]:").map(|at| at + 1) } else { host.rfind(':') };
    let Some(at) = at else { return host };
    let fits_old = (old == "https" && &host[at..] == ":443") || (old == "http" && &host[at..] == ":80");
    if other_port || (old != new && fits_old) { &host[..at] } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::PathRewrite;
    use http::Request;

    #[test]
    fn locations_as_in_envoy() {
        let base =
            || Redirect { status: StatusCode::MOVED_PERMANENTLY, scheme: None, host: None, port: None, path: None, strip_query: false };
        let of = |redirect: &Redirect, host: &str| {
            let head = Request::builder().uri("/r/a?b=c").body(()).unwrap().into_parts().0;
            location(redirect, &PathMatch::Prefix("/r".into()), &head, host).unwrap().1.to_str().unwrap().to_owned()
        };
        let https = Redirect { scheme: Some("https".into()), ..base() };
        assert_eq!(of(&https, "a:19000"), "https://a:19000/r/a?b=c");
        assert_eq!(of(&https, "a:80"), "https://a/r/a?b=c");
        assert_eq!(of(&https, "[::1]:80"), "https://[::1]/r/a?b=c");
        let host = Redirect { host: Some("other".into()), port: Some(81), strip_query: true, ..base() };
        assert_eq!(of(&host, "a:80"), "http://other:81/r/a");
        let whole = |path: &str| Redirect { path: Some(RedirectPath::Whole(path.into())), strip_query: true, ..base() };
        assert_eq!(of(&whole("/x?z=1"), "a"), "http://a/x?z=1");
        assert_eq!(of(&whole("/x"), "a"), "http://a/x");
        let rewritten = Redirect { port: Some(8), path: Some(RedirectPath::Rewritten(PathRewrite::Prefix("/y".into()))), ..base() };
        assert_eq!(of(&rewritten, "[::1]:80"), "http://[::1]:8/y/a?b=c");
    }
}

//! What a route does to a request's path and host, by Envoy's rules: the query always stays, and what was there before is told in
//! `x-envoy-original-path` and `x-envoy-original-host`.

use crate::config::model::{Forward, HostRewrite, PathMatch, PathRewrite};
use crate::error::ProxyError;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Rewrites the path of a request; its URI then has no authority any more.
///
/// # Errors
/// When what comes out is no path.
pub fn path(matched: &PathMatch, to: &Forward, head: &mut Parts) -> Result<(), ProxyError> {
    if matches!(matched, PathMatch::Connect) {
        return Ok(());
    }
    if let Some(rewrite) = &to.path_rewrite {
        let before = path_and_query(head).to_owned();
        head.uri = new_path(matched, rewrite, &before).parse().map_err(|_| ProxyError::Invalid("the path cannot be rewritten"))?;
        if let Ok(before) = HeaderValue::from_str(&before) {
            head.headers.insert(ORIGINAL_PATH, before);
        }
    } else if head.uri.authority().is_some() {
        head.uri = head.uri.path_and_query().cloned().map_or_else(Default::default, Into::into);
    }
    Ok(())
}

/// Takes back what was told of rewrites (the router's `suppress_envoy_headers`).
pub fn untold(head: &mut Parts) {
    head.headers.remove(ORIGINAL_PATH);
    head.headers.remove(ORIGINAL_HOST);
}

/// A path with its query after a rewrite.
pub fn new_path(matched: &PathMatch, rewrite: &PathRewrite, path_and_query: &str) -> String {
    let query_at = path_and_query.find('?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(query_at);
    let text = match rewrite {
        PathRewrite::Regex(pattern, replacement) => format!("{}{query}", pattern.replace_all(path, replacement)),
        PathRewrite::Prefix(new) => {
            let replaced = match matched {
                PathMatch::Prefix(p) | PathMatch::SeparatedPrefix(p) => p.len(),
                PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Connect => path.len(),
            };
            format!("{new}{}{query}", path.get(replaced..).unwrap_or_default())
        }
    };
    if text.starts_with('/') { text } else { format!("/{text}") }
}

/// The host that goes upstream instead of `host`, if another is known already; headers tell of it.
pub fn host(rewrite: &HostRewrite, append: bool, head: &mut Parts, host: &HeaderValue) -> Option<HeaderValue> {
    let new = match rewrite {
        HostRewrite::Literal(literal) => Some(literal.clone()),
        HostRewrite::Header(name) => Some(head.headers.get(name).filter(|v| !v.is_empty())?.clone()),
        HostRewrite::PathRegex(pattern, with) => Some(HeaderValue::from_str(&pattern.replace_all(original_path(head), with)).ok()?),
        // Only the endpoint knows, and it is not chosen yet.
        HostRewrite::Auto => None,
    };
    head.headers.insert(ORIGINAL_HOST, host.clone());
    if append {
        head.headers.append(FORWARDED_HOST, host.clone());
    }
    new
}

/// Envoy takes the host out of the path as it came.
fn original_path(head: &Parts) -> &str {
    let original = head.headers.get(ORIGINAL_PATH).and_then(|v| v.to_str().ok());
    let whole = original.unwrap_or_else(|| path_and_query(head));
    whole.split('?').next().unwrap_or_default()
}

fn path_and_query(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    fn prefix(new: &str) -> PathRewrite {
        PathRewrite::Prefix(new.into())
    }

    #[test]
    fn what_matched_is_replaced_and_the_query_stays() {
        let of = |m: PathMatch, r: &PathRewrite, p: &str| new_path(&m, r, p);
        assert_eq!(of(PathMatch::Prefix("/old/".into()), &prefix("/new/"), "/OLD/x?y=/old/"), "/new/x?y=/old/");
        assert_eq!(of(PathMatch::Prefix("/old".into()), &prefix(""), "/old"), "/");
        assert_eq!(of(PathMatch::SeparatedPrefix("/a".into()), &prefix("/"), "/a?q"), "/?q");
        assert_eq!(of(PathMatch::Exact("/exact".into()), &prefix("/n"), "/exact?q"), "/n?q");
        assert_eq!(of(PathMatch::Regex(Regex::new("x").unwrap()), &prefix("/whole"), "/re/a?q"), "/whole?q");
        let swap = PathRewrite::Regex(Regex::new("/rx/([a-z]+)/([a-z]+)").unwrap(), "/${2}/${1}".into());
        assert_eq!(of(PathMatch::Prefix("/rx".into()), &swap, "/rx/a/b?/rx/c/d"), "/b/a?/rx/c/d");
    }
}

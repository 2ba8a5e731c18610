//! Paths as a connection manager wants them before routing: escaped slashes, dot segments, adjacent slashes.
//!
//! Called once for each request; nearly all paths need nothing, which one look over their bytes finds.

use crate::config::model::{EscapedSlashes, HttpManager};
use http::Uri;
use std::fmt::Write as _;

/// What becomes of a request because of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as it is.
    Unchanged,
    /// It goes on with this path and query.
    Changed(String),
    /// The client is sent to this path and query.
    Redirect(String),
    /// It is refused.
    Refused,
}

/// A target that has a query but no path (`http://a.test?b`) is for the root (RFC 9112, section 3.2.1); what it is then. None for all others.
pub fn rooted(target: &Uri) -> Option<Uri> {
    let text = target.path_and_query()?.as_str();
    if text.starts_with('?') { format!("/{text}").parse().ok() } else { None }
}

/// Normalises a path and query as the manager says.
pub fn normalize(manager: &HttpManager, path_and_query: &str) -> Outcome {
    let on = manager.normalize_path || manager.merge_slashes || manager.escaped_slashes != EscapedSlashes::Keep;
    if !on || !needs_work(path_and_query) {
        return Outcome::Unchanged;
    }
    let (path, query) = path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
    let mut now = path.to_owned();
    let mut unescaped = false;
    if manager.escaped_slashes != EscapedSlashes::Keep {
        now = unescape_slashes(path);
        unescaped = now != path;
        if unescaped && manager.escaped_slashes == EscapedSlashes::Reject {
            return Outcome::Refused;
        }
    }
    if manager.normalize_path {
        match resolve(&now) {
            Some(resolved) => now = resolved,
            None => return Outcome::Refused,
        }
    }
    if manager.merge_slashes {
        now = merge(&now);
    }
    if now == path {
        return Outcome::Unchanged;
    }
    now.push_str(query);
    if unescaped && manager.escaped_slashes == EscapedSlashes::Redirect { Outcome::Redirect(now) } else { Outcome::Changed(now) }
}

/// Whether anything here could need work.
fn needs_work(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().any(|b| matches!(b, b'%' | b'\\') || must_escape(char::from(*b)))
        || bytes.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']))
}

/// Characters that stand in no path (RFC 3986, section 3.3) and that clients send all the same.
fn must_escape(c: char) -> bool {
    matches!(c, '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}')
}

/// `%2F` -> `/`, `%5C` -> `\`.
fn unescape_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (code, slash) = (rest.get(at..at + 3).unwrap_or_default(), &rest[at..]);
        let plain = match code.to_ascii_uppercase().as_str() {
            "%2F" => Some('/'),
            "%5C" => Some('\\'),
            _ => None,
        };
        out.push(plain.unwrap_or('%'));
        rest = &slash[if plain.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

/// Unreserved characters decoded, `\` as `/`, dot segments resolved (RFC 3986, sections 5.2.4 and 6.2.2). None when a NUL hides in it.
fn resolve(path: &str) -> Option<String> {
    let plain = decode_unreserved(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = plain.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        // A path parameter does not make a dot segment an ordinary one.
        let dots = part.split(';').next().unwrap_or_default();
        match dots {
            "." | ".." => {
                if dots == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

/// A percent sign that begins no escape is to begin none afterwards, either (`%%32%65` is not `%2e`): where it would, it is escaped itself.
fn decode_unreserved(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut strays = Vec::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let digits = rest.get(1..3).filter(|h| c == '%' && h.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|h| u8::from_str_radix(h, 16).ok());
        let unreserved = code.filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
        match (c, code, unreserved) {
            (_, Some(0), _) => return None,
            (_, _, Some(byte)) => {
                out.push(char::from(byte));
                rest = &rest[3..];
                continue;
            }
            ('\\', ..) => out.push('/'),
            ('%', None, _) => {
                strays.push(out.len());
                out.push('%');
            }
            _ if must_escape(c) => {
                // Writing to a string does not fail.
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            _ => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    for stray in strays.into_iter().rev() {
        if out.as_bytes()[stray + 1..].iter().take_while(|b| b.is_ascii_hexdigit()).take(2).count() == 2 {
            out.insert_str(stray + 1, "25");
        }
    }
    Some(out)
}

/// Adjacent slashes as one; a path of nothing but slashes keeps its first and its last, as with Envoy.
fn merge(path: &str) -> String {
    if !path.contains("//") {
        return path.to_owned();
    }
    let inner = path.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/");
    format!("/{inner}{}", if path.ends_with('/') { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy 1.40 was seen to do.
    #[test]
    fn dot_segments_and_unreserved_characters() {
        for (path, expected) in [
            ("/a/../b", "/b"),
            ("/../x", "/x"),
            ("/%2e%2e/y", "/y"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a\\b", "/a/b"),
            ("/%7Efoo/%41", "/~foo/A"),
            ("/a/./b/", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a;p/..;q/x", "/x"),
            ("/%", "/%"),
            ("/%zz/%+0", "/%zz/%+0"),
            ("/%%32%65%%32%65/x", "/%252e%252e/x"),
            ("/%%33%33/%%32F/%%3/%%", "/%2533/%252F/%%3/%%"),
            ("/a%5Cb", "/a%5Cb"),
            ("/é/..", "/"),
            ("/a{\"b\"}", "/a%7B%22b%22%7D"),
            ("/a/...;/b", "/a/...;/b"),
        ] {
            assert_eq!(resolve(path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(resolve("/%00"), None);
    }

    #[test]
    fn slashes() {
        assert_eq!((merge("/a//b").as_str(), merge("//").as_str(), merge("/a///b//").as_str()), ("/a/b", "//", "/a/b/"));
        assert_eq!(unescape_slashes("/a%2fb%5Cc%20%"), "/a/b\\c%20%");
        assert!(!needs_work("/a/b?c=d") && needs_work("/a/.b") && needs_work("/a%20b") && needs_work("//") && needs_work("/\\"));
    }
}

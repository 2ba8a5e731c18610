//! What becomes of a path and of a host: the rewrites of routes and redirects.

use regex::Regex;

use super::{headers, matching};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{HostRewrite, PathRewrite};

const SUBSTITUTE: Schema =
    Schema { name: "envoy.type.matcher.v3.RegexMatchAndSubstitute", fields: "pattern substitution", unsupported: "" };

/// Reads `prefix_rewrite` or `regex_rewrite`.
pub fn path(fields: &Fields<'_>) -> Option<PathRewrite> {
    match fields.one_of(&["prefix_rewrite", "regex_rewrite"])? {
        ("prefix_rewrite", v) => v.string().filter(|text| !text.is_empty()).map(PathRewrite::Prefix),
        (_, v) => substitute(&v).map(|(pattern, with)| PathRewrite::Regex(pattern, with)),
    }
}

/// Reads the oneof of host rewrites of a `RouteAction`.
pub fn host(fields: &Fields<'_>) -> Option<HostRewrite> {
    match fields.one_of(&["host_rewrite_literal", "auto_host_rewrite", "host_rewrite_header", "host_rewrite_path_regex"])? {
        ("host_rewrite_literal", v) => literal(&v),
        ("auto_host_rewrite", v) => v.wrapper().boolean()?.then_some(HostRewrite::Auto),
        ("host_rewrite_header", v) => headers::header_name(&v).map(HostRewrite::Header),
        (_, v) => substitute(&v).map(|(pattern, with)| HostRewrite::PathRegex(pattern, with)),
    }
}

/// A host as it stands; an empty one is none.
pub fn literal(value: &Value<'_>) -> Option<HostRewrite> {
    let host = headers::header_value(value, &value.string()?)?;
    (!host.is_empty()).then_some(HostRewrite::Literal(host))
}

/// A pattern and its substitution, in the notation of the `regex` crate.
fn substitute(value: &Value<'_>) -> Option<(Regex, String)> {
    let fields = value.message(&SUBSTITUTE)?;
    let pattern = fields.need("pattern").and_then(|v| matching::pattern(&v));
    let with = fields.get("substitution").map_or(Some((None, String::new())), |v| v.string().map(|text| (Some(v), text)));
    let (pattern, (place, text)) = (pattern?, with?);
    let groups = pattern.captures_len() - 1;
    match replacement(&text, groups) {
        Ok(with) => Some((pattern, with)),
        Err(what) => {
            place.unwrap_or_else(|| value.clone()).problem(what, r"expected \0 to \9 for groups of the pattern, and \\ for a backslash");
            None
        }
    }
}

/// RE2's notation (`\1`, `\\`) in that of the `regex` crate (`${1}`, `$$`).
fn replacement(text: &str, groups: usize) -> Result<String, String> {
    let mut with = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            ('$', _) => with.push_str("$$"),
            (_, false) => with.push(letter),
            (_, true) => match letters.next() {
                Some('\\') => with.push('\\'),
                Some(digit) if digit.is_ascii_digit() => {
                    if digit as usize - '0' as usize > groups {
                        return Err(format!("`\\{digit}` is not a group of the pattern, which has {groups}"));
                    }
                    with.push_str(&format!("${{{digit}}}"));
                }
                other => return Err(format!("`\\{}` means nothing here", other.map(String::from).unwrap_or_default())),
            },
        }
    }
    Ok(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_in_both_notations() {
        assert_eq!(replacement(r"/\2/$\\\1", 2).unwrap(), r"/${2}/$$\${1}");
        let wrong = |text| replacement(text, 1).unwrap_err();
        assert!(wrong(r"\2").contains("not a group") && wrong(r"\x").contains("means nothing") && wrong(r"a\").contains("means nothing"));
    }
}

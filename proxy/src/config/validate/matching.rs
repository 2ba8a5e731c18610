//! What a route matches: its path and its headers.

use regex::{Regex, RegexBuilder};

use crate::config::decode::message::{Fields, Schema};
use crate::config::decode::{Value, short};
use crate::config::model::{HeaderMatch, HeaderValueMatch, PathMatch};

const MATCH: Schema = Schema {
    name: "envoy.config.route.v3.RouteMatch",
    fields: "prefix path safe_regex path_separated_prefix case_sensitive headers",
    unsupported: "connect_matcher path_match_policy runtime_fraction query_parameters cookies grpc tls_context dynamic_metadata filter_state",
};

const REGEX: Schema = Schema { name: "envoy.type.matcher.v3.RegexMatcher", fields: "google_re2 regex", unsupported: "" };

const RE2: Schema = Schema { name: "envoy.type.matcher.v3.RegexMatcher.GoogleRE2", fields: "", unsupported: "max_program_size" };

const HEADER: Schema = Schema {
    name: "envoy.config.route.v3.HeaderMatcher",
    fields: "name exact_match safe_regex_match present_match prefix_match suffix_match contains_match string_match invert_match",
    unsupported: "range_match treat_missing_header_as_empty",
};

const STRING: Schema = Schema {
    name: "envoy.type.matcher.v3.StringMatcher",
    fields: "exact prefix suffix safe_regex contains ignore_case",
    unsupported: "custom",
};

/// Compiled size of one regular expression, at most.
const REGEX_BYTES: usize = 1 << 20;

/// Reads a `RouteMatch`.
pub fn route_match(value: &Value<'_>) -> Option<(PathMatch, Vec<HeaderMatch>)> {
    let fields = value.message(&MATCH)?;
    let headers = fields.list("headers").iter().filter_map(header).collect();
    Some((path(&fields)?, headers))
}

fn path(fields: &Fields<'_>) -> Option<PathMatch> {
    let (kind, value) = fields.need_one_of(&["prefix", "path", "safe_regex", "path_separated_prefix"])?;
    let any_case = fields.get("case_sensitive").and_then(|v| v.wrapper().boolean()) == Some(false);
    let path = match kind {
        "prefix" => PathMatch::Prefix(value.string()?),
        "path" => PathMatch::Exact(value.string()?),
        "safe_regex" => return safe_regex(&value).map(PathMatch::Regex),
        _ => PathMatch::SeparatedPrefix(separated_prefix(&value)?),
    };
    let pattern = match &path {
        PathMatch::Prefix(text) => format!(r"(?is)\A{}.*\z", regex::escape(text)),
        PathMatch::Exact(text) => format!(r"(?is)\A{}\z", regex::escape(text)),
        PathMatch::SeparatedPrefix(text) => format!(r"(?is)\A{}(?:/.*)?\z", regex::escape(text)),
        PathMatch::Regex(_) => return Some(path),
    };
    if any_case { compile(&value, &pattern).map(PathMatch::Regex) } else { Some(path) }
}

fn separated_prefix(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.len() < 2 || text.ends_with('/') || text.contains(['?', '#']) {
        let what = format!("`{}` cannot be a path_separated_prefix", short(&text));
        value.problem(what, "expected a path such as /api: no `/` at its end, no `?` or `#`");
        return None;
    }
    Some(text)
}

/// A `RegexMatcher`, anchored at both ends.
fn safe_regex(value: &Value<'_>) -> Option<Regex> {
    let fields = value.message(&REGEX)?;
    if let Some(engine) = fields.get("google_re2") {
        engine.message(&RE2);
    }
    let value = fields.need("regex")?;
    let text = value.name()?;
    // Alone first: `a)(b` must not become valid by what is put around it.
    compile(&value, &text).and_then(|_| compile(&value, &format!(r"\A(?:{text})\z")))
}

fn compile(place: &Value<'_>, pattern: &str) -> Option<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    let why = |e: regex::Error| e.to_string().lines().last().unwrap_or_default().trim().to_owned();
    built.map_err(|e| place.problem(format!("not a regular expression: {}", why(e)), "expected RE2 syntax")).ok()
}

fn header(value: &Value<'_>) -> Option<HeaderMatch> {
    let fields = value.message(&HEADER)?;
    let name = fields.need("name").and_then(|v| v.name());
    let kinds = ["exact_match", "safe_regex_match", "present_match", "prefix_match", "suffix_match", "contains_match", "string_match"];
    let matcher = match fields.one_of(&kinds) {
        None => Some(HeaderValueMatch::Present(true)),
        Some(("present_match", v)) => v.boolean().map(HeaderValueMatch::Present),
        Some(("exact_match", v)) => v.string().map(HeaderValueMatch::Exact),
        Some(("prefix_match", v)) => v.name().map(HeaderValueMatch::Prefix),
        Some(("suffix_match", v)) => v.name().map(HeaderValueMatch::Suffix),
        Some(("contains_match", v)) => v.name().map(HeaderValueMatch::Contains),
        Some(("safe_regex_match", v)) => safe_regex(&v).map(HeaderValueMatch::Regex),
        Some((_, v)) => string(&v),
    };
    Some(HeaderMatch { name: name?.to_ascii_lowercase(), value: matcher?, invert: fields.flag("invert_match", false) })
}

fn string(value: &Value<'_>) -> Option<HeaderValueMatch> {
    let fields = value.message(&STRING)?;
    let ignore_case = fields.flag("ignore_case", false);
    let (kind, value) = fields.need_one_of(&["exact", "prefix", "suffix", "contains", "safe_regex"])?;
    if kind == "safe_regex" {
        if ignore_case {
            value.problem("ignore_case does not go with safe_regex", "start the expression with (?i) instead");
        }
        return safe_regex(&value).map(HeaderValueMatch::Regex);
    }
    let text = if kind == "exact" { value.string()? } else { value.name()? };
    if ignore_case {
        let quoted = regex::escape(&text);
        let pattern = match kind {
            "exact" => format!(r"(?is)\A{quoted}\z"),
            "prefix" => format!(r"(?is)\A{quoted}.*\z"),
            "suffix" => format!(r"(?is)\A.*{quoted}\z"),
            _ => format!(r"(?is)\A.*{quoted}.*\z"),
        };
        return compile(&value, &pattern).map(HeaderValueMatch::Regex);
    }
    Some(match kind {
        "exact" => HeaderValueMatch::Exact(text),
        "prefix" => HeaderValueMatch::Prefix(text),
        "suffix" => HeaderValueMatch::Suffix(text),
        _ => HeaderValueMatch::Contains(text),
    })
}

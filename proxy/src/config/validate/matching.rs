//! What a route matches: its path, its headers, its query, and what part of the requests.

use regex::{Regex, RegexBuilder};

use super::mirror;
use crate::config::decode::message::{Fields, Schema};
use crate::config::decode::{Value, short};
use crate::config::model::{HeaderMatch, HeaderValueMatch, PathMatch, QueryMatch, RouteMatch, RuntimeFraction, StringMatch};

const MATCH: Schema = Schema {
    name: "envoy.config.route.v3.RouteMatch",
    fields: "prefix path safe_regex path_separated_prefix case_sensitive headers query_parameters grpc runtime_fraction connect_matcher",
    unsupported: "path_match_policy cookies tls_context dynamic_metadata filter_state",
};

const CONNECT: Schema = Schema { name: "envoy.config.route.v3.RouteMatch.ConnectMatcher", fields: "", unsupported: "" };

const REGEX: Schema = Schema { name: "envoy.type.matcher.v3.RegexMatcher", fields: "google_re2 regex", unsupported: "" };

const RE2: Schema = Schema { name: "envoy.type.matcher.v3.RegexMatcher.GoogleRE2", fields: "", unsupported: "max_program_size" };

const HEADER: Schema = Schema {
    name: "envoy.config.route.v3.HeaderMatcher",
    fields: "name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match \
        treat_missing_header_as_empty",
    unsupported: "",
};

const RANGE: Schema = Schema { name: "envoy.type.v3.Int64Range", fields: "start end", unsupported: "" };

const QUERY: Schema =
    Schema { name: "envoy.config.route.v3.QueryParameterMatcher", fields: "name string_match present_match", unsupported: "" };

const GRPC: Schema = Schema { name: "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions", fields: "", unsupported: "" };

const STRING: Schema = Schema {
    name: "envoy.type.matcher.v3.StringMatcher",
    fields: "exact prefix suffix safe_regex contains ignore_case",
    unsupported: "custom",
};

/// Compiled size of one regular expression, at most.
const REGEX_BYTES: usize = 1 << 20;

/// Reads a `RouteMatch`.
pub fn route_match(value: &Value<'_>) -> Option<RouteMatch> {
    let fields = value.message(&MATCH)?;
    let headers = fields.list("headers").iter().filter_map(header).collect();
    let query = fields.list("query_parameters").iter().filter_map(query).collect();
    let grpc = fields.get("grpc").is_some_and(|v| v.message(&GRPC).is_some());
    let fraction = fields.get("runtime_fraction").map(|v| part(&v));
    Some(RouteMatch {
        path: path(&fields)?,
        ignore_case: fields.get("case_sensitive").and_then(|v| v.wrapper().boolean()) == Some(false),
        headers,
        query,
        grpc,
        fraction: fraction.map_or(Some(None), |f| f.map(Some))?,
    })
}

fn part(value: &Value<'_>) -> Option<RuntimeFraction> {
    let (default, key) = mirror::runtime_fraction(value);
    Some(RuntimeFraction { default: default?, key })
}

fn path(fields: &Fields<'_>) -> Option<PathMatch> {
    let (kind, value) = fields.need_one_of(&["prefix", "path", "safe_regex", "path_separated_prefix", "connect_matcher"])?;
    match kind {
        "prefix" => value.string().map(PathMatch::Prefix),
        "path" => value.string().map(PathMatch::Exact),
        "safe_regex" => safe_regex(&value).map(PathMatch::Regex),
        "connect_matcher" => value.message(&CONNECT).map(|_| PathMatch::Connect),
        _ => separated_prefix(&value).map(PathMatch::SeparatedPrefix),
    }
}

fn query(value: &Value<'_>) -> Option<QueryMatch> {
    let fields = value.message(&QUERY)?;
    let name = fields.need("name").and_then(|v| v.name());
    let value = match fields.one_of(&["string_match", "present_match"]) {
        Some(("string_match", v)) => Some(string(&v)?),
        // Envoy asks for the parameter's presence, whatever this says.
        Some((_, v)) => {
            v.boolean()?;
            None
        }
        None => None,
    };
    Some(QueryMatch { name: name?, value })
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
pub fn safe_regex(value: &Value<'_>) -> Option<Regex> {
    let (value, text) = regex_text(value)?;
    // Alone first: `a)(b` must not become valid by what is put around it.
    compile(&value, &text).and_then(|_| compile(&value, &format!(r"\A(?:{text})\z")))
}

/// A `RegexMatcher` whose matches may stand anywhere.
pub fn pattern(value: &Value<'_>) -> Option<Regex> {
    let (value, text) = regex_text(value)?;
    compile(&value, &text)
}

fn regex_text<'a>(value: &Value<'a>) -> Option<(Value<'a>, String)> {
    let fields = value.message(&REGEX)?;
    if let Some(engine) = fields.get("google_re2") {
        engine.message(&RE2);
    }
    let value = fields.need("regex")?;
    let text = value.name()?;
    Some((value, text))
}

fn compile(place: &Value<'_>, pattern: &str) -> Option<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    let why = |e: regex::Error| e.to_string().lines().last().unwrap_or_default().trim().to_owned();
    built.map_err(|e| place.problem(format!("not a regular expression: {}", why(e)), "expected RE2 syntax")).ok()
}

/// Reads a `HeaderMatcher`.
pub fn header(value: &Value<'_>) -> Option<HeaderMatch> {
    let fields = value.message(&HEADER)?;
    let name = fields.need("name").and_then(|v| v.name());
    let text = |found: Option<StringMatch>| found.map(HeaderValueMatch::Text);
    let kinds = [
        "exact_match",
        "safe_regex_match",
        "range_match",
        "present_match",
        "prefix_match",
        "suffix_match",
        "contains_match",
        "string_match",
    ];
    let matcher = match fields.one_of(&kinds) {
        None => Some(HeaderValueMatch::Present(true)),
        Some(("present_match", v)) => v.boolean().map(HeaderValueMatch::Present),
        Some(("range_match", v)) => range(&v),
        // An empty text matches every value.
        Some(("exact_match", v)) => text(v.string().map(|t| if t.is_empty() { StringMatch::Prefix(t) } else { StringMatch::Exact(t) })),
        Some(("prefix_match", v)) => text(v.name().map(StringMatch::Prefix)),
        Some(("suffix_match", v)) => text(v.name().map(StringMatch::Suffix)),
        Some(("contains_match", v)) => text(v.name().map(StringMatch::Contains)),
        Some(("safe_regex_match", v)) => text(safe_regex(&v).map(StringMatch::Regex)),
        Some((_, v)) => text(string(&v)),
    };
    Some(HeaderMatch {
        name: name?.to_ascii_lowercase(),
        value: matcher?,
        missing_is_empty: fields.flag("treat_missing_header_as_empty", false),
        invert: fields.flag("invert_match", false),
    })
}

fn range(value: &Value<'_>) -> Option<HeaderValueMatch> {
    let fields = value.message(&RANGE)?;
    let end = |name: &str| fields.get(name).map_or(Some(0), |v| v.signed());
    Some(HeaderValueMatch::Range(end("start")?, end("end")?))
}

/// Reads a `StringMatcher`.
pub fn string(value: &Value<'_>) -> Option<StringMatch> {
    let fields = value.message(&STRING)?;
    let ignore_case = fields.flag("ignore_case", false);
    let (kind, value) = fields.need_one_of(&["exact", "prefix", "suffix", "contains", "safe_regex"])?;
    if kind == "safe_regex" {
        if ignore_case {
            value.problem("ignore_case does not go with safe_regex", "start the expression with (?i) instead");
        }
        return safe_regex(&value).map(StringMatch::Regex);
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
        return compile(&value, &pattern).map(StringMatch::Regex);
    }
    Some(match kind {
        "exact" => StringMatch::Exact(text),
        "prefix" => StringMatch::Prefix(text),
        "suffix" => StringMatch::Suffix(text),
        _ => StringMatch::Contains(text),
    })
}

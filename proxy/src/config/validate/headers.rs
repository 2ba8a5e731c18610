//! Header additions and removals, and how the levels of a route table combine.

use http::{HeaderName, HeaderValue};
use std::sync::Arc;

use super::format;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{HeaderOps, HeaderSet, HeaderSetMode, HeaderText};

const OPTION: Schema =
    Schema { name: "envoy.config.core.v3.HeaderValueOption", fields: "header append append_action keep_empty_value", unsupported: "" };

const HEADER: Schema = Schema { name: "envoy.config.core.v3.HeaderValue", fields: "key value", unsupported: "raw_value" };

const MUTATION: Schema =
    Schema { name: "envoy.config.common.mutation_rules.v3.HeaderMutation", fields: "remove append", unsupported: "remove_on_match" };

/// The request's and the answer's operations of one level.
#[derive(Clone, Default)]
pub struct Both {
    /// On the request.
    pub request: HeaderOps,
    /// On the answer.
    pub response: HeaderOps,
}

impl Both {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let none = |ops: &HeaderOps| ops.set.is_empty() && ops.remove.is_empty();
        none(&self.request) && none(&self.response)
    }
}

/// Reads a list of additions.
pub fn additions(values: &[Value<'_>]) -> HeaderOps {
    HeaderOps { set: values.iter().filter_map(addition).collect(), remove: Vec::new() }
}

/// Reads the four `*_headers_to_*` fields of a level.
pub fn level(fields: &Fields<'_>) -> Both {
    Both {
        request: ops(fields, "request_headers_to_add", "request_headers_to_remove"),
        response: ops(fields, "response_headers_to_add", "response_headers_to_remove"),
    }
}

fn ops(fields: &Fields<'_>, add: &str, remove: &str) -> HeaderOps {
    let mut ops = HeaderOps::default();
    if let Some(list) = fields.get(remove) {
        for value in list.list() {
            ops.remove.extend(modifiable(&value));
        }
    }
    ops.set = fields.list(add).iter().filter_map(addition).collect();
    ops
}

/// `first` and then `second`, as one: what `second` removes takes back what `first` set.
pub fn then(first: &HeaderOps, second: &HeaderOps) -> HeaderOps {
    let mut both = first.clone();
    both.set.retain(|set| !second.remove.contains(&set.name));
    for name in &second.remove {
        if !both.remove.contains(name) {
            both.remove.push(name.clone());
        }
    }
    both.set.extend(second.set.iter().cloned());
    both
}

/// A list of `HeaderMutation`s, in order.
pub fn mutations(values: &[Value<'_>]) -> HeaderOps {
    values.iter().filter_map(mutation).fold(HeaderOps::default(), |all, one| then(&all, &one))
}

fn mutation(value: &Value<'_>) -> Option<HeaderOps> {
    let fields = value.message(&MUTATION)?;
    match fields.need_one_of(&["remove", "append"])? {
        ("remove", name) => Some(HeaderOps { remove: vec![modifiable(&name)?], set: Vec::new() }),
        (_, option) => Some(HeaderOps { set: vec![addition(&option)?], remove: Vec::new() }),
    }
}

fn addition(value: &Value<'_>) -> Option<HeaderSet> {
    let fields = value.message(&OPTION)?;
    let mode = mode(&fields);
    let keep_empty = fields.flag("keep_empty_value", false);
    let header = fields.need("header")?.message(&HEADER)?;
    let name = header.need("key").and_then(|v| modifiable(&v));
    let value = match header.get("value") {
        Some(value) => text(&value, keep_empty),
        None if keep_empty => Some(HeaderText::Fixed(HeaderValue::from_static(""))),
        None => {
            header.value().problem("`value` is missing", "an empty value is kept only with keep_empty_value: true");
            None
        }
    };
    Some(HeaderSet { name: name?, value: value?, keep_empty, mode: mode? })
}

fn mode(fields: &Fields<'_>) -> Option<HeaderSetMode> {
    let choices = [
        ("APPEND_IF_EXISTS_OR_ADD", 0, HeaderSetMode::Append),
        ("ADD_IF_ABSENT", 1, HeaderSetMode::AddIfAbsent),
        ("OVERWRITE_IF_EXISTS_OR_ADD", 2, HeaderSetMode::Overwrite),
        ("OVERWRITE_IF_EXISTS", 3, HeaderSetMode::OverwriteIfExists),
    ];
    match fields.one_of(&["append_action", "append"]) {
        Some(("append_action", value)) => value.choice(&choices),
        Some((_, value)) => value.wrapper().boolean().map(|append| if append { HeaderSetMode::Append } else { HeaderSetMode::Overwrite }),
        None => Some(HeaderSetMode::Append),
    }
}

/// A header name that a configuration may change.
fn modifiable(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.name()?.to_ascii_lowercase();
    if text.starts_with(':') || text == "host" {
        value.problem("the host and headers that start with `:` cannot be changed this way", "use host_rewrite_literal or prefix_rewrite");
        return None;
    }
    header_name(value)
}

/// A header name.
pub fn header_name(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.name()?;
    HeaderName::from_bytes(text.to_ascii_lowercase().as_bytes())
        .map_err(|_| value.problem("not a header name", "expected letters, digits, `-` and `_`"))
        .ok()
}

/// A value: `%%` stands for a percent sign, `%COMMANDS%` are filled in for each exchange.
fn text(value: &Value<'_>, keep_empty: bool) -> Option<HeaderText> {
    let text = value.string()?;
    if text.is_empty() && !keep_empty {
        value.problem("it is empty", "an empty value is kept only with keep_empty_value: true");
        return None;
    }
    let template = format::template(value, &text)?;
    match template.fixed() {
        Some(text) => header_value(value, &text).map(HeaderText::Fixed),
        None => header_value(value, &text).map(|_| HeaderText::Made(Arc::new(template))),
    }
}

/// A header value.
pub fn header_value(place: &Value<'_>, text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| place.problem("not a header value", "expected text without control characters"))
        .ok()
}

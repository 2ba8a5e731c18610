//! Substitution formats: texts and JSON with `%COMMANDS%`, for logs, header values and local replies.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use crate::config::decode::message::Schema;
use crate::config::decode::{Value, scalar};
use crate::config::model::Format;
use crate::config::raw::{self, Kind};
use crate::format::Template;
use crate::format::json::Node;
use crate::format::parse;

const STRING: Schema = Schema {
    name: "envoy.config.core.v3.SubstitutionFormatString",
    fields: "text_format text_format_source json_format omit_empty_values content_type",
    unsupported: "formatters json_format_options",
};

const SOURCE: Schema = Schema {
    name: "envoy.config.core.v3.DataSource",
    fields: "filename inline_string environment_variable",
    unsupported: "inline_bytes watched_directory",
};

/// Compiles a text.
pub fn template(place: &Value<'_>, text: &str) -> Option<Template> {
    parse::template(text).map_err(|(what, right)| place.problem(what, right)).ok()
}

/// Reads a `SubstitutionFormatString`; its content type, when given, comes with it.
pub fn string(value: &Value<'_>) -> Option<(Format, Option<String>)> {
    let fields = value.message(&STRING)?;
    let omit = fields.flag("omit_empty_values", false);
    let content_type = fields.get("content_type").and_then(|v| v.string()).filter(|text| !text.is_empty());
    let format = match fields.need_one_of(&["text_format", "text_format_source", "json_format"])? {
        ("text_format", v) => Format::Text(template(&v, &v.string()?)?, omit),
        ("text_format_source", v) => Format::Text(template(&v, &source(&v)?)?, omit),
        (_, v) => Format::Json(node(&v)?, omit),
    };
    Some((format, content_type))
}

/// The text of a `DataSource`.
pub fn source(value: &Value<'_>) -> Option<String> {
    let fields = value.message(&SOURCE)?;
    let (kind, source) = fields.need_one_of(&["inline_string", "filename", "environment_variable"])?;
    let name = source.string()?;
    match kind {
        "inline_string" => Some(name),
        "filename" => raw::read(Path::new(&name))
            .map_err(|why| source.problem(format!("cannot read {name}: {why}"), "expected a text file that exists"))
            .ok(),
        _ => std::env::var(&name)
            .map_err(|_| source.problem(format!("there is no environment variable {name}"), "expected one that is set"))
            .ok(),
    }
}

/// A JSON value whose texts are templates.
fn node(value: &Value<'_>) -> Option<Node> {
    Some(match &value.node().kind {
        Kind::Null => Node::Fixed(Json::Null),
        Kind::Map(_) => {
            let entries = value.entries().into_iter().map(|(key, value)| Some((key, node(&value)?)));
            Node::Object(entries.collect::<Option<BTreeMap<_, _>>>()?)
        }
        Kind::List(_) => Node::List(value.list().iter().map(node).collect::<Option<_>>()?),
        Kind::Plain(text) => match (scalar::yaml_bool(text), scalar::yaml_int(text), scalar::decimal(text)) {
            (Some(truth), ..) => Node::Fixed(truth.into()),
            (_, Some(number), _) => Node::Fixed(number.into()),
            (.., Some(number)) => Node::Fixed(number.into()),
            _ => Node::Text(template(value, text)?),
        },
        Kind::Quoted(text) => Node::Text(template(value, text)?),
    })
}

//! JSON made of templates. A text that is one operator and nothing else keeps that operator's type; keys are in alphabetical order, as with Envoy.

use super::record::Record;
use super::value::Value;
use super::{Template, Wanted, cut};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// A JSON value with templates for texts.
#[derive(Debug, Clone)]
pub enum Node {
    /// A text.
    Text(Template),
    /// A number, a truth value, null.
    Fixed(Json),
    /// An object.
    Object(BTreeMap<String, Node>),
    /// A list.
    List(Vec<Node>),
}

impl Node {
    /// The value for an exchange; `omit` leaves out what is unknown.
    pub fn value(&self, record: &Record, omit: bool) -> Json {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => match template.only_field() {
                None => Json::String(template.text(record, if omit { "" } else { "-" })),
                Some((operator, length)) => match operator.value(record) {
                    Value::Unknown => Json::Null,
                    Value::Number(number) => number.into(),
                    Value::Text(text) => cut(&text, length).into(),
                },
            },
            Self::Object(entries) => {
                let values = entries.iter().map(|(key, node)| (key.clone(), node.value(record, omit)));
                Json::Object(values.filter(|(_, value)| !(omit && value.is_null())).collect::<Map<_, _>>())
            }
            Self::List(nodes) => {
                Json::Array(nodes.iter().map(|node| node.value(record, omit)).filter(|v| !(omit && v.is_null())).collect())
            }
        }
    }

    /// Notes the headers it needs.
    pub fn want(&self, wanted: &mut Wanted) {
        match self {
            Self::Fixed(_) => {}
            Self::Text(template) => template.want(wanted),
            Self::Object(entries) => entries.values().for_each(|node| node.want(wanted)),
            Self::List(nodes) => nodes.iter().for_each(|node| node.want(wanted)),
        }
    }
}

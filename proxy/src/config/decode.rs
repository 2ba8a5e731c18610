//! Proto-JSON mapping: how Envoy's messages are written in YAML. A [`Value`] is a node that knows its field path and where to report.
//!
//! Read by `config::validate`. Every reader notes what is wrong and returns `None`, so that a file's problems are found all at once.
//! Rules (observed on Envoy 1.40): snake_case or lowerCamelCase; enums by name in any case or by number; wrappers bare or
//! `{value: ..}`; null is unset; a single value where a list is expected; integers as strings or hex; strings that YAML would read
//! as a number or a truth value need quotes; `@type` decides an Any.

mod duration;
pub mod message;
pub mod scalar;

use std::net::IpAddr;
use std::rc::Rc;

use super::problems::{Pos, Sink};
use super::raw::{Kind, Node};
use crate::nearest::nearest;

/// A node with its field path.
#[derive(Clone)]
pub struct Value<'a> {
    node: &'a Node,
    path: Rc<str>,
    sink: &'a Sink,
}

impl<'a> Value<'a> {
    /// The top of a document.
    pub fn root(node: &'a Node, sink: &'a Sink) -> Self {
        Self { node, path: Rc::from(""), sink }
    }

    /// The node below.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Field path, such as `static_resources.clusters[0]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands.
    pub fn pos(&self) -> Pos {
        self.node.pos
    }

    /// Where problems go.
    pub fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// The value of a field of this mapping.
    pub fn child(&self, name: &str, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { Rc::from(name) } else { Rc::from(format!("{}.{name}", self.path)) };
        Self { node, path, sink: self.sink }
    }

    /// The same node under another path.
    fn at(&self, path: String, node: &'a Node) -> Self {
        Self { node, path: Rc::from(path), sink: self.sink }
    }

    /// Notes that this value is wrong.
    pub fn problem(&self, what: impl Into<String>, right: impl Into<String>) {
        self.sink.add(self.pos(), &self.path, what, right);
    }

    fn wrong<T>(&self, right: impl Into<String>) -> Option<T> {
        let what = match &self.node.kind {
            Kind::Plain(text) | Kind::Quoted(text) => format!("`{}` cannot be used here", short(text)),
            _ => format!("{} cannot be used here", self.node.kind_name()),
        };
        self.problem(what, right);
        None
    }

    /// For fields of a wrapper type: `{value: x}` means `x`.
    pub fn wrapper(&self) -> Self {
        match &self.node.kind {
            Kind::Map(entries) if entries.len() == 1 && &*entries[0].key == "value" => self.child("value", &entries[0].value),
            _ => self.clone(),
        }
    }

    /// The elements of a list; anything else stands for a list of one.
    pub fn list(&self) -> Vec<Value<'a>> {
        match &self.node.kind {
            Kind::List(items) => items.iter().enumerate().filter_map(|(i, item)| self.element(i, item)).collect(),
            _ => vec![self.clone()],
        }
    }

    fn element(&self, index: usize, item: &'a Node) -> Option<Value<'a>> {
        let value = self.at(format!("{}[{index}]", self.path), item);
        match item.kind {
            Kind::Null => value.wrong("expected a value: a list has no unset elements"),
            _ => Some(value),
        }
    }

    /// A string.
    pub fn string(&self) -> Option<String> {
        match &self.node.kind {
            Kind::Quoted(text) => Some(text.to_string()),
            Kind::Plain(text) if scalar::yaml_bool(text).is_some() => {
                self.wrong(format!("expected a string: YAML reads this as a truth value, so write \"{text}\""))
            }
            Kind::Plain(text) if scalar::yaml_int(text).is_some() => {
                self.wrong(format!("expected a string: YAML reads this as a number, so write \"{text}\""))
            }
            Kind::Plain(text) => Some(text.to_string()),
            _ => self.wrong("expected a string"),
        }
    }

    /// A string that is not empty.
    pub fn name(&self) -> Option<String> {
        let text = self.string()?;
        if text.is_empty() {
            self.problem("it is empty", "expected at least one character");
            return None;
        }
        Some(text)
    }

    /// A truth value; quoted words are read like plain ones.
    pub fn boolean(&self) -> Option<bool> {
        match &self.node.kind {
            Kind::Plain(text) | Kind::Quoted(text) => scalar::yaml_bool(&text.to_ascii_lowercase()),
            _ => None,
        }
        .or_else(|| self.wrong("expected true or false"))
    }

    /// An integer within bounds.
    pub fn integer(&self, low: u32, high: u32) -> Option<u32> {
        let expected = format!("expected a whole number from {low} to {high}");
        let number = match &self.node.kind {
            Kind::Plain(text) if scalar::looks_octal(text) => {
                return self.wrong(format!("{expected}, without leading zeros (they mean octal to some readers)"));
            }
            Kind::Plain(text) => scalar::yaml_int(text).or_else(|| scalar::decimal_int(text)),
            Kind::Quoted(text) => scalar::quoted_int(text),
            _ => None,
        };
        match number.and_then(|n| u32::try_from(n).ok()) {
            Some(number) if (low..=high).contains(&number) => Some(number),
            _ => self.wrong(expected),
        }
    }

    /// An integer of 64 bits with a sign.
    pub fn signed(&self) -> Option<i64> {
        let number = match &self.node.kind {
            Kind::Plain(text) => scalar::yaml_int(text).or_else(|| scalar::decimal_int(text)),
            Kind::Quoted(text) => scalar::quoted_int(text),
            _ => None,
        };
        number.or_else(|| self.wrong("expected a whole number"))
    }

    /// A finite number.
    pub fn number(&self) -> Option<f64> {
        let number = match &self.node.kind {
            Kind::Plain(text) => scalar::yaml_int(text).map(|n| n as f64).or_else(|| scalar::decimal(text)),
            Kind::Quoted(text) => scalar::decimal(text),
            _ => None,
        };
        number.or_else(|| self.wrong("expected a number"))
    }

    /// One of an enum's values, by name in any letter case or by number.
    pub fn choice<T: Copy>(&self, choices: &[(&str, i64, T)]) -> Option<T> {
        self.supported_choice(choices, &[])
    }

    /// The same for an enum of which some values are refused as unsupported.
    pub fn supported_choice<T: Copy>(&self, choices: &[(&str, i64, T)], unsupported: &[(&str, i64)]) -> Option<T> {
        let names = || choices.iter().map(|(name, ..)| *name);
        let right = |word: Option<&str>| {
            let guess = word.and_then(|w| nearest(&w.to_ascii_uppercase(), names()));
            let guess = guess.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            format!("expected {}{guess}", names().collect::<Vec<_>>().join(", "))
        };
        let text = match &self.node.kind {
            Kind::Plain(text) | Kind::Quoted(text) => text,
            _ => return self.wrong(right(None)),
        };
        let by_name = choices.iter().find(|(name, ..)| name.eq_ignore_ascii_case(text));
        let number = scalar::yaml_int(text);
        let found = by_name.or_else(|| choices.iter().find(|(_, n, _)| Some(*n) == number));
        if let Some((.., value)) = found {
            return Some(*value);
        }
        if let Some((name, _)) = unsupported.iter().find(|(name, n)| name.eq_ignore_ascii_case(text) || Some(*n) == number) {
            self.problem(format!("{name} is not supported yet"), right(None));
            return None;
        }
        self.wrong(right(Some(text)))
    }

    /// An IP address, not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        let text = self.string()?;
        text.parse()
            .ok()
            .or_else(|| self.wrong("expected an IP address (names are resolved only in clusters of type STRICT_DNS and LOGICAL_DNS)"))
    }
}

/// At most 60 characters of a text, for messages.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]).replace('\n', " "),
        None => text.replace('\n', " "),
    }
}

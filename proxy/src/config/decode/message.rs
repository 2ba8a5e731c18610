//! Messages: which fields there are, which of them this proxy supports, oneofs, and `@type`.
//!
//! `config::validate` declares a [`Schema`] beside each reader. A field that Envoy has and this proxy has not is refused as
//! unsupported; one that nobody has is refused with the nearest valid name.

use super::{Value, short};
use crate::config::problems::Pos;
use crate::config::raw::{Entry, Kind};
use crate::nearest::nearest;

/// A message's fields, in snake_case, separated by blanks.
pub struct Schema {
    /// Its name in Envoy's API, for messages.
    pub name: &'static str,
    /// Fields read here.
    pub fields: &'static str,
    /// Fields Envoy has and this proxy refuses.
    pub unsupported: &'static str,
}

/// The fields of one message that are set. Lookups are by snake_case name.
pub struct Fields<'a> {
    value: Value<'a>,
    set: Vec<(&'static str, Value<'a>)>,
}

impl<'a> Value<'a> {
    /// Reads a mapping as a message, refusing every field that is not in the schema.
    pub fn message(&self, schema: &'static Schema) -> Option<Fields<'a>> {
        self.fields(schema, false)
    }

    /// Reads an Any whose `@type` has been checked by [`Value::type_name`].
    pub fn any(&self, schema: &'static Schema) -> Option<Fields<'a>> {
        self.fields(schema, true)
    }

    fn fields(&self, schema: &'static Schema, any: bool) -> Option<Fields<'a>> {
        let Kind::Map(entries) = &self.node().kind else {
            return self.wrong(format!("expected a mapping ({})", schema.short_name()));
        };
        let mut set: Vec<(&'static str, Pos, Value<'a>)> = Vec::new();
        for entry in entries.iter().filter(|e| !(any && &*e.key == "@type")) {
            let Some(name) = self.known(schema, entry) else { continue };
            if let Some((_, first, _)) = set.iter().find(|(n, ..)| *n == name) {
                let what = format!("the field is set twice: on line {} and as `{}` on line {}", first.line, entry.key, entry.pos.line);
                self.sink().add(entry.pos, &self.join(name), what, "keep one of them");
                continue;
            }
            set.push((name, entry.pos, self.child(name, &entry.value)));
        }
        let set = set.into_iter().filter(|(.., v)| !matches!(v.node().kind, Kind::Null)).map(|(n, _, v)| (n, v)).collect();
        Some(Fields { value: self.clone(), set })
    }

    fn known(&self, schema: &'static Schema, entry: &Entry) -> Option<&'static str> {
        if let Some(name) = schema.fields.split_whitespace().find(|name| spells(&entry.key, name)) {
            return Some(name);
        }
        if self.sink().is_full() {
            self.sink().add(entry.pos, "", "", "");
            return None;
        }
        let (what, right) = match schema.unsupported.split_whitespace().find(|name| spells(&entry.key, name)) {
            Some(_) => (format!("this field of {} is not supported yet", schema.short_name()), schema.instead()),
            None => (format!("{} has no such field", schema.short_name()), schema.suggestion(&entry.key)),
        };
        self.sink().add(entry.pos, &self.join(&short(&entry.key)), what, right);
        None
    }

    fn join(&self, name: &str) -> String {
        if self.path().is_empty() { name.to_owned() } else { format!("{}.{name}", self.path()) }
    }

    /// The message name of an Any: its `@type` without the `type.googleapis.com/` prefix.
    pub fn type_name(&self) -> Option<String> {
        let Kind::Map(entries) = &self.node().kind else {
            return self.wrong("expected a mapping with \"@type\"");
        };
        let Some(entry) = entries.iter().find(|e| &*e.key == "@type") else {
            self.problem("\"@type\" is missing", "expected \"@type\": type.googleapis.com/<message name>");
            return None;
        };
        let url = self.child("@type", &entry.value);
        let text = url.string()?;
        match text.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => Some(name.to_owned()),
            _ => url.wrong("expected type.googleapis.com/<message name>"),
        }
    }

    /// Refuses an Any of a type that is not read here.
    pub fn wrong_type(&self, name: &str, known: &[&str]) {
        let right = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean type.googleapis.com/{near}?"),
            None => format!("supported here: {}", known.join(", ")),
        };
        self.problem(format!("the type `{name}` is unknown or not supported here"), right);
    }

    /// Reads an Any that can only be of one type.
    pub fn any_of(&self, schema: &'static Schema) -> Option<Fields<'a>> {
        let name = self.type_name()?;
        if name != schema.name {
            self.wrong_type(&name, &[schema.name]);
            return None;
        }
        self.any(schema)
    }

    /// The entries of a mapping whose keys are free (maps of strings to messages).
    pub fn entries(&self) -> Vec<(String, Value<'a>)> {
        match &self.node().kind {
            Kind::Map(entries) => entries.iter().map(|e| (e.key.to_string(), self.child(&e.key, &e.value))).collect(),
            _ => self.wrong::<Vec<_>>("expected a mapping").unwrap_or_default(),
        }
    }
}

impl Schema {
    /// The name without its package.
    fn short_name(&self) -> &'static str {
        if !self.name.starts_with("envoy.") {
            return self.name;
        }
        let package = self.name.find(".v3.").map_or(0, |at| at + ".v3.".len());
        &self.name[package..]
    }

    /// What to write instead of an unsupported field; long lists of fields help nobody.
    fn instead(&self) -> String {
        match self.fields.split_whitespace().count() {
            0 => "remove it: no field of this message is supported".to_owned(),
            1..=10 => format!("remove it; supported are: {}", self.list()),
            _ => "remove it".to_owned(),
        }
    }

    fn list(&self) -> String {
        self.fields.split_whitespace().collect::<Vec<_>>().join(", ")
    }

    fn suggestion(&self, word: &str) -> String {
        match nearest(word, self.fields.split_whitespace()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if self.fields.is_empty() => "it has no fields that are supported here".to_owned(),
            None => format!("its fields: {}", self.list()),
        }
    }
}

impl<'a> Fields<'a> {
    /// The message as a value.
    pub fn value(&self) -> &Value<'a> {
        &self.value
    }

    /// A field, when set.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())
    }

    /// A field that must be set.
    pub fn need(&self, name: &str) -> Option<Value<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.value.problem(format!("`{name}` is missing"), "it is required");
        }
        found
    }

    /// The elements of a repeated field; none when unset.
    pub fn list(&self, name: &str) -> Vec<Value<'a>> {
        self.get(name).map(|v| v.list()).unwrap_or_default()
    }

    /// A truth value, or its default.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(|v| v.boolean()).unwrap_or(default)
    }

    /// The member of a oneof that is set. Two at once are refused.
    pub fn one_of(&self, names: &[&str]) -> Option<(&'static str, Value<'a>)> {
        let mut set = self.set.iter().filter(|(n, _)| names.contains(n));
        let first = set.next()?;
        for (name, value) in set {
            value.problem(format!("`{}` and `{name}` exclude each other", first.0), "keep one of them");
        }
        Some(first.clone())
    }

    /// The member of a oneof of which one must be set.
    pub fn need_one_of(&self, names: &[&str]) -> Option<(&'static str, Value<'a>)> {
        let found = self.one_of(names);
        if found.is_none() {
            let names = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            self.value.problem(format!("none of {names} is set"), "set one of them");
        }
        found
    }
}

/// True when `key` is `name` or its lowerCamelCase form.
fn spells(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut letters = key.chars();
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
            continue;
        }
        let want = if upper { c.to_ascii_uppercase() } else { c };
        upper = false;
        if letters.next() != Some(want) {
            return false;
        }
    }
    letters.next().is_none()
}

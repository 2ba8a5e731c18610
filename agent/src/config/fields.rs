//! Reading typed fields out of a mapping: required or with a default, in range, and nothing left over.
//!
//! Called by `config::read`. Promises: every problem is collected (not only the first), with its place and path; a value that was
//! refused is replaced by its default so that reading goes on. Not here: which fields there are.

use super::problem::{Place, Problem};
use super::yaml::{Key, Node, Value};
use std::ops::RangeInclusive;

/// Collects problems.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, at: Place, field: impl Into<String>, what: impl Into<String>, expected: impl Into<String>) {
        self.0.push(Problem::new(at, field, what, expected));
    }
}

/// A value with the place it came from, for checks that involve several fields.
#[derive(Debug, Clone, Copy)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands (of a default: where its mapping begins).
    pub at: Place,
}

/// The fields of one mapping, being read.
pub struct Fields<'n, 'p> {
    path: String,
    at: Place,
    entries: Vec<(&'n Key, &'n Node)>,
    known: Vec<&'static str>,
    problems: &'p mut Problems,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// Opens a mapping; anything else is a problem, and reads as an empty one.
    pub fn open(node: &'n Node, path: &str, problems: &'p mut Problems) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.iter().map(|(k, v)| (k, v)).collect(),
            _ if node.is_null() => Vec::new(),
            _ => {
                problems.add(node.at, path, format!("is {}", node.kind()), "a mapping of fields");
                Vec::new()
            }
        };
        Self { path: path.to_owned(), at: node.at, entries, known: Vec::new(), problems }
    }

    /// Where the mapping begins.
    pub fn at(&self) -> Place {
        self.at
    }

    /// Path of a field of this mapping.
    pub fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// The collected problems, to add one.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// A field's node, when it is there.
    pub fn node(&mut self, field: &'static str) -> Option<&'n Node> {
        self.known.push(field);
        self.entries.iter().find(|(k, _)| k.name == field).map(|(_, n)| *n)
    }

    /// Place of a field's name, when it is there, else of the mapping.
    pub fn place_of(&self, field: &str) -> Place {
        self.entries.iter().find(|(k, _)| k.name == field).map_or(self.at, |(k, _)| k.at)
    }

    /// Says that a field is missing.
    pub fn missing(&mut self, field: &str, expected: &str) {
        let path = self.path_of(field);
        self.problems.add(self.at, path, "missing", expected);
    }

    /// A nested mapping, read by `read`; `None` when it is not there.
    pub fn nested<T>(&mut self, field: &'static str, read: impl FnOnce(Fields<'n, '_>) -> T) -> Option<T> {
        let node = self.node(field)?;
        let path = self.path_of(field);
        Some(read(Fields::open(node, &path, self.problems)))
    }

    /// A list, each item read by `read` with its path; `None` when the field is not there.
    pub fn list<T>(&mut self, field: &'static str, mut read: impl FnMut(&'n Node, &str, &mut Problems) -> Option<T>) -> Option<Vec<T>> {
        let node = self.node(field)?;
        let path = self.path_of(field);
        let Value::List(items) = &node.value else {
            self.problems.add(node.at, path, format!("is {}", node.kind()), "a list");
            return None;
        };
        Some(items.iter().enumerate().filter_map(|(i, item)| read(item, &format!("{path}[{i}]"), self.problems)).collect())
    }

    /// Text, when the field is there.
    pub fn text(&mut self, field: &'static str) -> Option<Placed<String>> {
        let node = self.node(field)?;
        let path = self.path_of(field);
        text(node, &path, self.problems).map(|value| Placed { value, at: node.at })
    }

    /// Text that must be there and not be empty.
    pub fn required_text(&mut self, field: &'static str, expected: &str) -> Placed<String> {
        let there = self.entries.iter().any(|(k, _)| k.name == field);
        match self.text(field) {
            Some(t) if t.value.trim().is_empty() => {
                let path = self.path_of(field);
                self.problems.add(t.at, path, "is empty", expected);
                t
            }
            Some(t) => t,
            None => {
                if !there {
                    self.missing(field, expected);
                }
                Placed { value: String::new(), at: self.at }
            }
        }
    }

    /// A number in a range, when the field is there.
    pub fn number_opt(&mut self, field: &'static str, range: RangeInclusive<f64>) -> Option<Placed<f64>> {
        let node = self.node(field)?;
        let path = self.path_of(field);
        let expected = format!("a number from {} to {}", range.start(), range.end());
        match number(node) {
            Some(value) if range.contains(&value) => Some(Placed { value, at: node.at }),
            Some(_) => {
                self.problems.add(node.at, path, format!("{} is out of range", node.kind()), expected);
                None
            }
            None => {
                self.problems.add(node.at, path, format!("is {}", node.kind()), expected);
                None
            }
        }
    }

    /// A number in a range, or its default.
    pub fn number(&mut self, field: &'static str, range: RangeInclusive<f64>, default: f64) -> Placed<f64> {
        let at = self.at;
        self.number_opt(field, range).unwrap_or(Placed { value: default, at })
    }

    /// A whole number in a range, or its default.
    pub fn whole(&mut self, field: &'static str, range: RangeInclusive<u64>, default: u64) -> Placed<u64> {
        let at = self.at;
        let fallback = Placed { value: default, at };
        let Some(node) = self.node(field) else { return fallback };
        let path = self.path_of(field);
        let parsed = match &node.value {
            Value::Scalar { text, plain: true } => text.replace('_', "").parse::<u64>().ok(),
            _ => None,
        };
        match parsed {
            Some(value) if range.contains(&value) => Placed { value, at: node.at },
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.problems.add(node.at, path, format!("is {}", node.kind()), expected);
                fallback
            }
        }
    }

    /// `true` or `false`, or its default.
    pub fn flag(&mut self, field: &'static str, default: bool) -> bool {
        let Some(node) = self.node(field) else { return default };
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => true,
            Value::Scalar { text, plain: true } if text == "false" => false,
            _ => {
                let path = self.path_of(field);
                self.problems.add(node.at, path, format!("is {}", node.kind()), "`true` or `false`");
                default
            }
        }
    }

    /// One of some words, or the default.
    pub fn choice<T: Copy>(&mut self, field: &'static str, choices: &[(&str, T)], default: T) -> T {
        let Some(found) = self.text(field) else { return default };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == found.value) {
            return *value;
        }
        let words: Vec<String> = choices.iter().map(|(w, _)| format!("`{w}`")).collect();
        let hint = nearest(&found.value, choices.iter().map(|(w, _)| *w)).map_or(String::new(), |n| format!(" (did you mean `{n}`?)"));
        let path = self.path_of(field);
        self.problems.add(found.at, path, format!("unknown value `{}`{hint}", found.value), format!("one of {}", words.join(", ")));
        default
    }

    /// Ends the reading: whatever was not asked for is a problem.
    pub fn finish(self) {
        for (key, _) in &self.entries {
            if self.known.contains(&key.name.as_str()) {
                continue;
            }
            let path = self.path_of(&key.name);
            let expected = match nearest(&key.name, self.known.iter().copied()) {
                Some(name) => format!("`{name}`"),
                None => format!("one of {}", self.known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
            };
            self.problems.add(key.at, path, "unknown field", expected);
        }
    }
}

/// Text of a scalar; null and collections are problems.
pub fn text(node: &Node, path: &str, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Some(text.clone()),
        _ => {
            problems.add(node.at, path, format!("is {}", node.kind()), "text");
            None
        }
    }
}

/// A finite number of a plain scalar.
pub fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Scalar { text, plain: true } => text.replace('_', "").parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

/// The nearest of some names, when one is near.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

//! Envoy's substitution formats: `%COMMAND(arguments):length%` in texts and JSON, compiled once when the configuration is read.
//!
//! Used by access logs, header operations and local replies. A [`Template`] is filled from a [`Record`] of one exchange. What is unknown about an
//! exchange is `-` in texts (nothing when empty values are omitted) and `null` in JSON.

pub mod certificate;
pub mod json;
pub mod operator;
pub mod parse;
pub mod record;
pub mod time;
pub mod value;

use http::HeaderName;
use operator::Operator;
use record::Record;
use std::fmt::Write as _;
use value::Value;

/// A compiled text.
#[derive(Debug, Clone, Default)]
pub struct Template(Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone)]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// What an operator finds, at most so many characters of it.
    Field(Operator, Option<usize>),
}

/// Headers that templates need, so that nothing else is kept of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of requests.
    pub request: Vec<HeaderName>,
    /// Of answers.
    pub response: Vec<HeaderName>,
    /// Of answers' trailers.
    pub trailers: Vec<HeaderName>,
}

impl Template {
    /// From its parts.
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    /// Whether it is the same for every exchange; if so, its text.
    pub fn fixed(&self) -> Option<String> {
        let mut all = String::new();
        for piece in &self.0 {
            let Piece::Literal(text) = piece else { return None };
            all.push_str(text);
        }
        Some(all)
    }

    /// Appends the text for an exchange; `unknown` stands for what is not known of it.
    pub fn write(&self, record: &Record, unknown: &str, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Field(operator, length) => match operator.value(record) {
                    Value::Unknown => out.push_str(unknown),
                    Value::Number(number) => {
                        // Writing to a string does not fail.
                        let _ = write!(out, "{number}");
                    }
                    Value::Text(text) => out.push_str(cut(&text, *length)),
                },
            }
        }
    }

    /// The text for an exchange.
    pub fn text(&self, record: &Record, unknown: &str) -> String {
        let mut out = String::new();
        self.write(record, unknown, &mut out);
        out
    }

    /// Notes the headers it needs.
    pub fn want(&self, wanted: &mut Wanted) {
        for piece in &self.0 {
            if let Piece::Field(operator, _) = piece {
                operator.want(wanted);
            }
        }
    }

    /// Its only part, when that is a field.
    fn only_field(&self) -> Option<(&Operator, Option<usize>)> {
        match self.0.as_slice() {
            [Piece::Field(operator, length)] => Some((operator, *length)),
            _ => None,
        }
    }
}

/// At most so many bytes of a text, never half a character.
fn cut(text: &str, length: Option<usize>) -> &str {
    match length {
        Some(length) if length < text.len() => &text[..text.floor_char_boundary(length)],
        _ => text,
    }
}

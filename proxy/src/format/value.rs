//! What operators find: nothing, a number, a text.

use std::borrow::Cow;

/// What an operator finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Unknown,
    /// A number, which JSON shows as one.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
}

/// A text, also an empty one.
pub fn text<'a>(text: impl Into<Cow<'a, str>>) -> Value<'a> {
    Value::Text(text.into())
}

/// A text; an empty one is nothing.
pub fn some(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Unknown } else { Value::Text(text.into()) }
}

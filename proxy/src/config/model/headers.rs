//! Header operations as they can be applied. Part of [`super`], which re-exports it.

use crate::format::{Template, Wanted};
use std::sync::Arc;

/// Header additions and removals: first everything in `remove`, then everything in `set`.
#[derive(Debug, Clone, Default)]
pub struct HeaderOps {
    /// Set or append, in order.
    pub set: Vec<HeaderSet>,
    /// Remove these.
    pub remove: Vec<http::HeaderName>,
}

/// One header addition.
#[derive(Debug, Clone)]
pub struct HeaderSet {
    /// Name.
    pub name: http::HeaderName,
    /// Value.
    pub value: HeaderText,
    /// An empty value is added, too.
    pub keep_empty: bool,
    /// What to do when it is there.
    pub mode: HeaderSetMode,
}

/// Envoy's `append_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderSetMode {
    /// Add one more.
    #[default]
    Append,
    /// Only when absent.
    AddIfAbsent,
    /// Replace all, or add.
    Overwrite,
    /// Replace only when present.
    OverwriteIfExists,
}

/// Value of a header that is set.
#[derive(Debug, Clone)]
pub enum HeaderText {
    /// Always the same.
    Fixed(http::HeaderValue),
    /// Made for each exchange.
    Made(Arc<Template>),
}

impl HeaderText {
    /// The value, when it is always the same.
    pub fn fixed(&self) -> Option<&http::HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value),
            Self::Made(_) => None,
        }
    }
}

impl HeaderOps {
    /// Notes the headers that its values are made of; whether any is made at all.
    pub fn want(&self, wanted: &mut Wanted) -> bool {
        let mut any = false;
        for set in &self.set {
            if let HeaderText::Made(template) = &set.value {
                any = true;
                template.want(wanted);
            }
        }
        any
    }
}

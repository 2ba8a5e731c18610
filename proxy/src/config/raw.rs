//! Raw configuration: a tree of YAML nodes, each with its place in the text.
//!
//! Built by [`parse`], combined by [`merge`], read by `config::decode`. Knows YAML, knows nothing of Envoy.
//! Subtrees are shared, so an alias costs no memory, and their expanded size is bounded by [`parse::MAX_NODES`].

pub mod merge;
pub mod parse;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use super::problems::Pos;

/// Largest text read, in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Place of its first character; for an alias, that of the anchored text.
    pub pos: Pos,
    /// What it is.
    pub kind: Kind,
    /// Nodes in this subtree with aliases expanded, itself included.
    pub size: usize,
}

/// The kinds of nodes.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// A scalar without quotes, which may be read as a number or a truth value.
    Plain(Rc<str>),
    /// A quoted or block scalar: always a string.
    Quoted(Rc<str>),
    /// A sequence.
    List(Rc<Vec<Node>>),
    /// A mapping, in file order; keys are unique.
    Map(Rc<Vec<Entry>>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Key as written.
    pub key: Rc<str>,
    /// Place of the key.
    pub pos: Pos,
    /// Value.
    pub value: Node,
}

impl Node {
    /// What people call this kind of node.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Plain(_) => "a plain value",
            Kind::Quoted(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads a text file, at most [`MAX_BYTES`] of it (also from what has no size, such as a pipe).
///
/// # Errors
/// Why it cannot be read, for people.
pub fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 text (byte {})", e.utf8_error().valid_up_to()))
}

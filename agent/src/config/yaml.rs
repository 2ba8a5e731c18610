//! YAML text into a tree in which every node knows its line and column.
//!
//! Called by `config::load`. Promises: bounded (document size, depth, nodes, also through aliases), and every refusal has a
//! place. Not here: what a field means; merge keys (`<<`) and multiple documents are refused in words.

use super::problem::{Place, Problem};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;

/// Largest tree, aliases expanded.
const MAX_NODES: usize = 10_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// One node of the document.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text; `plain` when it was written without quotes, so that it may be a number, a boolean or null.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in file order, keys unique.
    Map(Vec<(Key, Node)>),
}

/// Key of a mapping.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// Where it stands.
    pub at: Place,
}

impl Node {
    /// What kind of node it is, in words.
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain: true } if is_null(text) => "nothing".into(),
            Value::Scalar { text, .. } => format!("`{text}`"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// Whether it is null: `~`, `null` or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if is_null(text))
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Parses one document.
pub fn parse(text: &str) -> Result<Node, Problem> {
    let mut tree = Tree { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    tree.document()
}

struct Tree<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Problem> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, place(span))),
            Some(Err(e)) => {
                let at = Place { line: e.marker().line(), column: e.marker().col() + 1 };
                Err(Problem::new(at, "", format!("not valid YAML: {}", e.info()), "well-formed YAML here"))
            }
            None => Ok((Event::StreamEnd, Place { line: 1, column: 1 })),
        }
    }

    fn document(&mut self) -> Result<Node, Problem> {
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamStart | Event::Nothing => {}
                Event::DocumentStart(_) => break,
                _ => {
                    return Err(Problem::new(
                        Place { line: at.line.max(1), ..at },
                        "",
                        "the file is empty",
                        "a configuration; config/local.yaml shows one",
                    ));
                }
            }
        }
        let first = self.next()?;
        let root = self.node(first, 0)?;
        self.next()?;
        match self.next()? {
            (Event::DocumentStart(_), at) => Err(Problem::new(at, "", "a second YAML document", "exactly one document in the file")),
            _ => Ok(root),
        }
    }

    fn node(&mut self, (event, at): (Event<'a>, Place), depth: usize) -> Result<Node, Problem> {
        self.count(at, 1)?;
        if depth > MAX_DEPTH {
            return Err(Problem::new(at, "", "nested too deeply", format!("at most {MAX_DEPTH} levels")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                (Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, at),
            other => return Err(Problem::new(at, "", format!("unexpected {other:?}"), "a value")),
        };
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, at: Place) -> Result<Node, Problem> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Problem::new(at, "", "an alias to an anchor that is not complete before it", "an anchor defined above"));
        };
        self.count(at, size(&node))?;
        Ok(Node { at, value: node.value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(text, ..), at) => Key { name: text.into_owned(), at },
                (_, at) => return Err(Problem::new(at, "", "a key that is not plain text", "a field name")),
            };
            if key.name == "<<" {
                return Err(Problem::new(
                    key.at,
                    "<<",
                    "merge keys are not supported",
                    "the fields written out, or an alias for the whole value",
                ));
            }
            if let Some((earlier, _)) = entries.iter().find(|(k, _)| k.name == key.name) {
                let what = format!("given twice, first on line {}", earlier.at.line);
                return Err(Problem::new(key.at, &key.name, what, "each field once"));
            }
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            entries.push((key, value));
        }
    }

    fn count(&mut self, at: Place, more: usize) -> Result<(), Problem> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(at, "", "the document is too large", format!("at most {MAX_NODES} values, aliases expanded")));
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, n)| size(n)).sum(),
    }
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

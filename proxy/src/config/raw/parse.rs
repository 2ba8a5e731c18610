//! Text -> tree of nodes. Called by `config::load` and `config::parse_eds`.
//!
//! Promises: time and memory are bounded by the size of the text, whatever aliases do ([`super::MAX_BYTES`], [`MAX_NODES`], [`MAX_DEPTH`]);
//! no input panics. Refused: a second document, duplicate keys, merge keys, tags other than YAML's own and Envoy's `!ignore`.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Entry, Kind, MAX_BYTES, Node};
use crate::config::problems::{Pos, Sink};

/// Most nodes, aliases expanded.
pub const MAX_NODES: usize = 500_000;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 100;

/// Parses one document. `None` after a problem that leaves no tree; less serious ones are noted and parsing goes on.
pub fn parse(text: &str, file: u16, sink: &Sink) -> Option<Node> {
    let start = Pos { file, line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        sink.add(start, "", format!("the text is {} bytes long", text.len()), format!("at most {MAX_BYTES} bytes are read"));
        return None;
    }
    let mut builder = Builder { file, sink, stack: Vec::new(), anchors: HashMap::new(), root: None, documents: 0, last: start };
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        match event {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                let mark = error.marker();
                sink.add(
                    place(file, mark.line(), mark.col()),
                    "",
                    format!("not YAML: {}", error.info()),
                    "see the lines just before this place too",
                );
                return None;
            }
        }
    }
    builder.root.or_else(|| {
        sink.add(start, "", "the text is empty", "expected a mapping");
        None
    })
}

fn place(file: u16, line: usize, column_from_0: usize) -> Pos {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Pos { file, line: number(line.max(1)), column: number(column_from_0 + 1) }
}

struct Builder<'s> {
    file: u16,
    sink: &'s Sink,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    documents: usize,
    last: Pos,
}

/// A collection that is not closed yet.
struct Open {
    pos: Pos,
    anchor: usize,
    size: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<Rc<str>, Pos>, key: Option<Key> },
}

struct Key {
    text: Rc<str>,
    pos: Pos,
    keep: bool,
}

impl Builder<'_> {
    /// Takes one event; `None` stops the parse, the reason having been noted.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let pos = place(self.file, span.start.line(), span.start.col());
        self.last = pos;
        match event {
            Event::DocumentStart(_) => return self.document(pos),
            Event::Scalar(text, style, anchor, tag) => return self.scalar(&text, style, anchor, tag.as_deref(), pos),
            Event::Alias(anchor) => return self.alias(anchor, pos),
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), pos);
                return self.open(anchor, pos, Content::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), pos);
                return self.open(anchor, pos, Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Some(())
    }

    /// Field path of the value that comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match &open.content {
                Content::List(items) => path.push_str(&format!("[{}]", items.len())),
                Content::Map { key: Some(key), .. } => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(&key.text);
                }
                Content::Map { key: None, .. } => {}
            }
        }
        path
    }

    fn stop(&self, pos: Pos, what: impl Into<String>, right: impl Into<String>) -> Option<()> {
        self.sink.add(pos, &self.path(), what, right);
        None
    }

    fn document(&mut self, pos: Pos) -> Option<()> {
        self.documents += 1;
        if self.documents > 1 {
            return self.stop(pos, "a second YAML document starts here", "a configuration is one document");
        }
        Some(())
    }

    /// Notes a tag that means nothing here; true when it is Envoy's `!ignore`.
    fn tag(&self, tag: Option<&Tag>, pos: Pos) -> bool {
        match tag {
            Some(tag) if tag.handle == "!" && tag.suffix == "ignore" => true,
            Some(tag) if !tag.is_yaml_core_schema() && !tag.suffix.is_empty() => {
                self.sink.add(pos, &self.path(), format!("the tag `{tag}` means nothing here"), "only `!ignore` before a key is known");
                false
            }
            _ => false,
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, pos: Pos) -> Option<()> {
        let ignore = self.tag(tag, pos);
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.stack.last() {
            self.key(text, style, ignore, pos);
            if anchor != 0 {
                self.anchors.insert(anchor, Node { pos, kind: Kind::Quoted(Rc::from(text)), size: 1 });
            }
            return Some(());
        }
        let kind = match style {
            ScalarStyle::Plain if matches!(text, "" | "~" | "null" | "Null" | "NULL") => Kind::Null,
            ScalarStyle::Plain => Kind::Plain(Rc::from(text)),
            _ => Kind::Quoted(Rc::from(text)),
        };
        self.place_node(Node { pos, kind, size: 1 }, anchor)
    }

    /// Takes a key of the innermost mapping; keys that are refused, and their values, are left out of the tree.
    fn key(&mut self, text: &str, style: ScalarStyle, ignore: bool, pos: Pos) {
        let Some(Open { content: Content::Map { seen, key, .. }, .. }) = self.stack.last_mut() else { return };
        let text: Rc<str> = Rc::from(text);
        let merge = style == ScalarStyle::Plain && &*text == "<<";
        let first = if ignore { None } else { seen.get(&text).copied() };
        if first.is_none() && !ignore {
            seen.insert(text.clone(), pos);
        }
        *key = Some(Key { text, pos, keep: !ignore && !merge && first.is_none() });
        let (what, right) = match first {
            Some(first) => (format!("the key stands twice: first on line {}, again on line {}", first.line, pos.line), "keep one of them"),
            None if merge => {
                ("the merge key `<<` is not part of the format".to_owned(), "write the fields out, or use an alias for a whole value")
            }
            None => return,
        };
        self.sink.add(pos, &self.path(), what, right);
    }

    fn alias(&mut self, anchor: usize, pos: Pos) -> Option<()> {
        match self.anchors.get(&anchor).cloned() {
            Some(node) => self.place_node(node, 0),
            None => self.stop(pos, "an alias stands inside the value it refers to", "refer to a value that is complete"),
        }
    }

    fn open(&mut self, anchor: usize, pos: Pos, content: Content) -> Option<()> {
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.stack.last() {
            return self.stop(pos, "a key is a list or a mapping", "keys are field names");
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.stop(pos, format!("nested deeper than {MAX_DEPTH} levels"), "no configuration needs that");
        }
        self.stack.push(Open { pos, anchor, size: 1, content });
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let Some(open) = self.stack.pop() else { return Some(()) };
        let kind = match open.content {
            Content::List(items) => Kind::List(Rc::new(items)),
            Content::Map { entries, .. } => Kind::Map(Rc::new(entries)),
        };
        self.place_node(Node { pos: open.pos, kind, size: open.size }, open.anchor)
    }

    fn place_node(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Some(());
        };
        open.size += node.size;
        if open.size > MAX_NODES {
            return self.stop(node.pos, format!("more than {MAX_NODES} values once aliases are expanded"), "use fewer aliases of aliases");
        }
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, .. } => match key.take() {
                Some(Key { text, pos, keep: true }) => entries.push(Entry { key: text, pos, value: node }),
                Some(_) => {}
                None => return self.stop(node.pos, "a key is an alias", "keys are field names"),
            },
        }
        Some(())
    }
}

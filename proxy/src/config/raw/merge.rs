//! Lays one tree over another the way Envoy merges `--config-yaml` over the file (protobuf's `MergeFrom`).
//!
//! Mappings merge field by field, lists are appended, everything else is replaced. Called by `config::load` only.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Entry, Kind, Node};

/// Lists of the top levels that may also be written as a single mapping.
const LISTS: [&str; 4] = ["listeners", "clusters", "secrets", "layers"];

/// `over` laid over `base`.
pub fn merge(base: &Node, over: &Node) -> Node {
    match (&base.kind, &over.kind) {
        (Kind::Map(under), Kind::Map(upper)) => {
            let mut entries: Vec<Entry> = under.as_ref().clone();
            let places: HashMap<String, usize> = entries.iter().enumerate().map(|(at, entry)| (letters(&entry.key), at)).collect();
            for entry in upper.iter() {
                match places.get(&letters(&entry.key)) {
                    Some(at) => {
                        let value = merge_field(&entry.key, &entries[*at].value, &entry.value);
                        entries[*at] = Entry { value, ..entry.clone() };
                    }
                    None => entries.push(entry.clone()),
                }
            }
            Node { pos: over.pos, kind: Kind::Map(Rc::new(entries)), size: base.size + over.size }
        }
        (Kind::List(under), Kind::List(upper)) => {
            let items = under.iter().chain(upper.iter()).cloned().collect();
            Node { pos: over.pos, kind: Kind::List(Rc::new(items)), size: base.size + over.size }
        }
        (_, Kind::Null) => base.clone(),
        _ => over.clone(),
    }
}

fn merge_field(key: &str, base: &Node, over: &Node) -> Node {
    if LISTS.contains(&key) {
        return merge(&as_list(base), &as_list(over));
    }
    merge(base, over)
}

fn as_list(node: &Node) -> Node {
    match node.kind {
        Kind::Map(_) => Node { pos: node.pos, kind: Kind::List(Rc::new(vec![node.clone()])), size: node.size + 1 },
        _ => node.clone(),
    }
}

/// `static_resources` and `staticResources` are one field.
fn letters(key: &str) -> String {
    key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

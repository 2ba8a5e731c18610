//! Reads the workspace's own sources, for tests of their shape: which module uses which.
//!
//! Works on text: `crate::`, `self::` and `super::` paths outside comments, strings and the tests at a file's end. A path counts towards the
//! deepest module that exists on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace").to_owned()
}

/// Module -> modules it names, by path from the crate's root (`""` is the root itself).
pub type Uses = BTreeMap<String, BTreeSet<String>>;

/// All Rust files below `dir`, with their text.
pub fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file is readable text");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// The module graph of the library whose sources are in `src`.
pub fn uses(src: &Path) -> Uses {
    let files: Vec<(String, String)> = sources(src)
        .into_iter()
        .filter_map(|(path, text)| Some((module_of(path.strip_prefix(src).ok()?)?, production_code(&text))))
        .collect();
    let modules: BTreeSet<String> = files.iter().map(|f| f.0.clone()).collect();
    let mut graph = Uses::new();
    for (module, text) in &files {
        let named = paths(module, text).into_iter().map(|p| deepest(&modules, &p));
        graph.insert(module.clone(), named.filter(|m| m != module && !m.is_empty()).collect());
    }
    graph
}

/// Modules that reach themselves again, each with the way round.
pub fn cycles(graph: &Uses) -> Vec<String> {
    let mut found = BTreeSet::new();
    for start in graph.keys() {
        let mut way = vec![start.clone()];
        if walk(graph, start, start, &mut way, &mut BTreeSet::new()) {
            let least = way.iter().enumerate().min_by_key(|m| m.1.clone()).map_or(0, |m| m.0);
            way.rotate_left(least);
            way.push(way[0].clone());
            found.insert(way.join(" -> "));
        }
    }
    found.into_iter().collect()
}

fn walk(graph: &Uses, from: &str, goal: &str, way: &mut Vec<String>, seen: &mut BTreeSet<String>) -> bool {
    for next in graph.get(from).into_iter().flatten() {
        if next == goal {
            return true;
        }
        if seen.insert(next.clone()) {
            way.push(next.clone());
            if walk(graph, next, goal, way, seen) {
                return true;
            }
            way.pop();
        }
    }
    false
}

/// `foo/bar.rs` -> `foo::bar`; programs (`main.rs`, `bin/`) are not part of the library.
fn module_of(relative: &Path) -> Option<String> {
    let text = relative.with_extension("").to_str()?.replace(['/', '\\'], "::");
    match text.as_str() {
        "lib" => Some(String::new()),
        "main" => None,
        _ if text.starts_with("bin::") => None,
        _ => Some(text),
    }
}

/// The text without comments and without the tests at its end.
fn production_code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every path that starts at `crate`, `self` or `super`, from the crate's root; groups in braces are spread.
fn paths(module: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("::") {
        let head = text[..at].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        let before = text[..at - head.len()].trim_end();
        if before.ends_with("::") {
            continue;
        }
        let base = match head {
            "crate" => String::new(),
            "self" => module.to_owned(),
            "super" => parent(module),
            _ => continue,
        };
        spread(&base, &text[at + 2..], &mut found);
    }
    found
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map_or(String::new(), |p| p.0.to_owned())
}

fn join(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") }
}

fn spread(base: &str, rest: &str, found: &mut Vec<String>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        for item in items(group) {
            spread(base, item, found);
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let after = rest[name.len()..].trim_start();
    let here = match name.as_str() {
        "super" => parent(base),
        "self" | "" => base.to_owned(),
        _ => join(base, &name),
    };
    match after.strip_prefix("::") {
        Some(more) => spread(&here, more, found),
        None => found.push(here),
    }
}

/// The top-level items of a brace group whose opening brace is already gone.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[start..i]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    found
}

fn deepest(modules: &BTreeSet<String>, path: &str) -> String {
    let mut path = path;
    loop {
        if modules.contains(path) {
            return path.to_owned();
        }
        match path.rsplit_once("::") {
            Some((up, _)) => path = up,
            None => return String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Uses {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        uses(dir.path())
    }

    #[test]
    fn sees_groups_super_and_inline_paths() {
        let g = graph(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::{b::{self, X}, c::Y};"),
            ("b.rs", ""),
            ("c.rs", "mod d;"),
            ("c/d.rs", "use super::Y; fn f() { crate::b::x() } // crate::a::nothing"),
        ]);
        assert_eq!(g["a"], BTreeSet::from(["b".to_owned(), "c".to_owned()]));
        assert_eq!(g["c::d"], BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn finds_a_cycle_and_only_a_cycle() {
        let g = graph(&[("lib.rs", ""), ("a.rs", "use crate::b::X;"), ("b.rs", "use crate::c::X;"), ("c.rs", "use crate::a::X;")]);
        assert_eq!(cycles(&g), ["a -> b -> c -> a"]);
        let g = graph(&[("lib.rs", ""), ("a.rs", "use crate::b::X;"), ("b.rs", "#[cfg(test)] mod t { use crate::a::X; }")]);
        assert!(cycles(&g).is_empty());
    }
}

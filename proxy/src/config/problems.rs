//! What is wrong with a configuration: every problem, each with its place, and what would be right.
//!
//! Filled by `raw` (syntax), `decode` (shape) and `validate` (meaning) through [`Sink`]; shown by `main` and by the log of a
//! refused reload. Bounded: after [`MAX_KEPT`] problems the rest is only counted.

use std::cell::RefCell;
use std::fmt;

/// Problems kept in full; more are counted only.
pub const MAX_KEPT: usize = 200;

/// A place in one of the texts being loaded. Lines and columns count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pos {
    /// Index into the sink's file names.
    pub file: u16,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File name as given, or `--config-yaml`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Field path such as `static_resources.clusters[0].name`; empty for the document as a whole.
    pub field: String,
    /// What was wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.what, self.right)
    }
}

/// All problems of one load, in the order of their places. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    uncounted: usize,
}

impl Problems {
    /// The problems, at most [`MAX_KEPT`].
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many there are, including those not kept.
    pub fn count(&self) -> usize {
        self.list.len() + self.uncounted
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "{problem}")?;
        }
        if self.uncounted > 0 {
            writeln!(f, "({} more not shown)", self.uncounted)?;
        }
        match self.count() {
            1 => write!(f, "1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub struct Sink {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<String>,
    found: Vec<(Pos, Problem)>,
    uncounted: usize,
}

impl Sink {
    /// Registers a text by the name people know it by, and returns its index for [`Pos::file`].
    pub fn file(&self, name: &str) -> u16 {
        let mut inner = self.inner.borrow_mut();
        inner.files.push(name.to_owned());
        u16::try_from(inner.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// Whether further problems are only counted: what would be right need not be looked for any more.
    pub fn is_full(&self) -> bool {
        self.inner.borrow().found.len() >= MAX_KEPT
    }

    /// Notes a problem.
    pub fn add(&self, pos: Pos, field: &str, what: impl Into<String>, right: impl Into<String>) {
        let mut inner = self.inner.borrow_mut();
        if inner.found.len() >= MAX_KEPT {
            inner.uncounted += 1;
            return;
        }
        let file = inner.files.get(usize::from(pos.file)).cloned().unwrap_or_default();
        let problem = Problem { file, line: pos.line, column: pos.column, field: field.to_owned(), what: what.into(), right: right.into() };
        inner.found.push((pos, problem));
    }

    /// Another place, as seen from `here`: `line 3`, or `file:3` when it is in another text.
    pub fn name_place(&self, place: Pos, here: Pos) -> String {
        match self.inner.borrow().files.get(usize::from(place.file)) {
            Some(file) if place.file != here.file => format!("{file}:{}", place.line),
            _ => format!("line {}", place.line),
        }
    }

    /// True when nothing has been wrong so far.
    pub fn is_clean(&self) -> bool {
        self.inner.borrow().found.is_empty()
    }

    /// The problems found, sorted by place, each once (an alias may lead to the same text twice).
    pub fn into_problems(self) -> Problems {
        let Inner { mut found, uncounted, .. } = self.inner.into_inner();
        found.sort_by_key(|(pos, _)| (pos.file, pos.line, pos.column));
        found.dedup_by(|a, b| a.0 == b.0 && a.1.what == b.1.what);
        Problems { list: found.into_iter().map(|(_, problem)| problem).collect(), uncounted }
    }
}

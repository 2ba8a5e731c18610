//! What is wrong with a configuration: place, field, what, and what would be right. Every refusal of a file goes through here.
//!
//! Made by the modules of `config`, printed by `main`. One line a problem: `file:line:column: field: what; what would be right`.

use std::fmt;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// Path of the field from the root, e.g. `workload.bounds.max_replicas`; empty for the whole file.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub expected: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(at: Place, field: impl Into<String>, what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { at, field: field.into(), what: what.into(), expected: expected.into() }
    }
}

/// Everything wrong with one file, in file order.
#[derive(Debug)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Why it could not be read at all, or what is wrong in it.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.problems.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{}:{}: ", self.file, p.at.line, p.at.column)?;
            if !p.field.is_empty() {
                write!(f, "{}: ", p.field)?;
            }
            write!(f, "{}; expected {}", p.what, p.expected)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

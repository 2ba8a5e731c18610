//! Reads a history, whatever its form, and walks the decision core through it.
//!
//! Forms, told apart by what they begin with: the agent's database, its export (`export`), the answer of Prometheus to `query_range`.

use crate::backtest::prometheus;
use crate::backtest::walk::{Past, Walk};
use crate::record::Record;
use crate::store::{Reader, StoreError};
use std::io::Read;
use std::path::Path;

/// Largest answer of Prometheus that is read.
const MOST_BYTES: u64 = 1 << 30;

/// The past of a file.
pub fn read(path: &Path) -> Result<Past, StoreError> {
    let mut walk = Walk::default();
    if is_prometheus(path) {
        let mut text = String::new();
        let opened = std::fs::File::open(path).and_then(|f| f.take(MOST_BYTES).read_to_string(&mut text));
        opened.map_err(|e| StoreError::Io { path: path.into(), why: e.to_string() })?;
        let samples = prometheus::samples(&text).map_err(|why| StoreError::Unreadable { path: path.into(), why })?;
        samples.iter().for_each(|sample| walk.sample(sample));
        return Ok(walk.past());
    }
    Reader::open(path)?.for_each(|record| {
        match record {
            Record::Session { session } => walk.session(&session.settings),
            Record::Sample { sample, .. } => walk.sample(&sample),
            Record::Decision { .. } | Record::Action { .. } => {}
        }
        true
    })?;
    Ok(walk.past())
}

/// Whether the file begins as an answer of Prometheus does.
fn is_prometheus(path: &Path) -> bool {
    let mut head = String::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(64).read_to_string(&mut head));
    read.is_ok() && head.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with("\"status\""))
}

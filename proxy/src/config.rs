//! Configuration: `raw` YAML with positions -> `decode` (Envoy's spelling) -> `validate` (every problem, with its place) -> `model`
//! (bad states cannot be written).
//!
//! Only this module knows YAML and Envoy's spelling. The rest of the proxy sees [`model::Config`].
//! Called at start and at every reload; promises to read no file but those it is told to read, and never to panic on any input.

mod decode;
pub mod model;
pub mod problems;
mod raw;
mod validate;

use std::path::{Path, PathBuf};

pub use problems::{Problem, Problems};

use decode::Value;
use model::{Config, Endpoint};
use problems::{Pos, Sink};
use raw::Node;

/// How problems name the text of `--config-yaml`.
const INLINE: &str = "--config-yaml";

/// Where a configuration comes from. With both, the inline text is laid over the file the way Envoy merges: fields replace,
/// messages merge, lists are appended.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// `-c` / `--config-path`: a YAML or JSON file.
    pub path: Option<PathBuf>,
    /// `--config-yaml`: YAML or JSON text.
    pub inline: Option<String>,
    /// `--service-cluster`: who we are, when the configuration's `node.cluster` does not say.
    pub service_cluster: Option<String>,
}

impl Source {
    /// A file alone.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::default() }
    }

    /// A text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { inline: Some(text.into()), ..Self::default() }
    }
}

/// Loads a whole configuration, the endpoint files it names included.
///
/// # Errors
/// Every problem found, each with file, line, column and field.
pub fn load(source: &Source) -> Result<Config, Problems> {
    let sink = Sink::default();
    let config = tree(source, &sink).and_then(|root| validate::config(&Value::root(&root, &sink), source.service_cluster.as_deref()));
    finish(sink, config)
}

/// Reads the endpoints of one service out of an endpoint file, as for a reload.
///
/// # Errors
/// Every problem of the file; also when it has no resource for `service_name`.
pub fn parse_eds(path: &Path, service_name: &str) -> Result<Vec<Endpoint>, Problems> {
    let sink = Sink::default();
    let endpoints = read_file(path, &sink).and_then(|root| validate::eds::endpoints(&Value::root(&root, &sink), service_name));
    finish(sink, endpoints)
}

/// The same from text; `name` is how problems call it.
///
/// # Errors
/// As [`parse_eds`].
pub fn parse_eds_text(name: &str, text: &str, service_name: &str) -> Result<Vec<Endpoint>, Problems> {
    let sink = Sink::default();
    let file = sink.file(name);
    let endpoints =
        raw::parse::parse(text, file, &sink).and_then(|root| validate::eds::endpoints(&Value::root(&root, &sink), service_name));
    finish(sink, endpoints)
}

fn finish<T>(sink: Sink, value: Option<T>) -> Result<T, Problems> {
    match value {
        Some(value) if sink.is_clean() => Ok(value),
        _ => Err(sink.into_problems()),
    }
}

fn tree(source: &Source, sink: &Sink) -> Option<Node> {
    let base = source.path.as_ref().map(|path| read_file(path, sink));
    let over = source.inline.as_ref().map(|text| {
        let file = sink.file(INLINE);
        raw::parse::parse(text, file, sink)
    });
    match (base, over) {
        (Some(base), Some(over)) => Some(raw::merge::merge(&base?, &over?)),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => {
            let pos = Pos { file: sink.file(INLINE), line: 1, column: 1 };
            sink.add(pos, "", "there is no configuration", "expected a file (-c) or a text (--config-yaml)");
            None
        }
    }
}

fn read_file(path: &Path, sink: &Sink) -> Option<Node> {
    let file = sink.file(&path.display().to_string());
    match raw::read(path) {
        Ok(text) => raw::parse::parse(&text, file, sink),
        Err(why) => {
            sink.add(Pos { file, line: 1, column: 1 }, "", format!("cannot read it: {why}"), "expected a text file that exists");
            None
        }
    }
}

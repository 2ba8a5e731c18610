//! The agent's configuration file: read, checked whole, and turned into a model that can be honoured.
//!
//! Called by `main` and by the local orchestrator's command. Promises: either a [`Config`] or every problem with its place
//! (`file:line:column: field: what; expected ...`); nothing is guessed and no field is ignored. The form is that of `config/local.yaml`.

mod discovery;
pub mod fields;
pub mod model;
pub mod problem;
mod read;
pub mod yaml;

pub use model::Config;
pub use problem::ConfigError;
pub use read::PROFILES;

use fields::Problems;
use problem::{Place, Problem};
use std::path::Path;

/// Largest file read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let whole = |what: String, expected: &str| ConfigError {
        file: file.clone(),
        problems: vec![Problem::new(Place { line: 1, column: 1 }, "", what, expected)],
    };
    let size = std::fs::metadata(path).map_err(|e| whole(format!("cannot be read: {e}"), "a readable file"))?.len();
    if size > MAX_BYTES {
        return Err(whole(format!("is {size} bytes long"), "a configuration of at most 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| whole(format!("cannot be read: {e}"), "a readable UTF-8 text file"))?;
    parse(&text, &file)
}

/// Checks the text of a file named `file`.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    let refuse = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|p| p.at);
        ConfigError { file: file.to_owned(), problems }
    };
    let root = yaml::parse(text).map_err(|problem| refuse(vec![problem]))?;
    let mut problems = Problems::default();
    let config = read::config(&root, &mut problems);
    if problems.0.is_empty() { Ok(config) } else { Err(refuse(problems.0)) }
}

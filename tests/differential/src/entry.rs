//! Beginning and end of this crate's programs: the command line, the exit code, the file of figures.
//!
//! Promises: usage errors end with 64, help and version with 0, a failed run says why and ends with its own code. Not here: what is compared.

use crate::error::Error;
use clap::Parser;
use std::path::Path;
use std::process::ExitCode;

/// Reads the command line, runs, and says how it ended.
pub async fn main<A: Parser>(run: impl AsyncFnOnce(&A) -> Result<(), Error>) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nowhere to print to is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes figures as JSON, when a file was named.
///
/// # Errors
/// When it cannot be written; the error names the file.
pub fn write_figures(path: Option<&Path>, figures: &serde_json::Value) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, format!("{figures:#}\n")).map_err(Error::failed(&format!("writing {}", path.display())))
}

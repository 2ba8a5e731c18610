//! Beginning and end of the measuring programs: the command line, the exit code, the file of figures.
//!
//! Called by the programs in `src/bin`, and by the differential suite's. Promises: usage errors end with 64, help and version with 0, a failed
//! run says why and ends with its own code. Not here: what is measured.

use clap::Parser;
use serde::Serialize;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// An error with which a program ends.
pub trait Fatal: Display {
    /// Exit code.
    fn exit_code(&self) -> u8;
}

/// Reads the command line, runs, and says how it ended.
pub async fn main<A: Parser, E: Fatal>(run: impl AsyncFnOnce(&A) -> Result<(), E>) -> ExitCode {
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

/// Prints a line; when nobody reads it any more (`| head`), that is no reason to fail.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

/// Writes figures as JSON, when a file was named.
///
/// # Errors
/// When it cannot be written; the error names the file.
pub fn write_figures(path: Option<&Path>, figures: &impl Serialize) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures).map_err(|e| format!("writing figures: {e}"))?;
    std::fs::write(path, text + "\n").map_err(|e| format!("writing {}: {e}", path.display()))
}

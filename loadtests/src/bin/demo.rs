//! `cargo demo`: the whole loop on one machine, with and without Foreshadow, and a report of what it was worth.

use foreshadow_loadtests::demo::run;
use foreshadow_loadtests::entry;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    entry::main(run::run).await
}

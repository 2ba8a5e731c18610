//! `cargo bench-brain`: what a decision and its training cost. See [`foreshadow_loadtests::decisions`].

use foreshadow_loadtests::{decisions, entry};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    entry::main(decisions::run).await
}

//! `cargo bench-stall`: does production feel a shadow that stands still? See [`foreshadow_loadtests::stall`].

use foreshadow_loadtests::entry;
use foreshadow_loadtests::stall;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    entry::main(stall::run).await
}

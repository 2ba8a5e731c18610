//! `cargo bench-demo`: the demo over many seeds, held to its figures. See [`foreshadow_loadtests::demo::bench`].

use foreshadow_loadtests::demo::bench;
use foreshadow_loadtests::entry;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    entry::main(bench::run).await
}

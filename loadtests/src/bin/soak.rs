//! `cargo soak`: the sidecar at saturation while everything around it misbehaves. See [`foreshadow_loadtests::soak`].

use foreshadow_loadtests::entry;
use foreshadow_loadtests::soak;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    entry::main(soak::run).await
}

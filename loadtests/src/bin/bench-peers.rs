//! `cargo bench-peers`: the proxy beside nginx, HAProxy and Envoy. See [`foreshadow_loadtests::peers`].

use foreshadow_loadtests::entry;
use foreshadow_loadtests::peers;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    entry::main(peers::run).await
}

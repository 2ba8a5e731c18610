//! foreshadow-proxy. A table of contents: arguments, configuration, run, exit code.

use clap::Parser as _;
use foreshadow_proxy::app::{self, Exit};
use foreshadow_proxy::args::Args;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nowhere to print to is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    app::run(args).into()
}

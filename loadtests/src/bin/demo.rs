//! `cargo demo`: the whole loop on one machine, with and without Foreshadow, and a report of what it was worth.

use clap::Parser;
use clap::error::ErrorKind;
use foreshadow_loadtests::demo::args::Args;
use foreshadow_loadtests::demo::run;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            let asked = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(64) };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("demo: starting: {e}");
            return ExitCode::from(70);
        }
    };
    match runtime.block_on(run::run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("demo: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

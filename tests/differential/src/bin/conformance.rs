//! `cargo conformance`: public conformance tools on the proxy and on the real Envoy. Arguments, run, table, exit code.

use clap::Parser;
use foreshadow_differential::conformance;
use foreshadow_differential::conformance::tools::Tools;
use foreshadow_differential::error::Error;
use foreshadow_differential::programs::Programs;
use foreshadow_loadtests::entry;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs public conformance tools on foreshadow-proxy and on the real Envoy, and compares group by group.
///
/// h2spec for HTTP/2, Autobahn's cases (by kosoku) for WebSocket, REDbot for HTTP/1.1 answers. Each is taken from $H2SPEC_BIN, $KOSOKU_BIN,
/// $REDBOT_BIN or PATH, Envoy from $ENVOY_BIN or PATH; what is missing is named with how it installs. Exit codes: 0 no group is worse than
/// Envoy's, 1 some are (in two runs: a busy machine fails what waits for an answer), 64 usage, 69 a tool is missing, 70 a program failed.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Args {
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    entry::main(run).await
}

async fn run(args: &Args) -> Result<(), Error> {
    let (tools, programs) = (Tools::find()?, Programs::prepare()?);
    let mut figures = conformance::compare(&programs, &tools).await?;
    if !figures.worse().is_empty() {
        figures = conformance::compare(&programs, &tools).await?;
    }
    println!("{}", figures.table());
    entry::write_figures(args.json.as_deref(), &figures).map_err(Error::Failed)?;
    let worse: Vec<_> = figures.worse().into_iter().map(|(group, tests)| format!("{group} ({})", tests.join("; "))).collect();
    if worse.is_empty() { Ok(()) } else { Err(Error::Worse(worse.join(", "))) }
}

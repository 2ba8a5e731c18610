//! Does production feel a shadow that stands still? A paired measurement.
//!
//! Two stacks run side by side, so that whatever the machine does happens to both: sidecar and application, and the same with a mirror of every request
//! to a shadow. The same arrivals go to both. In the middle phase the shadow is stopped (SIGSTOP). Reported: production's p50, p99 and errors in
//! every phase, and the paired differences of the middle phase with a 95 % interval (Student's t over pairs).
//!
//! Two more measurements beside it: uploads behind a mirror that never reads ([`upload`]), and ten thousand slow copies at once ([`slow`]).
//!
//! Called by the program `bench-stall`. Not here: what the sidecar does about it.

pub mod figures;
pub mod held;
pub mod slow;
pub mod stacks;
pub mod upload;

use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::ui::Ui;
use crate::entry::write_figures;
use crate::generator::{self, Plan, RequestTemplate, Summary};
use crate::say;
use figures::{Pair, Phase, Side};
use stacks::Stacks;
use std::path::PathBuf;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A shadow that is stopped and goes on
    Stopped,
    /// Uploads of 16 MiB beside a mirror that never reads
    Upload,
    /// 10,000 copies at once towards a slow mirror, at 1,000 requests a second
    Slow,
}

/// Paired measurements of production beside a shadow that stands still.
#[derive(Debug, clap::Parser)]
#[command(name = "bench-stall", version)]
pub struct Args {
    /// Measure these only
    #[arg(long, value_delimiter = ',', default_values = ["stopped", "upload", "slow"])]
    only: Vec<Part>,
    /// Uploads each way
    #[arg(long, default_value_t = 30)]
    uploads: usize,
    /// Rounds of 20 seconds for each bound on slow copies
    #[arg(long, default_value_t = 5)]
    slow_rounds: u32,
    /// Pairs of runs
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Length of each of the three phases (before, stopped, after), in seconds
    #[arg(long, default_value_t = 60.0)]
    phase_seconds: f64,
    /// Requests a second to each stack
    #[arg(long, default_value_t = 60.0)]
    rps: f64,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, prints the table, writes the figures.
///
/// # Errors
/// When a program does not start or a file cannot be written.
pub async fn run(args: &Args) -> Result<(), Error> {
    let ui = Ui::new();
    let build = ui.phase("build");
    let binaries = Binaries::prepare(&build).await?;
    build.done("ready");
    let mut figures = serde_json::Map::new();
    if args.only.contains(&Part::Stopped) {
        let pairs = stopped(args, &binaries, &ui).await?;
        say!("{}", figures::table(&pairs));
        figures.insert("stopped".into(), figures::json(&pairs));
    }
    if args.only.contains(&Part::Upload) {
        let phase = ui.phase("uploads");
        let uploads = upload::measure(&binaries, args.uploads).await?;
        phase.done("measured");
        say!("{uploads}");
        figures.insert("upload".into(), serde_json::to_value(&uploads).map_err(|e| Error::failed("writing figures", e))?);
    }
    if args.only.contains(&Part::Slow) {
        let phase = ui.phase("slow copies");
        let slows = slow::measure(&binaries, 1_000.0, args.slow_rounds, 20.0).await?;
        phase.done("measured");
        say!("{slows}");
        figures.insert("slow".into(), slows.json());
    }
    write_figures(args.json.as_deref(), &figures).map_err(Error::Failed)?;
    Ok(())
}

async fn stopped(args: &Args, binaries: &Binaries, ui: &Ui) -> Result<Vec<Pair>, Error> {
    let mut pairs = Vec::new();
    for seed in 0..args.pairs {
        let progress = ui.phase(&format!("pair {} of {}", seed + 1, args.pairs));
        let mut stacks = Stacks::start(binaries).await?;
        let measured = measure(args, u64::from(seed), &stacks).await;
        stacks.end().await;
        let pair = measured?;
        progress.done(&pair.to_string());
        pairs.push(pair);
    }
    Ok(pairs)
}

async fn measure(args: &Args, seed: u64, stacks: &Stacks) -> Result<Pair, Error> {
    let mut phases = Vec::new();
    for (nth, name) in ["before", "stopped", "after"].into_iter().enumerate() {
        if nth == 1 {
            stacks.stop_shadow()?;
        }
        let plan = |url: &str| {
            let rate = vec![(0.0, args.rps), (args.phase_seconds, args.rps)];
            Plan {
                seed: seed * 3 + nth as u64,
                duration_s: args.phase_seconds,
                target: url.to_owned(),
                threshold_ms: 150.0,
                timeout_ms: 5_000.0,
                max_outstanding: 4_096,
                requests_per_connection: None,
                rate,
                requests: vec![RequestTemplate::get("work", "/work")],
                mix: Vec::new(),
            }
        };
        let (alone, beside) = (plan(&stacks.alone), plan(&stacks.mirrored));
        let both = tokio::join!(load(alone), load(beside));
        if nth == 1 {
            stacks.go_on()?;
        }
        phases.push(Phase { name, alone: Side::of(&both.0?), mirrored: Side::of(&both.1?) });
    }
    let copies = stacks.copies().await?;
    Ok(Pair { seed, phases, copies })
}

async fn load(plan: Plan) -> Result<Summary, Error> {
    generator::run(&plan, |_| {}).await.map_err(|e| Error::failed("generating load", e))
}

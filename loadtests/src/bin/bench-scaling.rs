//! `bench-scaling`: scalers compared in the simulator. Args, loads, plan, runs, tables, files.
//!
//! Exit codes: 0, 64 for a command line that cannot be honoured, 65 for a load file that makes no sense, 66 for one that is not there, 70 for a
//! defect, 73 for a file that cannot be written.

use clap::Parser;
use foreshadow_loadtests::say;
use foreshadow_loadtests::scaling::args::Args;
use foreshadow_loadtests::scaling::cases::{DEMO, Load};
use foreshadow_loadtests::scaling::demonstration::{Table, compare};
use foreshadow_loadtests::scaling::portfolio::Kind;
use foreshadow_loadtests::scaling::record::Run;
use foreshadow_loadtests::scaling::sweep::Plan;
use foreshadow_loadtests::scaling::{page, summary, table};
use foreshadow_loadtests::sim::shadow::Profile;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const USAGE: u8 = 64;
const DATA: u8 = 65;
const NO_INPUT: u8 = 66;
const SOFTWARE: u8 = 70;
const CANNOT_CREATE: u8 = 73;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, problem)) => {
            eprintln!("bench-scaling: {problem}");
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<(), (u8, String)> {
    let plan = plan(args)?;
    if plan.scenarios.iter().any(|s| s == DEMO) {
        demonstration(&plan);
    }
    let plan = Plan {
        scenarios: plan.scenarios.into_iter().filter(|s| s != DEMO || args.json.is_some() || args.html.is_some()).collect(),
        ..plan
    };
    if plan.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    let (runs, took) = watched(&plan);
    let blocks = summary::blocks(&runs);
    blocks.iter().for_each(|b| say!("{}", table::block(b).trim_end()));
    say!("{}", table::bars(&blocks).trim_end());
    let requests: u64 = runs.iter().map(|r| r.requests).sum();
    let how = format!(
        "{} runs of {} days or what the load has, {} seeds, workloads of about {} replicas, {requests} judged requests in {:.0} s on {} threads; the decision core ticks every {} s.",
        plan.len(),
        plan.days,
        plan.seeds.len(),
        plan.replicas,
        started.elapsed().as_secs_f64(),
        plan.threads,
        plan.tick_s,
    );
    say!("\n{how}\n{}", speed(&took));
    if let Some(file) = &args.json {
        write(file, &json(&runs, &blocks)?)?;
    }
    if let Some(file) = &args.html {
        write(file, &page::page(&blocks, &how).map_err(|e| (SOFTWARE, e))?)?;
    }
    Ok(())
}

fn plan(args: &Args) -> Result<Plan, (u8, String)> {
    let usage = |e: String| (USAGE, e);
    args.check().map_err(usage)?;
    args.json.iter().chain(&args.html).try_for_each(|f| writable(f))?;
    let (scenarios, kinds) = (args.scenarios().map_err(usage)?, args.policies().map_err(usage)?);
    let settings = |k: Kind| if k.is_foreshadow() && !args.headroom.is_empty() { args.headroom.clone() } else { k.settings() };
    let mut loads = args.load.iter().map(|f| read(f)).collect::<Result<Vec<_>, _>>()?;
    if loads.is_empty() {
        loads.push(Load::synthetic());
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Ok(Plan {
        loads,
        scenarios,
        policies: kinds.into_iter().map(|k| (k, settings(k))).collect(),
        seeds: args.seeds.iter().collect(),
        days: args.days,
        replicas: args.replicas,
        tick_s: f64::from(args.tick),
        threads: args.threads.unwrap_or(cores).max(1),
    })
}

fn read(file: &Path) -> Result<Load, (u8, String)> {
    Load::read(file).map_err(|e| (if file.is_file() { DATA } else { NO_INPUT }, e.to_string()))
}

/// Finds out before the long work whether its results can be written.
fn writable(file: &Path) -> Result<(), (u8, String)> {
    let place = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = if !place.is_dir() { "there is no such directory" } else { "this is a directory" };
    if place.is_dir() && !file.is_dir() { Ok(()) } else { Err((CANNOT_CREATE, format!("{}: {problem}", file.display()))) }
}

/// Runs the plan with a bar on the terminal; also the processor time and the simulated days of each policy.
fn watched(plan: &Plan) -> (Vec<Run>, BTreeMap<String, (f64, f64)>) {
    let bar = ProgressBar::new(plan.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {elapsed} of about {duration}  {msg}") {
        bar.set_style(style);
    }
    let took = Mutex::new(BTreeMap::<String, (f64, f64)>::new());
    let runs = plan.run(&|done| {
        let mut took = took.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = took.entry(done.policy.clone()).or_default();
        (sum.0, sum.1) = (sum.0 + done.cpu_s, sum.1 + done.days);
        bar.set_message(done.what.clone());
        bar.inc(1);
    });
    bar.finish_and_clear();
    (runs, took.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What a simulated day costs, by policy.
fn speed(took: &BTreeMap<String, (f64, f64)>) -> String {
    let each: Vec<_> = took.iter().map(|(policy, (cpu_s, days))| format!("{policy} {:.1}", cpu_s / days.max(1e-9))).collect();
    format!("processor seconds a simulated day: {}", each.join(", "))
}

fn demonstration(plan: &Plan) {
    for profile in [Profile::HALF, Profile::QUARTER] {
        let started = Instant::now();
        let rows: Vec<_> = plan.seeds.iter().map(|s| compare(*s, profile, |_| {})).collect();
        say!("\nthe demonstration, simulated, shadow {} ({:.2} s)\n{}", profile.name, started.elapsed().as_secs_f64(), Table(&rows));
    }
}

fn json(runs: &[Run], blocks: &[summary::Block]) -> Result<String, (u8, String)> {
    let document = serde_json::json!({ "version": 1, "runs": runs, "summary": blocks });
    serde_json::to_string_pretty(&document).map_err(|e| (SOFTWARE, e.to_string()))
}

fn write(file: &Path, text: &str) -> Result<(), (u8, String)> {
    std::fs::write(file, text).map_err(|e| (CANNOT_CREATE, format!("{}: {e}", file.display())))?;
    say!("written: {}", file.display());
    Ok(())
}

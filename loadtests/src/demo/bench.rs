//! The demo over many seeds, held to its three figures, with the simulator's answer for the same seeds beside it.
//!
//! Called by the program `bench-demo`. Promises: every seed is a whole run of the real demo; seeds that ended before an interruption are reported;
//! the simulated rows come from the same schedule rules and the same decision core. Not here: a run itself ([`crate::demo::run`]), the verdict on a
//! run ([`crate::demo::judge`]).

use crate::demo::args::Args as Demo;
use crate::demo::error::Error;
use crate::demo::run;
use crate::entry::write_figures;
use crate::report::document::{Document, Lead};
use crate::say;
use crate::scaling::args::Seeds;
use crate::scaling::demonstration::{self, FaultRow, Row, Table};
use crate::sim::shadow::Profile;
use clap::Parser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Runs the demo once a seed, both arms, and says how often the floor rose before users noticed, how many bad requests remain, and what it cost.
///
/// About four minutes a seed. The machine should have nothing else to do.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-demo --", version, about, max_term_width = 110)]
pub struct Args {
    /// Seeds: so many from 1, or A..B (B included)
    #[arg(long, value_name = "N|A..B", default_value = "10")]
    pub seeds: Seeds,
    /// Length of the judged part of each arm
    #[arg(long, value_name = "N")]
    pub seconds: Option<u32>,
    /// Keep each seed's figures and page in this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Runs every seed, prints the tables, writes the figures.
///
/// # Errors
/// What a run of the demo ends with; figures of the seeds before it are written all the same.
pub async fn run(args: &Args) -> Result<(), Error> {
    let scratch = tempfile::tempdir().map_err(|e| Error::failed("making a directory", e))?;
    let dir = args.dir.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(dir).map_err(|e| Error::Usage(format!("--dir {}: {e}", dir.display())))?;
    let (mut real, mut ended) = (Vec::new(), Ok(()));
    for seed in args.seeds.iter() {
        match one(args, seed, dir).await {
            Ok(document) => real.push(row(&document)),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    let simulated: Vec<Row> = real.iter().map(|r| demonstration::compare(r.seed, Profile::HALF, |_| {})).collect();
    say!("\nreal processes\n{}\nsimulated, the same seeds\n{}\n{}", Table(&real), Table(&simulated), agreement(&real, &simulated));
    write_figures(args.json.as_deref(), &figures(&real, &simulated)).map_err(Error::Failed)?;
    ended
}

async fn one(args: &Args, seed: u64, dir: &Path) -> Result<Document, Error> {
    let (json, html) = (dir.join(format!("demo-{seed}.json")), dir.join(format!("demo-{seed}.html")));
    let mut line: Vec<std::ffi::OsString> = vec!["demo".into(), "--seed".into(), seed.to_string().into()];
    line.extend(["--json".into(), json.clone().into(), "--html".into(), html.into()]);
    if let Some(seconds) = args.seconds {
        line.extend(["--seconds".into(), seconds.to_string().into()]);
    }
    let demo = Demo::try_parse_from(line).map_err(|e| Error::Usage(e.to_string()))?;
    run::run(&demo).await?;
    let text = std::fs::read_to_string(&json).map_err(|e| Error::failed("reading a run's figures", e))?;
    serde_json::from_str(&text).map_err(|e| Error::failed("reading a run's figures", e))
}

/// A run's document in the form of the simulator's rows.
fn row(document: &Document) -> Row {
    let fault = |l: &Lead| FaultRow {
        fault: l.fault.clone(),
        start_s: l.start_s,
        reactive_onset_s: l.reactive_onset_s,
        onset_s: l.onset_s,
        raise_s: l.first_raise_s,
    };
    let arm = |name: &str| document.arm(name).map_or((0.0, 0.0), |a| (a.bad_ratio(), a.cost()));
    let (reactive, foreshadow) = (arm("reactive"), arm("foreshadow"));
    Row {
        seed: document.seed,
        faults: document.leads.iter().map(fault).collect(),
        bad: (reactive.0, foreshadow.0),
        replica_s: (reactive.1, foreshadow.1),
    }
}

/// How far simulated and real are apart: means over seeds of real minus simulated.
fn agreement(real: &[Row], simulated: &[Row]) -> String {
    let gap = |of: fn(&Row) -> f64| {
        let all: Vec<f64> = real.iter().zip(simulated).map(|(r, s)| of(r) - of(s)).collect();
        let (mean, half) = crate::stall::figures::interval(&all);
        format!("{mean:+.2} +- {half:.2}")
    };
    format!(
        "real minus simulated, mean over seeds with its 95 % interval: bad % reactive {}, Foreshadow {}; cost ratio {}; first raise after the fault's start {} s",
        gap(|r| r.bad.0 * 100.0),
        gap(|r| r.bad.1 * 100.0),
        gap(Row::cost_ratio),
        gap(raise_after),
    )
}

/// Seconds from a fault's start to the first raise, mean over the faults that had one.
fn raise_after(row: &Row) -> f64 {
    let after: Vec<f64> = row.faults.iter().filter_map(|f| Some(f.raise_s? - f.start_s)).collect();
    after.iter().sum::<f64>() / after.len().max(1) as f64
}

fn figures(real: &[Row], simulated: &[Row]) -> Value {
    json!({ "real": real, "bars": bars(real), "simulated": simulated, "simulated_bars": bars(simulated) })
}

/// The three figures with their bars.
fn bars(rows: &[Row]) -> Value {
    let sum = |of: fn(&Row) -> (f64, f64)| rows.iter().map(of).fold((0.0, 0.0), |s, v| (s.0 + v.0, s.1 + v.1));
    let ratio = |(reactive, ours): (f64, f64)| ours / reactive.max(1e-9);
    json!({
        "floor_before_violation": { "seeds": rows.iter().filter(|r| r.before_first()).count(), "of": rows.len(), "bar": "8 of 10",
            "every_violation_of_either_arm": rows.iter().filter(|r| r.before()).count() },
        "bad_ratio": { "pooled": ratio(sum(|r| r.bad)), "bar": 0.5 },
        "cost_ratio": { "pooled": ratio(sum(|r| r.replica_s)), "bar": 1.15 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Arm;

    #[test]
    fn a_document_becomes_a_row() {
        let arm = |name: &str, bad, replica_seconds, shadow_replica_seconds| Arm {
            name: name.into(),
            requests: 1_000,
            bad,
            replica_seconds,
            shadow_replica_seconds,
            ..Arm::default()
        };
        let lead =
            Lead { fault: "hidden-loss".into(), start_s: 7.0, first_raise_s: Some(9.0), reactive_onset_s: Some(20.0), ..Lead::default() };
        let arms = vec![arm("reactive", 100, 600.0, 0.0), arm("foreshadow", 20, 600.0, 50.0)];
        let row = row(&Document { seed: 4, arms, leads: vec![lead], ..Document::default() });
        assert!(
            row.before() && row.before_first() && (row.bad_ratio() - 0.2).abs() < 1e-9 && (row.cost_ratio() - 650.0 / 600.0).abs() < 1e-9,
            "{row:?}"
        );
        assert!((raise_after(&row) - 2.0).abs() < 1e-9);
        let bars = bars(&[row]);
        assert_eq!(bars["floor_before_violation"]["seeds"], 1);
    }
}

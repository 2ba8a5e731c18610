//! `backtest`: what each scaling policy would have done over a recorded history, and what it would have cost.
//!
//! The way: [`history`] (database, export or Prometheus) -> [`walk`] (the decision core sees each sample once, in order) -> [`model`] (bad requests
//! of replicas that did not run) -> [`policies`] -> [`judge`] -> [`report`], [`page`]. Promises: a plan at a time is made of nothing later; the first part of the history is
//! never judged: the failure curve and the alarms' thresholds come from it. Not here: simulated loads (`cargo bench-scaling`).
//!
//! Limits, said in the output: demand (arrivals, processor time a request) and what a replica takes do not change with scaling and are taken from the
//! record, the latter in hindsight; bad requests of other replica counts are estimated from the curve, which is checked on what was recorded.

pub mod history;
pub mod judge;
pub mod model;
pub mod page;
pub mod policies;
pub mod prometheus;
pub mod report;
pub mod walk;

use crate::cli::{self, Backtest};
use crate::export::fail;
use std::path::Path;

/// Runs and reports; returns the exit code.
pub fn command(args: &Backtest) -> u8 {
    let past = match history::read(&args.history) {
        Ok(past) => past,
        Err(e) => return fail(&e),
    };
    let name = args.history.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let result = match judge::backtest(&name, &past) {
        Ok(result) => result,
        Err(why) => {
            eprintln!("foreshadow-agent: {}: {why}", args.history.display());
            return cli::DATA;
        }
    };
    print!("{}", report::text(&result));
    let json = || serde_json::to_string_pretty(&result).unwrap_or_default();
    let written = args.json.as_deref().map_or(Ok(()), |file| write(file, &json()));
    match written.and_then(|()| args.html.as_deref().map_or(Ok(()), |file| write(file, &page::page(&result)))) {
        Ok(()) => cli::OK,
        Err(why) => {
            eprintln!("foreshadow-agent: {why}");
            cli::CANNOT_CREATE
        }
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}

//! Foreshadow on a real node, from installing to uninstalling: `cargo test-cluster`.
//!
//! One story: each step stands on those before it, so they run in order on one cluster, and what a failed step should have left is missing
//! for the later ones, which then say so themselves. Prints what Rust's test harness prints. Started by `cargo test-cluster` inside a node's
//! enclosure (`foreshadow_cluster::node`), or with `FORESHADOW_TEST_KUBECONFIG` on a cluster that is there.

mod objects;
mod steps;
mod story;

use std::process::ExitCode;
use std::time::Instant;
use story::{Story, Unfit};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = arguments.iter().any(|a| a == "--keep");
    let filter = arguments.iter().find(|a| !a.starts_with("--"));
    let mut story = match Story::begin() {
        Ok(Some(story)) => story,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node suite: {error}");
            return ExitCode::from(69);
        }
    };
    let all = steps::all();
    let measurements = steps::measurements();
    let more = measurements.iter().filter(|_| filter.is_some());
    let chosen: Vec<_> = all.iter().chain(more).filter(|(name, _)| filter.is_none_or(|f| name.contains(f.as_str()))).collect();
    println!("\nrunning {} tests", chosen.len());
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, step) in &chosen {
        let start = Instant::now();
        match step(&mut story) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(error) if error.is::<Unfit>() => {
                ignored += 1;
                println!("test {name} ... ignored, {error}");
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED ({:.1} s)\n    {error}", start.elapsed().as_secs_f64());
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let out = (all.len() + measurements.len()).saturating_sub(chosen.len());
    println!("\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {out} filtered out");
    if failed > 0 {
        story.show_what_stands();
    }
    if keep {
        story.keep();
    }
    ExitCode::from(u8::from(failed > 0))
}

//! Which worlds the policies are put into: loads, from files or synthetic, and scenarios by name.
//!
//! Promises: a file that cannot be read is refused with its name, line and what was expected. A seed takes the same part of a load always.

use crate::sim::Scenario;
use crate::sim::faults::Kind;
use crate::sim::load::Curve;
use crate::trace::{Series, TraceError, read_file};
use std::path::Path;

/// The demonstration's own scenario.
pub const DEMO: &str = "demo";
/// Nothing goes wrong.
pub const QUIET: &str = "quiet";
/// Load, cost and hidden trouble by turns.
pub const MIXED: &str = "mixed";
/// Seconds before a run is judged.
const WARMUP_S: f64 = 900.0;
const DAY_S: f64 = 86_400.0;
/// Fewer requests than this in a bucket shorter than a minute are taken per minute.
const FEW: f64 = 100.0;
const COARSE_S: f64 = 60.0;
/// Parts of a longer load are as far apart as they can be: multiples of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// A load.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Its name: the file's, or `synthetic`.
    pub name: String,
    curve: Option<Curve>,
}

impl Load {
    /// A synthetic day.
    pub fn synthetic() -> Self {
        Self { name: "synthetic".into(), curve: None }
    }

    /// A file's.
    pub fn read(file: &Path) -> Result<Self, TraceError> {
        let series = steady(read_file(file)?);
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let name = name.trim_end_matches(".gz").trim_end_matches(".csv").to_string();
        Ok(Self { name, curve: Some(Curve::new(series.values, series.step_s)) })
    }

    /// How many of `days` days it has, in seconds.
    pub fn seconds(&self, days: f64) -> f64 {
        let wanted = days * DAY_S;
        self.curve.as_ref().map_or(wanted, |c| (c.seconds() - WARMUP_S).min(wanted).max(600.0))
    }

    /// A seed's part of it.
    fn part(&self, seconds: f64, seed: u64) -> Curve {
        let whole = WARMUP_S + seconds;
        let Some(curve) = &self.curve else { return Curve::synthetic(1.0, whole, seed) };
        let room = (curve.seconds() - whole).max(0.0);
        // A part without load says nothing: the next one is taken.
        let parts = (0..64).map(|i| curve.window(room * ((seed + 97 * i) as f64 * GOLDEN).fract(), whole));
        parts.into_iter().find(|p| p.mean() > 0.05 * curve.mean()).unwrap_or_else(|| curve.window(0.0, whole))
    }

    /// A scenario under it. `name` is one of those that the command line knows.
    pub fn scenario(&self, name: &str, replicas: f64, days: f64, seed: u64) -> Scenario {
        if name == DEMO {
            return Scenario::demo(seed);
        }
        let seconds = self.seconds(days);
        Scenario::cluster(name, &kinds(name), replicas, &self.part(seconds, seed), seconds, seed)
    }
}

/// A series whose counts are not mostly chance: making few requests a second into many would magnify it. Such a series is taken per minute.
fn steady(series: Series) -> Series {
    let coarser = (series.seconds() / COARSE_S).ceil() as usize;
    if series.step_s < COARSE_S && series.mean() < FEW && coarser > 0 { series.resampled(coarser) } else { series }
}

/// What goes wrong in a scenario.
fn kinds(name: &str) -> Vec<Kind> {
    match name {
        QUIET => Vec::new(),
        MIXED => vec![Kind::Surge, Kind::CostlierMix, Kind::HiddenLoss],
        name => {
            let one: Vec<Kind> = Kind::ALL.into_iter().filter(|k| k.name() == name).collect();
            if one.is_empty() { Kind::ALL.to_vec() } else { one }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_their_kinds_and_seeds_their_parts() {
        assert_eq!(kinds("leak"), [Kind::Leak]);
        assert_eq!(kinds("all-kinds").len(), Kind::ALL.len());
        assert!(kinds(QUIET).is_empty());
        let load = Load { name: "x".into(), curve: Some(Curve::new((0..10_000).map(f64::from).collect(), 60.0)) };
        assert_ne!(load.part(3_600.0, 1), load.part(3_600.0, 2));
        assert_eq!(load.part(3_600.0, 2), load.part(3_600.0, 2));
        assert_eq!(load.seconds(100.0), 599_940.0 - WARMUP_S);
    }

    #[test]
    fn few_requests_a_second_are_taken_per_minute() {
        let series = |count: f64, step_s| Series { name: "x".into(), step_s, values: vec![count; 600], gaps: 0 };
        assert_eq!(steady(series(2.0, 1.0)).values, vec![2.0; 10]);
        assert_eq!(steady(series(200.0, 1.0)).values.len(), 600);
        assert_eq!(steady(series(0.004, 60.0)).values.len(), 600);
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("load.csv");
        std::fs::write(&file, "ts,value\n0,1\n60,many\n").unwrap();
        let error = Load::read(&file).unwrap_err().to_string();
        assert!(error.contains("load.csv:3:") && error.contains("many"), "{error}");
    }
}

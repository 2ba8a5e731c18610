//! The figures of the paired measurement, as a table and as JSON.

use crate::generator::Summary;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// Two-sided 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
    2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// One stack in one phase, as its clients saw it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    /// Requests.
    pub requests: u64,
    /// Failed.
    pub failed: u64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99 % quantile, milliseconds.
    pub p99_ms: f64,
}

impl Side {
    /// From the generator's summary.
    pub fn of(summary: &Summary) -> Self {
        let ms = |q: Option<f64>| q.unwrap_or(f64::NAN);
        Self { requests: summary.sent, failed: summary.failed.values().sum(), p50_ms: ms(summary.p50_ms), p99_ms: ms(summary.p99_ms) }
    }
}

/// Both stacks in one phase.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// `before`, `stopped`, `after`.
    pub name: &'static str,
    /// No mirror.
    pub alone: Side,
    /// A mirror of everything to the shadow.
    pub mirrored: Side,
}

/// One pair of runs.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Its seed.
    pub seed: u64,
    /// Its phases.
    pub phases: Vec<Phase>,
    /// The mirror's account at the end, as the sidecar tells it.
    pub copies: Value,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(stopped) = self.phases.iter().find(|p| p.name == "stopped") else { return Ok(()) };
        let (a, m) = (stopped.alone, stopped.mirrored);
        write!(
            f,
            "stopped: p50 {:.1} / {:.1} ms, p99 {:.1} / {:.1} ms, errors {} / {}",
            a.p50_ms, m.p50_ms, a.p99_ms, m.p99_ms, a.failed, m.failed
        )
    }
}

/// Mean of paired differences with half the width of its 95 % interval.
pub fn interval(differences: &[f64]) -> (f64, f64) {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let Some(t) = differences.len().checked_sub(2).map(|i| T975[i.min(T975.len() - 1)]) else { return (mean, f64::INFINITY) };
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, t * (variance / n).sqrt())
}

type Figure = fn(&Side) -> f64;

const FIGURES: [(&str, Figure); 3] = [("p50 ms", |s| s.p50_ms), ("p99 ms", |s| s.p99_ms), ("errors", |s| s.failed as f64)];

fn differences(pairs: &[Pair], phase: &str, figure: Figure) -> Vec<f64> {
    let phases = pairs.iter().flat_map(|p| &p.phases).filter(|p| p.name == phase);
    phases.map(|p| figure(&p.mirrored) - figure(&p.alone)).collect()
}

/// The table: a row per phase and figure.
pub fn table(pairs: &[Pair]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["phase", "figure", "no shadow", "with shadow", "difference (95 %)"]);
    for phase in ["before", "stopped", "after"] {
        for (name, figure) in FIGURES {
            let mean = |side: fn(&Phase) -> Side| {
                let all: Vec<f64> = pairs.iter().flat_map(|p| &p.phases).filter(|p| p.name == phase).map(|p| figure(&side(p))).collect();
                all.iter().sum::<f64>() / all.len() as f64
            };
            let (difference, half) = interval(&differences(pairs, phase, figure));
            let (alone, mirrored) = (mean(|p| p.alone), mean(|p| p.mirrored));
            table.add_row([
                phase.into(),
                name.to_string(),
                format!("{alone:.2}"),
                format!("{mirrored:.2}"),
                format!("{difference:+.2} +- {half:.2}"),
            ]);
        }
    }
    table.to_string()
}

/// Everything, for machines.
pub fn json(pairs: &[Pair]) -> Value {
    let phases = ["before", "stopped", "after"].map(|phase| {
        let figures = FIGURES.map(|(name, figure)| {
            let (mean, half) = interval(&differences(pairs, phase, figure));
            (name.to_owned(), json!({"difference": mean, "half_interval_95": half}))
        });
        (phase.to_owned(), Value::Object(figures.into_iter().collect()))
    });
    json!({"pairs": pairs, "phases": Value::Object(phases.into_iter().collect())})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let (mean, half) = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((mean - 3.0).abs() < 1e-12 && (half - 2.776 * (2.5f64 / 5.0).sqrt()).abs() < 1e-9);
        assert!(interval(&[1.0]).1.is_infinite(), "one pair says nothing about spread");
    }
}

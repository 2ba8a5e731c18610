//! The command line of `bench-scaling`.
//!
//! Promises: what cannot be honoured is refused with a sentence before anything runs.

use crate::scaling::cases::{DEMO, MIXED, QUIET};
use crate::scaling::portfolio::Kind;
use crate::sim::faults;
use clap::Parser;
use std::path::PathBuf;
use std::str::FromStr;

/// Compares scalers in the simulator: bad requests against mean replicas, each policy swept over its own parameter.
///
/// Policies are put into the same world with the same requests. Simulated time is not scaled: metrics every 15 s, pods start in 30 s. The shadow's share
/// of a replica is counted. What no scaling removes is measured with far too many replicas on the same seeds, and subtracted.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench-scaling --", version, about, max_term_width = 110)]
pub struct Args {
    /// Load shape: a time or period and a count a line (.csv or .csv.gz), or a row a request; may be given again. A synthetic day when not given
    #[arg(long, value_name = "FILE")]
    pub load: Vec<PathBuf>,
    /// Scenarios, separated by commas: quiet, a kind of fault, mixed (surge, costlier-mix, hidden-loss), all-kinds, demo; or `all`
    #[arg(long, value_name = "LIST", default_value = "mixed,surge,costlier-mix,hidden-loss")]
    pub scenario: String,
    /// Policies, separated by commas: hpa, keda, phpa, foreshadow (over the autoscaler as recommended: 90 %, down after a minute),
    /// foreshadow-over-hpa70 (as found), foreshadow-alone (no autoscaler), foreshadow-no-shadow,
    /// foreshadow-observing (changes nothing: what each forecaster warned of), oracle
    #[arg(long, value_name = "LIST", default_value = "hpa,keda,phpa,foreshadow,oracle")]
    pub policies: String,
    /// Seeds: so many from 1, or A..B (B included); each also takes another part of a longer load
    #[arg(long, value_name = "N|A..B", default_value = "3")]
    pub seeds: Seeds,
    /// Length of a run in days; a shorter load file shortens it
    #[arg(long, value_name = "D", default_value_t = 0.25)]
    pub days: f64,
    /// Mean size of the workload in replicas at 70 %
    #[arg(long, value_name = "N", default_value_t = 12.0)]
    pub replicas: f64,
    /// Interval of the decision core's ticks in seconds; coarser is faster, and less than the product does
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub tick: u32,
    /// Only these headrooms of Foreshadow, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub headroom: Vec<f64>,
    /// Threads; as many as the machine has when not given
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Write every run to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Seeds from and to, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds(pub u64, pub u64);

/// Most seeds.
const MOST_SEEDS: u64 = 1_000;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.trim().parse::<u64>().map_err(|_| format!("{t:?} is not a seed; expected a count or A..B"));
        let seeds = match text.split_once("..") {
            Some((a, b)) => Self(number(a)?, number(b.trim_start_matches('='))?),
            None => Self(1, number(text)?),
        };
        match seeds.1.checked_sub(seeds.0) {
            Some(n) if n < MOST_SEEDS => Ok(seeds),
            Some(_) => Err(format!("more than {MOST_SEEDS} seeds")),
            None => Err(format!("{text:?} holds no seed; expected at least one")),
        }
    }
}

impl Seeds {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = u64> {
        self.0..=self.1
    }
}

impl Args {
    /// The scenarios asked for, by name. The error is for people.
    pub fn scenarios(&self) -> Result<Vec<String>, String> {
        let known = || [DEMO, QUIET, MIXED, "all-kinds"].into_iter().chain(faults::Kind::ALL.map(faults::Kind::name));
        let mut names = Vec::new();
        for name in self.scenario.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            match name {
                "all" => names.extend(known().filter(|n| *n != DEMO).map(String::from)),
                name if known().any(|k| k == name) => names.push(name.to_string()),
                name => return Err(format!("--scenario: there is no {name:?}; there are all, {}", known().collect::<Vec<_>>().join(", "))),
            }
        }
        if names.is_empty() { Err("--scenario: names no scenario".into()) } else { Ok(names) }
    }

    /// The policies asked for. The error is for people.
    pub fn policies(&self) -> Result<Vec<Kind>, String> {
        let names = self.policies.split(',').map(str::trim).filter(|n| !n.is_empty());
        let kinds: Vec<Kind> = names
            .map(|name| {
                let all = || Kind::ALL.map(Kind::name).join(", ");
                Kind::parse(name).ok_or_else(|| format!("--policies: there is no {name:?}; there are {}", all()))
            })
            .collect::<Result<_, _>>()?;
        if kinds.is_empty() { Err("--policies: names no policy".into()) } else { Ok(kinds) }
    }

    /// Checks the numbers. The error is for people.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("--{name} {value}: expected {least} to {most}")),
        };
        within("days", self.days, 0.02, 60.0)?;
        within("replicas", self.replicas, 1.0, 200.0)?;
        within("tick", f64::from(self.tick), 1.0, 60.0)?;
        self.headroom.iter().try_for_each(|h| within("headroom", *h, 0.05, 20.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn the_documented_line_is_read() {
        let a = args("--load a.csv --load b.csv.gz --scenario mixed,leak --policies hpa,oracle --seeds 4..6 --days 0.5 --json x --html y");
        assert_eq!((a.load.len(), a.seeds, a.days), (2, Seeds(4, 6), 0.5));
        assert_eq!(a.scenarios().unwrap(), ["mixed", "leak"]);
        assert_eq!(a.policies().unwrap(), [Kind::Hpa, Kind::Oracle]);
        assert_eq!(args("").seeds.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(a.check().is_ok());
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        assert!(args("--scenario storm").scenarios().unwrap_err().contains("hidden-loss"));
        assert!(args("--policies x").policies().unwrap_err().contains("keda"));
        assert!(args("--days 0").check().unwrap_err().contains("--days"));
        for seeds in ["0", "5..4", "x", "1..9999"] {
            assert!(Args::try_parse_from(["x", "--seeds", seeds]).is_err(), "{seeds}");
        }
        assert_eq!(args("--scenario all").scenarios().unwrap().len(), 13);
    }
}

//! The demo's command line.
//!
//! Called by the `demo` binary first. Promises: a command line that cannot be honoured is refused with a sentence, before anything is started.
//! Not here: what the defaults mean ([`crate::demo::schedule`], [`crate::demo::calibrate`]).

use crate::demo::schedule::Kind;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Runs the whole loop on this machine: replicas behind sidecars, a shadow, the agent, real load and faults; once with the reactive scaler
/// alone, once with Foreshadow beside it; then compares the two.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo demo --", version, about, max_term_width = 110)]
pub struct Args {
    /// Seed of arrivals, request mix, fault times and depths, and of which excerpt of the load is replayed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Shape of the load: a time or period and a count a line (.csv or .csv.gz); a built-in excerpt of a real trace when not given
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Faults, separated by commas, or `none`: hidden-loss, costlier-mix, slow-dependency, leak, slow-start; surge with --app
    #[arg(long, value_name = "LIST|none")]
    pub faults: Option<String>,
    /// Which arms to run
    #[arg(long, value_enum, default_value_t = Which::Both)]
    pub arm: Which,
    /// Length of the judged part of each arm
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=86_400))]
    pub seconds: Option<u32>,
    /// Your own HTTP server instead of the sample application: a shell command that listens on 127.0.0.1:$PORT
    #[arg(long, value_name = "COMMAND")]
    pub app: Option<String>,
    /// Path to request
    #[arg(long, value_name = "/PATH")]
    pub path: Option<String>,
    /// A long run with a fault of each kind
    #[arg(long)]
    pub full: bool,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the page to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the directories with configuration, logs and history
    #[arg(long)]
    pub keep: bool,
}

/// Which arms to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// The reactive scaler alone.
    Reactive,
    /// The reactive scaler and Foreshadow.
    Foreshadow,
    /// One after the other.
    Both,
}

/// Length of an arm unless asked for otherwise, in seconds: both arms and their starts take about four minutes.
const SECONDS: u32 = 85;
/// The same with `--full`.
const SECONDS_FULL: u32 = 600;

impl Args {
    /// Length of the judged part of each arm, in seconds.
    pub fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(if self.full { SECONDS_FULL } else { SECONDS })
    }

    /// Names of the arms, in the order they run.
    pub fn arms(&self) -> &'static [&'static str] {
        match self.arm {
            Which::Reactive => &["reactive"],
            Which::Foreshadow => &["foreshadow"],
            Which::Both => &["reactive", "foreshadow"],
        }
    }

    /// The faults asked for, or those that fit the application. The error is for people.
    pub fn kinds(&self) -> Result<Vec<Kind>, String> {
        let own = self.app.is_some();
        let Some(list) = &self.faults else {
            return Ok(match (own, self.full) {
                (true, false) => vec![Kind::Surge],
                (true, true) => vec![Kind::Surge, Kind::Surge, Kind::Surge],
                (false, false) => vec![Kind::HiddenLoss, Kind::CostlierMix],
                (false, true) => Kind::INJECTED.to_vec(),
            });
        };
        if list.trim() == "none" {
            return Ok(Vec::new());
        }
        let kinds = list.split(',').map(|name| named(name.trim())).collect::<Result<Vec<_>, _>>()?;
        match kinds.iter().find(|k| own && **k != Kind::Surge) {
            Some(k) => Err(format!(
                "--faults {}: faults cannot be put into an application that is not ours; with --app use surge or none",
                k.name()
            )),
            None => Ok(kinds),
        }
    }

    /// The request path, checked.
    pub fn path(&self) -> Result<&str, String> {
        let path = self.path.as_deref().unwrap_or(if self.app.is_some() { "/" } else { "/work" });
        if path.starts_with('/') { Ok(path) } else { Err(format!("--path {path}: a request path begins with /")) }
    }
}

fn named(name: &str) -> Result<Kind, String> {
    Kind::parse(name).ok_or_else(|| {
        let all: Vec<_> = Kind::INJECTED.into_iter().chain([Kind::Surge]).map(Kind::name).collect();
        format!("--faults: there is no fault {name:?}; there are {} and none", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::try_parse_from(std::iter::once("demo").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn the_documented_line_is_read() {
        let a = args("--seed 7 --load x.csv.gz --faults leak,hidden-loss --arm foreshadow --seconds 30 --json a.json --html a.html --keep");
        assert_eq!((a.seed, a.seconds(), a.arms(), a.keep), (7, 30, &["foreshadow"][..], true));
        assert_eq!(a.kinds().unwrap(), [Kind::Leak, Kind::HiddenLoss]);
    }

    #[test]
    fn defaults_fit_the_application() {
        assert_eq!(args("").kinds().unwrap(), [Kind::HiddenLoss, Kind::CostlierMix]);
        assert_eq!(args("--full").kinds().unwrap().len(), 5);
        assert_eq!(args("--app x").kinds().unwrap(), [Kind::Surge]);
        assert_eq!(args("--faults none").kinds().unwrap(), []);
        assert_eq!((args("").path().unwrap(), args("--app x").path().unwrap()), ("/work", "/"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        assert!(args("--faults earthquake").kinds().unwrap_err().contains("there are hidden-loss"));
        assert!(args("--app x --faults leak").kinds().unwrap_err().contains("surge or none"));
        assert!(args("--path work").path().is_err());
        for line in ["--arm sideways", "--seconds 5", "--seed x", "--bogus"] {
            assert!(Args::try_parse_from(std::iter::once("demo").chain(line.split_whitespace())).is_err(), "{line}");
        }
    }
}

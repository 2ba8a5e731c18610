//! The figures: samples of every peer in every scenario, as a table and as JSON.

use super::Args;
use super::peer::{Peer, Shape};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use std::collections::BTreeMap;

/// One measurement.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Sample {
    /// Processor time a request in microseconds; added p50 in milliseconds; resident memory in MiB.
    pub value: f64,
    /// User part of the processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_us: Option<f64>,
    /// System part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_us: Option<f64>,
    /// Requests a second at which it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rps: Option<f64>,
    /// Added p99 in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// A scenario's samples, round by round.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Name.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// The load.
    pub shape: Shape,
    /// By peer.
    pub samples: BTreeMap<Peer, Vec<Sample>>,
}

/// Minimum, median, maximum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

/// The spread of some numbers; None of none.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut all: Vec<f64> = values.into_iter().collect();
    all.sort_by(f64::total_cmp);
    let (min, max) = (*all.first()?, *all.last()?);
    let middle = all.len() / 2;
    let median = if all.len().is_multiple_of(2) { (all[middle - 1] + all[middle]) / 2.0 } else { all[middle] };
    Some(Spread { min, median, max })
}

impl Measured {
    /// Spread of a peer's values.
    pub fn values(&self, peer: Peer) -> Option<Spread> {
        spread(self.samples.get(&peer)?.iter().map(|s| s.value))
    }

    /// Spread of a peer's added p99.
    pub fn p99(&self, peer: Peer) -> Option<Spread> {
        spread(self.samples.get(&peer)?.iter().filter_map(|s| s.p99_ms))
    }

    /// Spread of the ratio of two peers, round by round: what the machine did to one it did to the other.
    pub fn ratio(&self, of: Peer, to: Peer) -> Option<Spread> {
        let (of, to) = (self.samples.get(&of)?, self.samples.get(&to)?);
        spread(of.iter().zip(to).filter(|(_, t)| t.value > 0.0).map(|(o, t)| o.value / t.value))
    }
}

/// Everything measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    quick: bool,
    scenarios: Vec<Measured>,
}

impl Figures {
    /// Nothing yet.
    pub fn new(args: &Args) -> Self {
        Self { quick: args.quick, scenarios: Vec::new() }
    }

    /// One more scenario.
    pub fn add(&mut self, measured: Measured) {
        self.scenarios.push(measured);
    }

    /// A scenario, if it was measured.
    pub fn get(&self, name: &str) -> Option<&Measured> {
        self.scenarios.iter().find(|s| s.name == name)
    }

    /// All scenarios and peers.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["scenario", "proxy", "median [min, max]", "user + system", "x nginx", "x Envoy", "requests/s"]);
        for scenario in &self.scenarios {
            let unit = match scenario.name {
                "latency" => "ms added p50",
                "memory" => "MiB",
                _ => "us/request",
            };
            for (peer, samples) in &scenario.samples {
                let Some(values) = scenario.values(*peer) else { continue };
                let middle = |of: fn(&Sample) -> Option<f64>| spread(samples.iter().filter_map(of)).map(|s| s.median);
                let ratio = |to| {
                    scenario.ratio(*peer, to).filter(|_| scenario.name != "latency").map_or(String::new(), |r| format!("{:.2}", r.median))
                };
                let p99 = scenario.p99(*peer).map_or(String::new(), |p| format!(", p99 {:.2}", p.median));
                table.add_row([
                    scenario.name.to_owned(),
                    peer.name().to_owned(),
                    format!("{:.2} [{:.2}, {:.2}] {unit}{p99}", values.median, values.min, values.max),
                    middle(|s| s.user_us).zip(middle(|s| s.system_us)).map_or(String::new(), |(u, s)| format!("{u:.1} + {s:.1}")),
                    ratio(Peer::Nginx),
                    ratio(Peer::Envoy),
                    middle(|s| s.rps).map_or(String::new(), |r| format!("{r:.0}")),
                ]);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let samples = |values: &[f64]| values.iter().map(|v| Sample { value: *v, ..Sample::default() }).collect();
        let shape = Shape { connections: 1, streams: 1, size: 0, http2: false, tls: false, mirrored: false, workers: 1 };
        let measured = Measured {
            name: "h1",
            what: "",
            shape,
            samples: [(Peer::Foreshadow, samples(&[10.0, 40.0, 30.0])), (Peer::Nginx, samples(&[10.0, 20.0, 20.0]))].into(),
        };
        assert_eq!(measured.ratio(Peer::Foreshadow, Peer::Nginx), Some(Spread { min: 1.0, median: 1.5, max: 2.0 }));
        assert_eq!(measured.ratio(Peer::Foreshadow, Peer::Envoy), None);
        assert_eq!(spread([3.0, 1.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
    }
}

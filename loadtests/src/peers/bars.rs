//! The bars: ratios within one run that are to hold, each with what was measured and whether it holds.

use super::figures::{Figures, Spread};
use super::peer::Peer;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

/// One bar.
struct Bar {
    what: String,
    /// At most this.
    limit: f64,
    measured: Option<f64>,
    spread: Option<Spread>,
}

const SCENARIOS: [&str; 10] = ["h1", "h1-empty", "h1-64k", "h1-1m", "h1-c1", "h1-c1000", "h2", "h2-64k", "h1-tls", "h2-tls"];

/// Processor time against nginx, and against Envoy.
const NGINX: f64 = 1.3;
const ENVOY: f64 = 0.55;
/// With copies: against our own without, against nginx's mirror, against Envoy's.
const COPIES: [f64; 3] = [1.9, 0.5, 0.55];
/// Resident memory with 1,000 idle connections, in MiB, and as a part of Envoy's.
const MEMORY_MIB: f64 = 20.0;
const MEMORY_ENVOY: f64 = 1.0 / 3.0;
/// With a second worker a request may cost this much more.
const WORKERS: f64 = 1.15;
/// Differences of latency below this, in milliseconds, are noise.
const NOISE_MS: f64 = 0.02;

/// All bars of what was measured.
pub fn table(figures: &Figures) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["bar", "at most", "measured", "verdict"]);
    for bar in bars(figures) {
        let Some(measured) = bar.measured else { continue };
        let range = bar.spread.map_or(String::new(), |s| format!(" [{:.2}, {:.2}]", s.min, s.max));
        let verdict = if measured <= bar.limit { "PASS" } else { "FALLS SHORT" };
        table.add_row([bar.what, format!("{:.2}", bar.limit), format!("{measured:.2}{range}"), verdict.to_owned()]);
    }
    table
}

fn bars(figures: &Figures) -> Vec<Bar> {
    let mut all = Vec::new();
    let ours = Peer::Foreshadow;
    for name in SCENARIOS {
        for (peer, limit) in [(Peer::Nginx, NGINX), (Peer::Envoy, ENVOY)] {
            let ratio = figures.get(name).and_then(|m| m.ratio(ours, peer));
            all.push(of_ratio(format!("{name}: CPU/request against {}", peer.name()), limit, ratio));
        }
    }
    let plain = figures.get("h1").and_then(|m| m.values(ours));
    let copied = figures.get("mirror").and_then(|m| m.values(ours));
    all.push(Bar {
        what: "mirror: against its own cost without".into(),
        limit: COPIES[0],
        measured: copied.zip(plain).map(|(c, p)| c.median / p.median),
        spread: None,
    });
    for (peer, limit) in [(Peer::Nginx, COPIES[1]), (Peer::Envoy, COPIES[2])] {
        let ratio = figures.get("mirror").and_then(|m| m.ratio(ours, peer));
        all.push(of_ratio(format!("mirror: against {}'s", peer.name()), limit, ratio));
    }
    all.extend(latency(figures));
    all.extend(memory(figures));
    let two = figures.get("workers").and_then(|m| m.values(ours));
    all.push(Bar {
        what: "workers: a request's cost with two workers against one".into(),
        limit: WORKERS,
        measured: two.zip(plain).map(|(t, p)| t.median / p.median),
        spread: None,
    });
    all
}

fn of_ratio(what: String, limit: f64, ratio: Option<Spread>) -> Bar {
    Bar { what, limit, measured: ratio.map(|r| r.median), spread: ratio }
}

fn latency(figures: &Figures) -> Vec<Bar> {
    let Some(measured) = figures.get("latency") else { return Vec::new() };
    let bar = |what: &str, ours: Option<Spread>, nginx: Option<Spread>| Bar {
        what: format!("latency: added {what} in ms, not above nginx's"),
        limit: nginx.map_or(f64::INFINITY, |n| n.median.max(0.0) + NOISE_MS),
        measured: ours.map(|o| o.median),
        spread: ours,
    };
    vec![
        bar("p50", measured.values(Peer::Foreshadow), measured.values(Peer::Nginx)),
        bar("p99", measured.p99(Peer::Foreshadow), measured.p99(Peer::Nginx)),
    ]
}

fn memory(figures: &Figures) -> Vec<Bar> {
    let Some(measured) = figures.get("memory") else { return Vec::new() };
    let value = |peer| measured.values(peer).map(|s| s.median);
    vec![
        Bar { what: "memory: MiB with 1,000 idle connections".into(), limit: MEMORY_MIB, measured: value(Peer::Foreshadow), spread: None },
        Bar {
            what: "memory: against Envoy's".into(),
            limit: MEMORY_ENVOY,
            measured: value(Peer::Foreshadow).zip(value(Peer::Envoy)).map(|(o, e)| o / e),
            spread: None,
        },
    ]
}

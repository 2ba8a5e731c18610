//! Ten thousand copies at once towards a shadow that takes ten seconds for each, at a thousand requests a second: is memory bounded by what is configured,
//! and does production feel it? Sidecars side by side, the same arrivals to each, in turns; a turn begins when no copy is under way anywhere.

use super::figures::interval;
use super::held::{Sink, Slow, config};
use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::generator::{self, Plan, RequestTemplate, Summary};
use crate::sidecar::Sidecar;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};

/// What the shadow takes for each copy.
const WAIT: Duration = Duration::from_secs(10);

/// A copy lasts no longer than this.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One bound on copies at once.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// The bound; 0 = no mirror.
    pub max_in_flight: u64,
    /// Most copies under way seen.
    pub in_flight: u64,
    /// Most body bytes held seen.
    pub buffered_bytes: u64,
    /// Resident memory before and at its largest, KiB.
    pub memory_kib: (u64, u64),
    /// Production's p50, p99 in milliseconds and failures, in each round.
    pub rounds: Vec<(f64, f64, u64)>,
    /// Mean difference of production's p99 to no mirror's over the rounds, with half the width of its 95 % interval, in milliseconds.
    pub p99_more_ms: (f64, f64),
    /// Processor time of the sidecar for one request, microseconds.
    pub cpu_us: f64,
}

/// All bounds.
#[derive(Debug, Serialize)]
pub struct Slows {
    /// Requests a second.
    pub rps: f64,
    /// The bounds.
    pub bounds: Vec<Bound>,
}

/// Measures so many rounds of so many seconds.
///
/// # Errors
/// When a program does not start.
pub async fn measure(binaries: &Binaries, rps: f64, rounds: u32, seconds: f64) -> Result<Slows, Error> {
    let (sink, slow) = (Sink::start().await?, Slow::start(WAIT)?);
    let mut bounds = Vec::new();
    let mut sidecars = Vec::new();
    for max in [0, 256, 10_000] {
        let mirror = if max == 0 { "" } else { ", request_mirror_policies: [{ cluster: shadow }]" };
        let limits = format!("max_in_flight: {}, timeout: {}s", max.max(1), TIMEOUT.as_secs());
        let more = "    circuit_breakers: { thresholds: [{ max_connections: 20000, max_requests: 20000, max_pending_requests: 20000 }] }\n";
        let sidecar = Sidecar::start(binaries, 1, |at| config(at, sink.port, slow.port, mirror, &limits, more)).await?;
        let resident = sidecar.resident_kib().unwrap_or_default();
        bounds.push(Bound {
            max_in_flight: max,
            in_flight: 0,
            buffered_bytes: 0,
            memory_kib: (resident, resident),
            rounds: Vec::new(),
            p99_more_ms: (0.0, 0.0),
            cpu_us: 0.0,
        });
        sidecars.push(sidecar);
    }
    for round in 0..rounds {
        for nth in 0..sidecars.len() {
            let at = (nth + round as usize) % sidecars.len();
            for sidecar in &sidecars {
                no_copy_under_way(sidecar).await?;
            }
            let (sidecar, bound) = (&sidecars[at], &mut bounds[at]);
            let before = sidecar.cpu_s();
            let summary = watched(sidecar, bound, &plan(sidecar, u64::from(round), rps, seconds)).await?;
            let ms = |q: Option<f64>| q.unwrap_or(f64::NAN);
            bound.rounds.push((ms(summary.p50_ms), ms(summary.p99_ms), summary.failed.values().sum()));
            bound.cpu_us += (sidecar.cpu_s() - before) * 1e6 / summary.sent as f64 / f64::from(rounds);
        }
    }
    for mut sidecar in sidecars {
        sidecar.end().await;
    }
    let alone: Vec<f64> = bounds[0].rounds.iter().map(|r| r.1).collect();
    for bound in &mut bounds {
        let more: Vec<f64> = bound.rounds.iter().zip(&alone).map(|(r, alone)| r.1 - alone).collect();
        bound.p99_more_ms = interval(&more);
    }
    Ok(Slows { rps, bounds })
}

/// Waits until every copy of the turn before has ended.
async fn no_copy_under_way(sidecar: &Sidecar) -> Result<(), Error> {
    let until = Instant::now() + 2 * TIMEOUT;
    loop {
        let snapshot = sidecar.telemetry().await.map_err(Error::Failed)?;
        match of_mirror(&snapshot, "in_flight") {
            0 => return Ok(()),
            n if Instant::now() > until => return Err(Error::Failed(format!("{n} copies are still under way after {:?}", 2 * TIMEOUT))),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn of_mirror(snapshot: &Value, name: &str) -> u64 {
    snapshot.pointer("/mirrors/0").and_then(|m| m[name].as_u64()).unwrap_or_default()
}

fn plan(sidecar: &Sidecar, seed: u64, rps: f64, seconds: f64) -> Plan {
    Plan {
        seed,
        duration_s: seconds,
        target: format!("http://{}", sidecar.address),
        threshold_ms: 100.0,
        timeout_ms: 5_000.0,
        max_outstanding: 4_096,
        requests_per_connection: None,
        rate: vec![(0.0, rps), (seconds, rps)],
        requests: vec![RequestTemplate::get("work", "/work")],
        mix: Vec::new(),
    }
}

/// Generates load and looks at the sidecar meanwhile.
async fn watched(sidecar: &Sidecar, bound: &mut Bound, plan: &Plan) -> Result<Summary, Error> {
    let mut load = std::pin::pin!(generator::run(plan, |_| {}));
    loop {
        tokio::select! {
            done = &mut load => return done.map_err(|e| Error::failed("generating load", e)),
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                bound.memory_kib.1 = bound.memory_kib.1.max(sidecar.resident_kib().unwrap_or_default());
                if let Ok(snapshot) = sidecar.telemetry().await {
                    bound.in_flight = bound.in_flight.max(of_mirror(&snapshot, "in_flight"));
                    bound.buffered_bytes = bound.buffered_bytes.max(of_mirror(&snapshot, "buffered_bytes"));
                }
            }
        }
    }
}

impl Slows {
    /// For machines.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl fmt::Display for Slows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.0} requests a second beside a shadow that takes {} s for each:", self.rps, WAIT.as_secs())?;
        for b in &self.bounds {
            let name = if b.max_in_flight == 0 { "no mirror".to_owned() } else { format!("at most {} copies", b.max_in_flight) };
            let p99: Vec<_> = b.rounds.iter().map(|r| format!("{:.2}", r.1)).collect();
            let failed: u64 = b.rounds.iter().map(|r| r.2).sum();
            let grown = b.memory_kib.1.saturating_sub(b.memory_kib.0);
            let each = if b.in_flight == 0 { 0.0 } else { grown as f64 / b.in_flight as f64 };
            writeln!(
                f,
                "  {name:<22} {:>6} copies at most, {:>6} KiB grown ({each:.1} KiB a copy), p99 {} ms ({:+.2} +- {:.2}), {failed} failures, {:.1} us of processor a request",
                b.in_flight,
                grown,
                p99.join(" / "),
                b.p99_more_ms.0,
                b.p99_more_ms.1,
                b.cpu_us
            )?;
        }
        Ok(())
    }
}

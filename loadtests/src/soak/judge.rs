//! Judges a soak: accounts, memory, life.

use super::Args;
use super::chaos::{Chaos, Struck};
use super::client::Tally;
use crate::sidecar::Sidecar;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Part of the soak that is warm-up.
const WARM_UP: f64 = 0.4;
/// Growth of memory that is noise: this part of it, and this much.
const NOISE_RATIO: f64 = 0.10;
const NOISE_KIB: f64 = 6.0 * 1024.0;
/// A run shorter than this, in seconds, ends while the allocator still warms up: more is let pass then, by this much in KiB.
const SHORT: (f64, f64) = (120.0, 32.0 * 1024.0);
/// Findings told of one kind.
const TOLD: usize = 5;

/// Watches and remembers.
pub struct Judge {
    length: Duration,
    /// Seconds and KiB.
    memory: Vec<(f64, f64)>,
    looks: u64,
    last: Value,
    findings: Vec<String>,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Length in seconds.
    pub seconds: f64,
    /// Requests that clients sent.
    pub sent: u64,
    /// Answers they got whole.
    pub answered: u64,
    /// Answers that broke off.
    pub broken: u64,
    /// Requests they gave up.
    pub given_up: u64,
    /// What happened around the sidecar.
    pub struck: Struck,
    /// Polls at which every account was checked.
    pub looks: u64,
    /// Resident memory in KiB: median of the first part after warm-up, and of the last.
    pub memory_kib: (f64, f64),
    /// The mirror's account at the end.
    pub copies: Value,
    /// What is wrong; empty when all is well.
    pub findings: Vec<String>,
}

impl Judge {
    /// Of a soak of this length.
    pub fn new(length: Duration) -> Self {
        Self { length, memory: Vec::new(), looks: 0, last: Value::Null, findings: Vec::new() }
    }

    fn find(&mut self, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(what);
        }
    }

    /// One look while it runs.
    pub async fn look(&mut self, proxy: &mut Sidecar, at: Duration) {
        if let Some(kib) = proxy.resident_kib() {
            self.memory.push((at.as_secs_f64(), kib as f64));
        }
        match proxy.telemetry().await {
            Ok(snapshot) => self.accounts(snapshot),
            Err(why) => self.find(format!("no numbers after {:.1} s: {why}", at.as_secs_f64())),
        }
    }

    fn accounts(&mut self, snapshot: Value) {
        self.looks += 1;
        for mirror in list(&snapshot, "mirrors") {
            let dropped: u64 = mirror["dropped"].as_object().into_iter().flat_map(|d| d.values()).filter_map(Value::as_u64).sum();
            let (eligible, closed) = (number(mirror, "eligible"), number(mirror, "completed") + number(mirror, "in_flight") + dropped);
            if eligible != closed {
                self.find(format!("the mirror's account does not close: {eligible} eligible, {closed} accounted for: {mirror}"));
            }
        }
        for cluster in list(&snapshot, "clusters") {
            let sum = |of: &Value| match of {
                Value::Array(all) => all.iter().filter_map(Value::as_u64).sum::<u64>(),
                Value::Object(all) => all.values().filter_map(Value::as_u64).sum(),
                _ => 0,
            };
            let closed = sum(&cluster["responses"]) + sum(&cluster["failures"]) + number(cluster, "in_flight");
            if number(cluster, "requests") != closed {
                self.find(format!(
                    "the account of cluster {} does not close: {} requests, {closed} accounted for",
                    cluster["name"], cluster["requests"]
                ));
            }
        }
        self.last = snapshot;
    }

    /// Waits until everything has come to rest: nothing under way, nothing held.
    pub async fn rest(&mut self, proxy: &mut Sidecar, tally: &Tally, within: Duration) {
        let until = Instant::now() + within;
        loop {
            self.look(proxy, self.length).await;
            let under_way: u64 = ["mirrors", "clusters"].iter().flat_map(|of| list(&self.last, of)).map(|x| number(x, "in_flight")).sum();
            let held: u64 = list(&self.last, "mirrors").map(|m| number(m, "buffered_bytes")).sum();
            let connections = number(&self.last["downstream"], "connections");
            if under_way + held + connections == 0 {
                break;
            }
            if Instant::now() > until || !proxy.is_alive() {
                self.find(format!("at the end {under_way} requests are under way, {held} bytes held, {connections} connections open"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (seen, sent, answered) =
            (number(&self.last["downstream"], "requests"), tally.sent.load(Ordering::Relaxed), tally.answered.load(Ordering::Relaxed));
        if !(answered..=sent).contains(&seen) {
            self.find(format!("clients sent {sent} requests and got {answered} answers, and the sidecar counted {seen}"));
        }
        if tally.stuck.load(Ordering::Relaxed) > 0 {
            self.find(format!("{} requests were never answered", tally.stuck.load(Ordering::Relaxed)));
        }
    }

    /// Ends the sidecar and looks at what it leaves.
    pub async fn end(&mut self, proxy: &mut Sidecar) {
        if let Some(status) = proxy.ended() {
            self.find(format!("it ended by itself: {status}"));
        }
        let killed = proxy.end().await;
        if !killed.is_empty() {
            self.find(format!("it did not end when asked: {killed:?}"));
        }
        let log = proxy.log();
        for line in log.lines().filter(|l| l.contains("panicked")).take(TOLD) {
            self.find(format!("it panicked: {line}"));
        }
    }

    /// Median memory of the first and of the last quarter after warm-up.
    fn memory(&self) -> (f64, f64) {
        let end = self.length.as_secs_f64();
        let (warm, quarter) = (end * WARM_UP, end * (1.0 - WARM_UP) / 4.0);
        let median = |from: f64, to: f64| {
            let mut some: Vec<f64> = self.memory.iter().filter(|m| (from..=to).contains(&m.0)).map(|m| m.1).collect();
            some.sort_by(f64::total_cmp);
            some.get(some.len() / 2).copied().unwrap_or_default()
        };
        (median(warm, warm + quarter), median(end - quarter, end))
    }

    /// What came out.
    pub fn report(mut self, args: &Args, chaos: &Chaos, tally: &Tally) -> Report {
        let (first, last) = self.memory();
        let still_warming = if self.length.as_secs_f64() < SHORT.0 { SHORT.1 } else { 0.0 };
        if last > first * (1.0 + NOISE_RATIO) + NOISE_KIB + still_warming || first == 0.0 {
            self.find(format!("memory is not flat: {first:.0} KiB after warm-up, {last:.0} KiB at the end"));
        }
        let of = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        Report {
            seconds: args.minutes * 60.0,
            sent: of(&tally.sent),
            answered: of(&tally.answered),
            broken: of(&tally.broken),
            given_up: of(&tally.given_up),
            struck: chaos.struck,
            looks: self.looks,
            memory_kib: (first, last),
            copies: self.last.pointer("/mirrors/0").map(summary).unwrap_or_default(),
            findings: self.findings,
        }
    }
}

/// A mirror's account without its histograms.
fn summary(mirror: &Value) -> Value {
    let kept = ["eligible_requests", "eligible", "completed", "dropped", "status_match", "status_mismatch", "body_match", "body_mismatch"];
    Value::Object(kept.iter().map(|k| ((*k).to_owned(), mirror[*k].clone())).collect())
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.memory_kib;
        writeln!(
            f,
            "{:.0} s: {} requests sent, {} answered, {} broken off, {} given up",
            self.seconds, self.sent, self.answered, self.broken, self.given_up
        )?;
        writeln!(f, "around it: {:?}", self.struck)?;
        writeln!(f, "copies: {}", self.copies)?;
        writeln!(f, "accounts closed at {} polls; memory {first:.0} KiB after warm-up, {last:.0} KiB at the end", self.looks)?;
        if self.findings.is_empty() { write!(f, "nothing found") } else { write!(f, "found: {}", self.findings.join("\n       ")) }
    }
}

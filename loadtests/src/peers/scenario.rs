//! What is measured, by name, and how a scenario is run: peers in turn, round after round.

use super::config::{self, Ports};
use super::figures::{Measured, Sample};
use super::install::Tools;
use super::peer::{Peer, Shape};
use super::process::{LOAD_CORE, PROXY_CORE, Process};
use super::{Args, idle, load};
use crate::demo::error::Error;
use crate::say;
use std::collections::BTreeMap;
use std::net::TcpListener;

/// HTTP/1.1, 64 connections, 1 KiB: the case of the bars.
const PLAIN: Shape = Shape { connections: 64, streams: 1, size: 1 << 10, http2: false, tls: false, mirrored: false, workers: 1 };

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Processor time a request.
    Cpu,
    /// Latency at a fixed rate, beside a direct connection.
    Latency,
    /// Memory with idle connections.
    Memory,
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// What is measured.
    pub kind: Kind,
    /// The load.
    pub shape: Shape,
    /// Who takes part.
    pub peers: Vec<Peer>,
}

/// What was asked for.
#[derive(Debug)]
pub struct Chosen {
    /// Scenarios.
    pub scenarios: Vec<Scenario>,
    /// Peers.
    pub peers: Vec<Peer>,
}

/// Requests a second at which latency is measured: far from anybody's limit.
const MODERATE_RPS: f64 = 500.0;
/// Requests a connection that a burst has at least.
const FEWEST: u64 = 20;
/// Idle connections when memory is measured.
const IDLE: usize = 1_000;

fn all() -> Vec<Scenario> {
    let cpu = |name, what, shape| Scenario { name, what, kind: Kind::Cpu, shape, peers: Vec::new() };
    let h2 = Shape { connections: 8, streams: 8, http2: true, ..PLAIN };
    vec![
        cpu("h1", "HTTP/1.1, 64 connections, 1 KiB", PLAIN),
        cpu("mirror", "the same, every request copied", Shape { mirrored: true, ..PLAIN }),
        cpu("h1-empty", "HTTP/1.1, 64 connections, empty answers", Shape { size: 0, ..PLAIN }),
        cpu("h1-64k", "HTTP/1.1, 64 connections, 64 KiB", Shape { size: 64 << 10, ..PLAIN }),
        cpu("h1-1m", "HTTP/1.1, 64 connections, 1 MiB", Shape { size: 1 << 20, ..PLAIN }),
        cpu("h1-c1", "HTTP/1.1, one connection, 1 KiB", Shape { connections: 1, ..PLAIN }),
        cpu("h1-c1000", "HTTP/1.1, 1,000 connections, 1 KiB", Shape { connections: 1_000, ..PLAIN }),
        cpu("h2", "HTTP/2 without TLS, 8 connections of 8 streams, 1 KiB", h2.clone()),
        cpu("h2-64k", "HTTP/2 without TLS, 8 connections of 8 streams, 64 KiB", Shape { size: 64 << 10, ..h2.clone() }),
        cpu("h1-tls", "HTTP/1.1 over TLS, 64 connections, 1 KiB", Shape { tls: true, ..PLAIN }),
        cpu("h2-tls", "HTTP/2 over TLS, 8 connections of 8 streams, 1 KiB", Shape { tls: true, ..h2 }),
        cpu("workers", "HTTP/1.1, 64 connections, 1 KiB, two workers on all cores", Shape { workers: 2, ..PLAIN }),
        Scenario {
            name: "latency",
            what: "added p50 and p99 at 500 requests a second, 1 KiB",
            kind: Kind::Latency,
            shape: PLAIN,
            peers: Vec::new(),
        },
        Scenario {
            name: "memory",
            what: "resident memory with 1,000 idle connections",
            kind: Kind::Memory,
            shape: PLAIN,
            peers: Vec::new(),
        },
    ]
}

/// Scenarios and peers with these names; all scenarios if none is named, all peers if none is named.
///
/// # Errors
/// When something has no such name.
pub fn chosen(only: &[String]) -> Result<Chosen, Error> {
    let known = |n: &String| all().iter().any(|s| s.name == *n) || Peer::ALL.iter().any(|p| p.name() == n);
    if let Some(unknown) = only.iter().find(|n| !known(n)) {
        return Err(Error::Usage(format!("no scenario or peer is called `{unknown}`; --list shows all")));
    }
    let named = |name: &str| only.iter().any(|n| n == name);
    let mut peers: Vec<Peer> = Peer::ALL.into_iter().filter(|p| named(p.name())).collect();
    if peers.is_empty() {
        peers = Peer::ALL.to_vec();
    }
    let mut scenarios: Vec<Scenario> = all().into_iter().filter(|s| named(s.name)).collect();
    if scenarios.is_empty() {
        scenarios = all();
    }
    for scenario in &mut scenarios {
        // HAProxy has no mirror of its own.
        scenario.peers = peers.iter().copied().filter(|p| !(scenario.shape.mirrored && *p == Peer::Haproxy)).collect();
    }
    Ok(Chosen { scenarios, peers })
}

/// One peer, ready, with the backends it talks to.
struct Standing {
    peer: Peer,
    process: Process,
    port: u16,
    /// Requests of a burst.
    requests: u64,
    samples: Vec<Sample>,
}

impl Scenario {
    /// Measures it.
    ///
    /// # Errors
    /// When the backend does not start. A peer that does not is left out, with a line that says so.
    pub async fn measure(&self, args: &Args, tools: &Tools) -> Result<Measured, Error> {
        let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 });
        let seconds = args.seconds.unwrap_or(if args.quick { 0.6 } else { 3.0 });
        let (app, _app) = backend(tools, "app").await?;
        let (shadow, _shadow) = backend(tools, "shadow").await?;
        let mut standing = Vec::new();
        for peer in &self.peers {
            if *peer == Peer::Before && args.before.is_none() {
                continue;
            }
            match self.stand(*peer, tools, app, shadow).await? {
                Ok(ready) => standing.push(ready),
                Err(why) => say!("  {} left out: {why}", peer.name()),
            }
        }
        for round in 0..=rounds {
            // The round before the first one only warms up and says how many requests fill the time.
            let direct =
                if self.kind == Kind::Latency { Some(load::latency(app, MODERATE_RPS, seconds, round as u64).await?) } else { None };
            let mut failed = Vec::new();
            for it in &mut standing {
                match self.sample(it, tools, seconds, round, direct).await {
                    Ok(Some(sample)) if round > 0 => it.samples.push(sample),
                    Ok(_) => {}
                    Err(why) => {
                        say!("  {} left out: {why}", it.peer.name());
                        failed.push(it.peer);
                    }
                }
            }
            standing.retain(|it| !failed.contains(&it.peer));
        }
        let samples: BTreeMap<Peer, Vec<Sample>> = standing.into_iter().map(|it| (it.peer, it.samples)).collect();
        Ok(Measured { name: self.name, what: self.what, shape: self.shape.clone(), samples })
    }

    async fn stand(&self, peer: Peer, tools: &Tools, app: u16, shadow: u16) -> Result<Result<Standing, String>, Error> {
        let Some(program) = tools.peers.get(&peer) else { return Ok(Err("it is not here".into())) };
        let (port, dir) = (free_port()?, tools.dir.path());
        let file =
            dir.join(format!("{}-{}.conf", self.name, peer.name())).with_extension(if peer == Peer::Nginx { "conf" } else { "yaml" });
        let (text, arguments) = config::of(peer, &self.shape, Ports { proxy: port, app, shadow }, dir, &file);
        std::fs::write(&file, text).map_err(|e| Error::failed("writing a configuration", e))?;
        let cores = if self.shape.workers > 1 { "0-1" } else { PROXY_CORE };
        let mut process = Process::start(peer.name(), cores, program, &arguments, dir)?;
        Ok(process.listens(port).await.map(|()| Standing {
            peer,
            process,
            port,
            requests: FEWEST * self.shape.connections as u64,
            samples: Vec::new(),
        }))
    }

    async fn sample(
        &self,
        it: &mut Standing,
        tools: &Tools,
        seconds: f64,
        round: usize,
        direct: Option<(f64, f64)>,
    ) -> Result<Option<Sample>, Error> {
        match self.kind {
            Kind::Cpu => {
                let before = it.process.cpu();
                let burst = load::burst(tools, &self.shape, it.port, it.requests).await?;
                let after = it.process.cpu();
                if round == 0 {
                    let fills = (burst.done as f64 / burst.seconds * seconds) as u64;
                    // Few requests would measure how connections are made.
                    it.requests = fills.max(FEWEST * self.shape.connections as u64).clamp(200, 2_000_000);
                    return Ok(None);
                }
                let value = (after.us - before.us) / burst.done as f64;
                let (user, system) = ((after.user - before.user) as f64, (after.system - before.system) as f64);
                let part = |ticks: f64| value * ticks / (user + system).max(1.0);
                let rps = burst.done as f64 / burst.seconds;
                Ok(Some(Sample { value, user_us: Some(part(user)), system_us: Some(part(system)), rps: Some(rps), p99_ms: None }))
            }
            Kind::Latency => {
                let (p50, p99) = load::latency(it.port, MODERATE_RPS, seconds, round as u64).await?;
                let (d50, d99) = direct.unwrap_or_default();
                Ok(Some(Sample { value: p50 - d50, p99_ms: Some(p99 - d99), ..Sample::default() }))
            }
            Kind::Memory if round == 1 => {
                let held = idle::open(it.port, IDLE).await?;
                let value = it.process.resident() as f64 / f64::from(1 << 20);
                drop(held);
                Ok(Some(Sample { value, ..Sample::default() }))
            }
            Kind::Memory => Ok(None),
        }
    }
}

async fn backend(tools: &Tools, name: &str) -> Result<(u16, Process), Error> {
    let port = free_port()?;
    let mut process = Process::start(name, LOAD_CORE, &tools.own, &["--backend".into(), port.to_string()], tools.dir.path())?;
    process.listens(port).await.map_err(|why| Error::Failed(format!("the backend does not start: {why}")))?;
    Ok((port, process))
}

fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| Error::failed("finding a free port", e))
}

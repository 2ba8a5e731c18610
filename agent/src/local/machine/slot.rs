//! One instance's life: an application, its sidecar, or both; started, watched, started again after a crash, drained, ended. Pure.
//!
//! ```text
//! Waiting ──► Starting ──► Ready ──► Draining ──► Ending ──► Gone
//!    ▲            │           │                      │
//!    └────────────┴───crash───┴──────── restart ─────┘
//! ```
//! A sidecar that crashed is started again beside its living application; an application that crashed takes its sidecar with it, and both
//! get new ports (a port that somebody else took meanwhile is thus never tried twice).

use super::clock::Now;
pub use super::vocabulary::{Act, Event, Limits, Part, Role};
use crate::local::api;
use std::collections::BTreeMap;
use std::time::Duration;

/// After SIGTERM, on top of the application's drain time, before SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// Longest pause before a new start.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Ready for so long means that earlier failures are forgotten.
const STABLE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Ask,
    Asked { kill_at: Duration },
    Killed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until: Duration },
    Starting { deadline: Duration },
    Ready { since: Duration },
    Draining { deadline: Duration, announced: bool },
    Ending { stage: Ending, last: bool },
    Gone,
}

#[derive(Debug, Clone, Copy, Default)]
struct Process {
    wanted: bool,
    alive: bool,
    pid: u32,
    port: u16,
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Unique over the orchestrator's life.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Profile.
    pub profile: String,
    /// Cost relative to a production replica.
    pub size: f64,
    phase: Phase,
    app: Process,
    proxy: Process,
    attempt: u32,
    drain: u32,
    failures: u32,
    restarts: u32,
    last_failure: String,
    started_unix_ms: u64,
    ready_unix_ms: Option<u64>,
    admin_url: Option<String>,
}

impl Slot {
    /// One that is started at the next step.
    pub fn new(name: String, role: Role, profile: String, size: f64, now: Now) -> Self {
        let part = |wanted| Process { wanted, ..Process::default() };
        Self {
            name,
            role,
            profile,
            size,
            phase: Phase::Waiting { until: now.mono },
            app: part(role != Role::Front),
            proxy: part(role != Role::Shadow),
            attempt: 0,
            drain: 0,
            failures: 0,
            restarts: 0,
            last_failure: String::new(),
            started_unix_ms: 0,
            ready_unix_ms: None,
            admin_url: None,
        }
    }

    /// Takes note of what was seen.
    pub fn observe(&mut self, event: Event, now: Now) {
        match event {
            Event::Started { part, pid, port } => {
                let process = self.part(part);
                (process.pid, process.port, process.alive) = (pid, port, true);
            }
            Event::Exited { part, how } => self.exited(part, how, now),
            Event::Ready { attempt, admin_url } => {
                if attempt == self.attempt && matches!(self.phase, Phase::Starting { .. }) {
                    self.phase = Phase::Ready { since: now.mono };
                    self.ready_unix_ms = Some(now.unix_ms);
                    self.admin_url = admin_url;
                }
            }
            Event::Idle { drain } => {
                if drain == self.drain && matches!(self.phase, Phase::Draining { .. }) {
                    self.phase = Phase::Ending { stage: Ending::Ask, last: true };
                }
            }
        }
    }

    fn part(&mut self, part: Part) -> &mut Process {
        match part {
            Part::App => &mut self.app,
            Part::Proxy => &mut self.proxy,
        }
    }

    fn exited(&mut self, part: Part, how: String, now: Now) {
        self.part(part).alive = false;
        if part == Part::Proxy {
            self.admin_url = None;
        }
        match self.phase {
            Phase::Ending { .. } | Phase::Gone => {}
            Phase::Draining { .. } => self.phase = Phase::Ending { stage: Ending::Ask, last: true },
            Phase::Waiting { .. } | Phase::Starting { .. } | Phase::Ready { .. } => {
                let who = if part == Part::App { "application" } else { "proxy" };
                self.failed(format!("its {who} {how}"), now);
                self.phase = if part == Part::App && self.proxy.alive {
                    Phase::Ending { stage: Ending::Asked { kill_at: now.mono }, last: false }
                } else {
                    Phase::Waiting { until: now.mono + self.pause() }
                };
            }
        }
    }

    fn failed(&mut self, what: String, now: Now) {
        if matches!(self.phase, Phase::Ready { since } if now.mono.saturating_sub(since) >= STABLE) {
            self.failures = 0;
        }
        self.failures += 1;
        self.restarts += 1;
        self.last_failure = what;
        self.ready_unix_ms = None;
    }

    /// None after the first failure, then doubling.
    fn pause(&self) -> Duration {
        match self.failures {
            0 | 1 => Duration::ZERO,
            n => (Duration::from_millis(100) * 2u32.pow((n - 1).min(16))).min(LONGEST_PAUSE),
        }
    }

    /// The next thing to do, if any; ask again until there is none.
    pub fn step(&mut self, now: Now, limits: Limits) -> Option<Act> {
        match self.phase {
            Phase::Waiting { until } if now.mono >= until => Some(self.start(now, limits)),
            Phase::Starting { deadline } if now.mono >= deadline => {
                self.failed(format!("it was not ready after {:?}", limits.ready_timeout), now);
                self.phase = Phase::Ending { stage: Ending::Ask, last: false };
                self.step(now, limits)
            }
            Phase::Draining { deadline, .. } if now.mono >= deadline => {
                self.phase = Phase::Ending { stage: Ending::Ask, last: true };
                self.step(now, limits)
            }
            Phase::Draining { deadline, announced: false } => {
                self.phase = Phase::Draining { deadline, announced: true };
                Some(Act::WatchIdle { drain: self.drain })
            }
            Phase::Ending { stage, last } => self.end(stage, last, now, limits),
            _ => None,
        }
    }

    fn start(&mut self, now: Now, limits: Limits) -> Act {
        self.attempt += 1;
        self.phase = Phase::Starting { deadline: now.mono + limits.ready_timeout };
        let act =
            Act::Start { attempt: self.attempt, app: self.app.wanted && !self.app.alive, proxy: self.proxy.wanted && !self.proxy.alive };
        if self.app.wanted && !self.app.alive || self.started_unix_ms == 0 {
            self.started_unix_ms = now.unix_ms;
        }
        // Counted from the moment of asking; a start that fails is reported as an exit.
        self.app.alive = self.app.wanted;
        self.proxy.alive = self.proxy.wanted;
        act
    }

    fn end(&mut self, stage: Ending, last: bool, now: Now, limits: Limits) -> Option<Act> {
        if !self.app.alive && !self.proxy.alive {
            self.phase = if last { Phase::Gone } else { Phase::Waiting { until: now.mono + self.pause() } };
            return if last { Some(Act::Remove) } else { self.step(now, limits) };
        }
        let (next, act) = match stage {
            Ending::Ask => (Ending::Asked { kill_at: now.mono + limits.drain + GRACE }, Act::Terminate),
            Ending::Asked { kill_at } if now.mono >= kill_at => (Ending::Killed, Act::Kill),
            _ => return None,
        };
        self.phase = Phase::Ending { stage: next, last };
        Some(act)
    }

    /// Out of rotation; ends when nothing is under way. One that takes no traffic ends at once.
    pub fn retire(&mut self, now: Now, limits: Limits) {
        match self.phase {
            Phase::Ready { .. } if !limits.drain.is_zero() => {
                self.drain += 1;
                self.phase = Phase::Draining { deadline: now.mono + limits.drain, announced: false };
            }
            Phase::Draining { .. } => {}
            _ => self.finish(),
        }
    }

    /// Ends without draining: SIGTERM now.
    pub fn finish(&mut self) {
        match &mut self.phase {
            Phase::Gone => {}
            Phase::Ending { last, .. } => *last = true,
            phase => *phase = Phase::Ending { stage: Ending::Ask, last: true },
        }
    }

    /// SIGKILL now, for good.
    pub fn abort(&mut self, now: Now) {
        match &mut self.phase {
            Phase::Gone | Phase::Ending { stage: Ending::Killed, last: true } => {}
            phase => *phase = Phase::Ending { stage: Ending::Asked { kill_at: now.mono }, last: true },
        }
    }

    /// Back into rotation, when it was only draining.
    pub fn recall(&mut self, now: Now) -> bool {
        let draining = matches!(self.phase, Phase::Draining { .. });
        if draining {
            self.phase = Phase::Ready { since: now.mono };
        }
        draining
    }

    /// Whether it is to go for good.
    pub fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Ending { last: true, .. } | Phase::Gone)
    }

    /// Whether nothing of it is left.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Whether it takes traffic.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Whether its application runs.
    pub fn app_runs(&self) -> bool {
        self.app.alive
    }

    /// Port of its application.
    pub fn app_port(&self) -> u16 {
        self.app.port
    }

    /// Port of its proxy.
    pub fn proxy_port(&self) -> u16 {
        self.proxy.port
    }

    /// Process of its proxy; 0 while it has none.
    pub fn proxy_pid(&self) -> u32 {
        if self.proxy.alive { self.proxy.pid } else { 0 }
    }

    /// Admin address of its proxy, once known.
    pub fn admin_url(&self) -> Option<&str> {
        self.admin_url.as_deref()
    }

    /// Starts after a failure, so far.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What a person should know of it.
    pub fn note(&self) -> Option<String> {
        (self.restarts > 0).then(|| {
            let times = if self.restarts == 1 { "once".to_owned() } else { format!("{} times", self.restarts) };
            format!("{} was started again {times}; last because {}", self.name, self.last_failure)
        })
    }

    /// As told to readers of the API; limits and control groups are the shell's knowledge.
    pub fn report(&self) -> api::Instance {
        let url = |process: &Process| (process.port != 0).then(|| format!("http://127.0.0.1:{}", process.port));
        let pid = |process: &Process| if process.alive { process.pid } else { 0 };
        api::Instance {
            name: self.name.clone(),
            profile: self.profile.clone(),
            size: self.size,
            state: match self.phase {
                Phase::Waiting { .. } | Phase::Starting { .. } | Phase::Ending { last: false, .. } => api::State::Starting,
                Phase::Ready { .. } => api::State::Ready,
                Phase::Draining { .. } | Phase::Ending { last: true, .. } | Phase::Gone => api::State::Draining,
            },
            pid: pid(&self.app),
            proxy_pid: Some(pid(&self.proxy)).filter(|pid| *pid != 0),
            app_url: url(&self.app).unwrap_or_default(),
            proxy_url: url(&self.proxy),
            admin_url: self.admin_url.clone(),
            cgroups: BTreeMap::new(),
            cpu_limit_cores: None,
            memory_limit_bytes: None,
            started_unix_ms: self.started_unix_ms,
            ready_unix_ms: self.ready_unix_ms,
        }
    }
}

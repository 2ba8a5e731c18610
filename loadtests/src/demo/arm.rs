//! One arm: starts the agent and what it keeps, drives load and faults, runs the reactive scaler, and records what everybody saw.
//!
//! Called once an arm by [`crate::demo::run`]. Promises: both arms go through exactly this; time zero is the generator's own. Not here: the
//! verdict ([`crate::demo::judge`]), the end of processes ([`crate::demo::fleet`], by the caller, also after an error).

use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::http::Json;
use crate::demo::inject::Injector;
use crate::demo::machine::MachineLog;
use crate::demo::reactive::{Reactive, Request};
use crate::demo::schedule::Schedule;
use crate::demo::setup::Setup;
use crate::demo::traffic::{Traffic, TrafficPlan};
use crate::demo::ui::{Phase, Ui};
use crate::demo::watch::Watch;
use crate::demo::wire::{Decision, Instance, Locator, Telemetry, Workload};
use crate::report::document::Arm;
use serde::Deserialize;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long everything may take to come up.
const START: Duration = Duration::from_secs(90);
/// Between two looks at the orchestrator.
const LOOK: Duration = Duration::from_millis(250);
/// Looks at the orchestrator between two looks at the agent, so that no decision is missed, and between two at proxies and processor.
const AGENT: u32 = 2;
const SLOWER: u32 = 4;
/// How long copies under way may take to end after the load has.
const SETTLE: Duration = Duration::from_secs(5);

/// What an arm needs.
#[derive(Debug)]
pub struct Order<'a> {
    /// `reactive` or `foreshadow`.
    pub name: &'static str,
    /// The agent's configuration.
    pub setup: Setup,
    /// Load and faults.
    pub schedule: &'a Schedule,
    /// Unjudged seconds before.
    pub warmup_s: u32,
    /// The reactive scaler's settings.
    pub reactive: crate::report::document::Reactive,
    /// What the reactive scaler is told that a replica requests.
    pub request: Request,
    /// Programs.
    pub binaries: &'a Binaries,
    /// File by which faults reach the sample application; None for one that is not ours.
    pub faults_file: Option<std::path::PathBuf>,
    /// Seed of the generator.
    pub seed: u64,
}

/// The agent's `GET /api/v1/state`, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AgentState {
    decision: Option<Decision>,
}

/// A running installation: the agent, its orchestrator, and how they are reached.
#[derive(Debug)]
pub struct Installation {
    /// Client for all of them.
    pub json: Json,
    /// The orchestrator.
    pub locator: Locator,
    /// The workload when it had become ready.
    pub workload: Workload,
}

/// Runs the arm.
pub async fn run(order: &Order<'_>, fleet: &mut Fleet, ui: &Ui) -> Result<Arm, Error> {
    let phase = ui.phase(&format!("{}: start", order.name));
    let mut injector = Injector::new(order.faults_file.clone(), &order.schedule.faults)?;
    let installation = install(&order.setup, order.binaries, fleet, &phase).await?;
    phase.done(&format!("{} replicas ready; live page {}", installation.workload.replicas.len(), order.setup.page()));

    let seconds = order.schedule.rps.len().saturating_sub(1) as f64;
    let phase = ui.timed(order.name, u64::from(order.warmup_s) + seconds as u64);
    let plan = TrafficPlan {
        base_url: &installation.workload.front.url,
        path: &order.setup.path,
        warmup_s: order.warmup_s,
        schedule: order.schedule,
        threshold_ms: order.setup.threshold_ms,
        seed: order.seed,
        dir: &order.setup.dir,
        mixed: order.faults_file.is_some(),
    };
    let mut traffic = Traffic::start(&plan, order.binaries, fleet)?;
    let mut run = Run::new(order, &installation);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0u32;
    while !traffic.ended() {
        tokio::select! {
            heard = traffic.next() => heard?,
            _ = ticks.tick() => {
                let now_s = traffic.now_s();
                injector.set(now_s)?;
                run.look(now_s).await;
                if looks.is_multiple_of(AGENT) {
                    run.agent(now_s).await;
                }
                if looks.is_multiple_of(SLOWER) {
                    run.machine.look(now_s);
                    run.telemetry().await;
                }
                phase.at((now_s + f64::from(order.warmup_s)).max(0.0) as u64);
                phase.say(&run.progress(&traffic));
                looks += 1;
            }
        }
        if let Some(status) = fleet.ended("agent") {
            return Err(Error::Failed(format!(
                "the agent ended early ({status}); end of its log:\n{}",
                tail(&order.setup.dir.join("agent.log"))
            )));
        }
    }
    if let Some(status) = failed(fleet, "load").await {
        return Err(Error::Failed(format!(
            "the generator failed ({status}); end of its log:\n{}",
            tail(&order.setup.dir.join("load.log"))
        )));
    }
    run.settle(traffic.now_s()).await;
    let mut arm = Arm { name: order.name.into(), ..Arm::default() };
    run.into_arm(&mut arm, seconds);
    traffic.into_arm(&mut arm);
    arm.machine.send_lag_p95_ms = crate::demo::machine::send_lag_p95(&arm.client);
    phase.done(&format!("{} requests", arm.client.iter().map(|s| s.requests).sum::<u64>()));
    Ok(arm)
}

/// How a program that has closed its output ended, when it was not with a success.
async fn failed(fleet: &mut Fleet, name: &str) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if let Some(status) = fleet.ended(name) {
            return (status != "exit status: 0").then_some(status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Some("it goes on".into())
}

/// Starts the agent and waits until production answers through the front.
pub async fn install(setup: &Setup, binaries: &Binaries, fleet: &mut Fleet, phase: &Phase) -> Result<Installation, Error> {
    std::fs::create_dir_all(&setup.dir).map_err(|e| Error::failed(&format!("creating {}", setup.dir.display()), e))?;
    let config = setup.dir.join("agent.yaml");
    std::fs::write(&config, setup.yaml()).map_err(|e| Error::failed(&format!("writing {}", config.display()), e))?;
    let log = setup.dir.join("agent.log");
    let mut command = fleet.command(&binaries.path("foreshadow-agent"), &log)?;
    command.args(["run", "--config"]).arg(&config).current_dir(&setup.dir);
    fleet.start("agent", command)?;
    let json = Json::default();
    let deadline = Instant::now() + START;
    let mut last = String::from("no answer yet");
    while Instant::now() < deadline {
        if let Some(status) = fleet.ended("agent") {
            return Err(Error::Failed(format!("the agent did not start ({status}); end of its log:\n{}", tail(&log))));
        }
        match ready(setup, &json).await {
            Ok(found) => return Ok(found),
            Err(waiting_for) => last = waiting_for,
        }
        phase.say(&last);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Error::Failed(format!("not ready within {} s: {last}; end of the agent's log:\n{}", START.as_secs(), tail(&log))))
}

/// The installation when it is ready, else what is waited for.
async fn ready(setup: &Setup, json: &Json) -> Result<Installation, String> {
    let text = std::fs::read_to_string(setup.locator()).map_err(|_| "waiting for the orchestrator".to_string())?;
    let locator: Locator = serde_json::from_str(&text).map_err(|e| format!("orchestrator.json: {e}"))?;
    let workload: Workload = json.get(&format!("{}/v1/workload", locator.url)).await?;
    let up = workload.replicas.iter().filter(|i| i.is_ready()).count();
    if up < setup.replicas as usize {
        return Err(format!("{up} of {} replicas ready", setup.replicas));
    }
    let front = format!("{}{}", workload.front.url, setup.ready_path);
    if workload.front.url.is_empty() || !json.ready(&front).await {
        return Err(format!("waiting for an answer through the front balancer ({front})"));
    }
    Ok(Installation { json: json.clone(), locator, workload })
}

fn unix_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Last lines of a log, for an error.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The state of a running arm.
struct Run<'a> {
    json: Json,
    locator: Locator,
    state_url: String,
    workload: Workload,
    watch: Watch,
    reactive: Reactive,
    machine: MachineLog,
    order: &'a Order<'a>,
}

impl<'a> Run<'a> {
    fn new(order: &'a Order<'a>, installation: &Installation) -> Self {
        Self {
            json: installation.json.clone(),
            locator: installation.locator.clone(),
            state_url: format!("{}/api/v1/state?minutes=0.1", order.setup.page()),
            workload: installation.workload.clone(),
            watch: Watch::default(),
            reactive: Reactive::new(&order.reactive, order.request, (order.setup.min_replicas, order.setup.max_replicas)),
            machine: MachineLog::default(),
            order,
        }
    }

    /// One look at the orchestrator, and the reactive scaler's turn; what does not answer is a gap, not an end.
    async fn look(&mut self, now_s: f64) {
        if let Ok(workload) = self.json.get(&format!("{}/v1/workload", self.locator.url)).await {
            self.watch.workload(now_s, &workload);
            self.workload = workload;
        }
        if let Some(replicas) = self.reactive.look(now_s, unix_ms(), &self.workload) {
            let url = format!("{}/v1/scale", self.locator.url);
            if let Err(e) = self.json.put::<Workload>(&url, &self.locator.token, &json!({ "replicas": replicas })).await {
                self.watch.note(&format!("the reactive scaler could not set {replicas} replicas: {e}"));
            }
        }
    }

    /// One look at the agent.
    async fn agent(&mut self, now_s: f64) {
        if let Ok(AgentState { decision: Some(decision) }) = self.json.get(&self.state_url).await {
            self.watch.decision(now_s, &decision);
        }
    }

    /// The account of copies of every sidecar now up, asked at once.
    async fn telemetry(&mut self) {
        let mut asked = JoinSet::new();
        for url in self.workload.replicas.iter().filter_map(|i: &Instance| i.admin_url.clone()) {
            let json = self.json.clone();
            asked.spawn(async move { json.get::<Telemetry>(&format!("{url}/telemetry")).await });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok(Ok(telemetry)) = answer {
                self.watch.telemetry(telemetry);
            }
        }
    }

    /// After the load: until no copy is under way, so that the account is final.
    async fn settle(&mut self, now_s: f64) {
        let end = Instant::now() + SETTLE;
        self.look(now_s).await;
        self.telemetry().await;
        while self.watch.copies_in_flight() > 0 && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            self.telemetry().await;
        }
    }

    fn progress(&self, traffic: &Traffic) -> String {
        let Some((scale, capacity)) = self.watch.latest() else { return String::new() };
        let floor = if scale.floor > 0 { format!(", floor {}", scale.floor) } else { String::new() };
        let capacity = capacity.map(|c| format!(", capacity {c:.0} rps")).unwrap_or_default();
        let (rps, bad) = traffic.last_second();
        format!("{rps} rps, {bad} bad; {} replicas{floor}{capacity}; {}", scale.ready, self.order.setup.page())
    }

    fn into_arm(self, arm: &mut Arm, seconds: f64) {
        arm.machine = self.machine.summary(seconds);
        arm.request_cores = self.reactive.request_cores();
        self.watch.into_arm(arm, seconds);
    }
}

#[cfg(test)]
#[path = "arm_tests.rs"]
mod tests;

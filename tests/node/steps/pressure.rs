//! Load, and a fault that neither processor use nor the request rate shows: the pool of workers of every instance shrinks, the shadow's too.
//! The floor must rise, and the new pods be ready, before the first request that production answers too late.

use super::product::ready;
use super::shop::{self, NAMESPACE, Pod, held, pods};
use crate::story::{Result, Story, ensure, until};
use foreshadow_loadtests::demo::judge;
use foreshadow_loadtests::generator::{Line, Second};
use foreshadow_loadtests::report::document::{self, Objective};
use foreshadow_tests::http::request;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Two replicas take about 145 requests a second in health, about 73 with half of their workers.
const RPS: u32 = 84;
/// Replicas that may stand when the fault begins: what a replica takes on a busy machine may be too little for two to be surely enough.
const AT_REST: std::ops::RangeInclusive<usize> = 2..=3;
/// It comes within this time, from half of it: what production takes at once is not what is asked here.
const GENTLE_S: u32 = 60;
/// The agent learns what a replica takes; after a race, what it had asked for is taken back.
const LEARNING: Duration = Duration::from_secs(420);
const CALM: Duration = Duration::from_secs(15);
/// The pools shrink to this many replicas' worth of workers in all over this time, and stay so: half of two replicas, a third of three.
const LEFT: f64 = 1.0;
const SHRINKING: Duration = Duration::from_secs(75);
const AFTERWARDS: Duration = Duration::from_secs(15);
/// The node's programs, the load and the product share two cores here: a race that others run into is run again, and told.
const RACES: u32 = 3;
/// Longest run of the generator: that of all races. Load that ended with each would jump with the next.
const RUN_S: u32 = RACES * 540;
const GENERATOR: &str = "load-race";

pub fn the_floor_is_raised_before_production_violates_its_objective(story: &mut Story) -> Result {
    story.reaches_pods()?;
    shop::load(story, GENERATOR, "web", &format!("0:{},{GENTLE_S}:{RPS}", RPS / 2), RUN_S)?;
    let told = races(story);
    story.kubectl(&format!("delete pod {GENERATOR} -n default --wait=false"))?;
    told
}

fn races(story: &Story) -> Result {
    for number in 1..RACES {
        match race(story) {
            Ok(()) => return Ok(()),
            Err(why) => println!("    race {number} of {RACES}: {why}"),
        }
        set_pools(story, &pods(story, NAMESPACE, "app=web")?, 1.0)?;
    }
    race(story)
}

fn race(story: &Story) -> Result {
    let rest = calm(story)?;
    let seen = shrink(story, rest.replicas)?;
    let seconds = seconds(&log(story, GENERATOR)?)?;
    let from = seconds.iter().position(|(at, _)| *at >= seen.began_ms).ok_or("the generator ended too early")?;
    let violated_ms = first_violation(&seconds[from..]);
    let bad: u64 = seconds[from..].iter().map(|(_, s)| s.bad).sum();
    let done: u64 = seconds[from..].iter().map(|(_, s)| s.done).sum();
    let after = |at: Option<u64>| at.map(|at| format!("{:.1} s", at.saturating_sub(seen.began_ms) as f64 / 1e3));
    let tale = format!(
        "at rest with {} replicas of {:.0} rps; since the fault began: floor after {:?}, new pods ready after {:?}, first violation after {:?}, {bad} of {done} bad",
        rest.replicas,
        rest.capacity,
        after(seen.raised_ms),
        after(seen.ready_ms),
        after(violated_ms)
    );
    println!("    {tale}");
    let raised = seen.raised_ms.ok_or_else(|| format!("the floor was not raised; {tale}; last decision: {}", seen.last))?;
    let ready = seen.ready_ms.ok_or_else(|| format!("no new pod was ready; {tale}"))?;
    ensure(violated_ms.is_none_or(|v| raised < v), || format!("production was hit first; {tale}"))?;
    ensure(violated_ms.is_none_or(|v| ready < v), || format!("new pods came too late; {tale}"))?;
    ensure(seen.utilisation.is_none_or(|u| u < 80), || format!("the HPA saw it as well ({:?} %): not hidden", seen.utilisation))
}

/// How production stood before the fault.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rest {
    replicas: usize,
    /// What one replica takes, the agent says, in requests a second.
    capacity: f64,
}

/// Waits until the agent knows a plausible capacity and the load, and the same few replicas have been enough for a while, by both.
fn calm(story: &Story) -> Result<Rest> {
    let mut since: Option<(usize, Instant)> = None;
    until("a known capacity and a floor at rest", LEARNING, || {
        let state = held(story, "shop/web")?.unwrap_or_default();
        let known = |path: &str| state["decision"].pointer(path).and_then(Value::as_f64);
        let (capacity, load) = (known("/capacity_rps/p50"), known("/forecasts/0/load_rps/p50"));
        let plausible = capacity.filter(|c| (25.0..200.0).contains(c));
        let (floor, replicas) = (floor(story)?, pods(story, NAMESPACE, "app=web")?.len());
        let still = since.is_none_or(|(before, _)| before == replicas);
        let enough = plausible.is_some_and(|c| c * replicas as f64 > f64::from(RPS)) && load.is_some_and(|l| l > 0.8 * f64::from(RPS));
        if !still || !enough || !AT_REST.contains(&replicas) || floor > replicas as u64 {
            since = None;
            let reason = &state["decision"]["plan"]["reason"];
            return Err(format!("load {load:?}, capacity {capacity:?}, floor {floor}, {replicas} replicas; {reason}").into());
        }
        // More than the least may yet be taken back: it has to stand for longer.
        let long = CALM * if replicas > *AT_REST.start() { 4 } else { 1 };
        let calm = since.get_or_insert((replicas, Instant::now())).1.elapsed() >= long;
        Ok(plausible.filter(|_| calm).map(|capacity| Rest { replicas, capacity }))
    })
}

/// What happened while the pool shrank; times in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
struct Seen {
    began_ms: u64,
    raised_ms: Option<u64>,
    ready_ms: Option<u64>,
    utilisation: Option<u64>,
    last: String,
}

/// Lets the pools of so many replicas shrink, those of new instances too, and looks on.
fn shrink(story: &Story, replicas: usize) -> Result<Seen> {
    let mut seen = Seen { began_ms: now_ms(), ..Seen::default() };
    let left = LEFT / replicas as f64;
    let start = Instant::now();
    while start.elapsed() < SHRINKING + AFTERWARDS {
        let share = (start.elapsed().as_secs_f64() / SHRINKING.as_secs_f64()).min(1.0);
        let production = pods(story, NAMESPACE, "app=web")?;
        set_pools(story, &production, 1.0 - (1.0 - left) * share)?;
        let now = now_ms();
        if seen.raised_ms.is_none() && floor(story)? > replicas as u64 {
            seen.raised_ms = Some(now);
        }
        if seen.ready_ms.is_none() && ready(&production).len() > replicas {
            seen.ready_ms = Some(now);
        }
        let hpa = hpa(story)?;
        let used = hpa["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"].as_u64();
        seen.utilisation = seen.utilisation.max(used);
        seen.last = held(story, "shop/web")?.map(|s| s["decision"]["plan"].to_string()).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(seen)
}

/// What is left of the pool of workers of every replica and of the shadow.
fn set_pools(story: &Story, production: &[Pod], factor: f64) -> Result {
    let fault = json!({ "pool_factor": factor }).to_string();
    for pod in production.iter().chain(&shop::shadows(story, "web")?).filter(|p| p.ready) {
        let url = format!("http://{}:8080/faults", pod.ip);
        // With the name taken over, the application itself is at its own port still.
        let told = request("POST", &url, &[("content-type", "application/json")], &fault);
        ensure(told.as_ref().is_some_and(|a| a.status < 300), || format!("{url}: {told:?}"))?;
    }
    Ok(())
}

/// The floor that stands in the HPA.
pub fn floor(story: &Story) -> Result<u64> {
    Ok(hpa(story)?["spec"]["minReplicas"].as_u64().unwrap_or(1))
}

fn hpa(story: &Story) -> Result<Value> {
    story.get(&format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/web"))
}

/// What a generator's pod has printed so far.
fn log(story: &Story, pod: &str) -> Result<String> {
    story.text(&format!("/api/v1/namespaces/default/pods/{pod}/log?timestamps=true"))
}

/// Seconds that the generator told, with the time at which each began.
fn seconds(log: &str) -> Result<Vec<(u64, Second)>> {
    let mut all = Vec::new();
    for line in log.lines() {
        let Some((at, json)) = line.split_once(' ') else { continue };
        let at: k8s_openapi::jiff::Timestamp = at.parse()?;
        if let Ok(Line::Second(second)) = serde_json::from_str(json) {
            all.push((u64::try_from(at.as_millisecond())?.saturating_sub(1_000), second));
        }
    }
    Ok(all)
}

/// When production first was beyond its objective, by the rule that the demo's report goes by.
fn first_violation(seconds: &[(u64, Second)]) -> Option<u64> {
    let objective = Objective { threshold_ms: 250.0, target_ratio: 0.95 };
    let begin_ms = seconds.first()?.0;
    let told = seconds.iter().map(|(at, s)| document::Second {
        at_s: (at - begin_ms) as f64 / 1e3,
        requests: s.done,
        bad: s.bad,
        failed: s.failures(),
        ..document::Second::default()
    });
    let found = judge::violations(&told.collect::<Vec<_>>(), &objective, &[]);
    found.first().map(|v| begin_ms + (v.onset_s * 1e3) as u64)
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Requests that a generator's pod sent, how many failed in any way, and how.
pub fn failures(story: &Story, pod: &str) -> Result<(u64, Value)> {
    let (mut sent, mut failed) = (0, Vec::new());
    for (_, second) in seconds(&log(story, pod)?)? {
        sent += second.sent;
        failed.extend((second.failures() > 0).then(|| json!({ "t_s": second.t_s, "failed": second.failed })));
    }
    Ok((sent, json!(failed)))
}

//! The main job on one machine: agent, orchestrator, sidecars, shadow, all real processes on loopback.

use foreshadow_tests::embedded::{Embedded, PATIENCE};
use foreshadow_tests::http::get;
use foreshadow_tests::programs::{alive, signal_pid, until};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

/// Snapshots of all sidecars now up.
fn snapshots(installation: &Embedded) -> Vec<foreshadow_snapshot::Snapshot> {
    let Some(workload) = installation.workload() else { return Vec::new() };
    let admins = workload["replicas"].as_array().cloned().unwrap_or_default();
    let urls = admins.iter().filter_map(|r| r["admin_url"].as_str());
    urls.filter_map(|url| get(&format!("{url}/telemetry"))).filter_map(|a| serde_json::from_str(&a.body).ok()).collect()
}

fn completed_copies(installation: &Embedded) -> u64 {
    snapshots(installation).iter().flat_map(|s| &s.mirrors).map(|m| m.completed).sum()
}

#[test]
fn the_loop_runs_and_ends_without_a_trace() {
    let mut it = Embedded::start("act");
    let mut load = it.load("load", 80, 20);
    let copies = until(PATIENCE, || Some(completed_copies(&it)).filter(|n| *n > 20));
    assert!(copies.is_some(), "no copies reached the shadow");
    let capacity = until(PATIENCE, || {
        let state = it.page("/api/v1/state")?.json();
        state.pointer("/decision/capacity_rps/p50").and_then(Value::as_f64)
    });
    assert!(capacity.is_some_and(|c| c > 5.0), "capacity is not tracked: {capacity:?}");
    while load.wait(Duration::ZERO).is_none() {
        for snapshot in snapshots(&it) {
            for mirror in &snapshot.mirrors {
                assert!(mirror.closes(), "the account of {} does not close: {mirror:?}", mirror.policy);
            }
        }
    }
    let metrics = it.page("/metrics").expect("the agent serves its metrics");
    assert!(metrics.body.contains("foreshadow_agent_"), "{}", metrics.body);
    assert!(it.page("/").expect("the live page").body.contains("<html"));

    let pids = it.pids();
    assert!(pids.len() >= 6, "two replicas with sidecars, a front, a shadow: {pids:?}");
    let mut agent = it.agent.take().expect("the agent runs");
    agent.signal(Signal::TERM);
    let status = agent.wait(PATIENCE).expect("the agent ends when asked");
    assert_eq!(status.code(), Some(0), "{}", agent.output());
    let gone = until(PATIENCE, || (!pids.iter().any(|p| alive(*p))).then_some(()));
    assert!(gone.is_some(), "left behind: {:?}", pids.iter().filter(|p| alive(**p)).collect::<Vec<_>>());
}

#[test]
fn a_killed_agent_leaves_no_floor_standing_and_resumes_with_its_history() {
    let mut it = Embedded::start("act");
    let _load = it.load("load", 60, 40);
    let known = until(PATIENCE, || it.page("/api/v1/state")?.json().pointer("/decision/capacity_rps/p50")?.as_f64());
    assert!(known.is_some(), "capacity is not tracked");
    let pids = it.pids();

    let mut agent = it.agent.take().expect("the agent runs");
    agent.signal(Signal::KILL);
    agent.wait(PATIENCE);
    assert!(it.workload().is_some(), "the orchestrator goes on without the agent");
    let expired = until(PATIENCE, || it.workload()?["scale"]["floor"].as_u64().filter(|f| *f == 0));
    assert!(expired.is_some(), "a floor outlived its TTL: {:?}", it.workload().map(|w| w["scale"].clone()));

    it.start_agent();
    let resumed = until(PATIENCE, || it.page("/api/v1/state")?.json().pointer("/decision/capacity_rps/p50")?.as_f64());
    assert!(resumed.is_some(), "the restarted agent knows nothing");
    let now: Vec<u32> = it.pids();
    assert!(pids.iter().all(|p| now.contains(p)), "instances were restarted: {pids:?} then {now:?}");

    let mut agent = it.agent.take().expect("the agent runs");
    agent.signal(Signal::TERM);
    agent.wait(PATIENCE);
    let (code, text) = it.command(&["replay", it.history().to_str().expect("text")]);
    assert_eq!(code, 0, "replay differs: {text}");
    assert!(text.contains("identical"), "{text}");
}

#[test]
fn a_killed_sidecar_loses_only_its_own_requests_in_flight() {
    let it = Embedded::start("observe");
    let mut load = it.load("load", 50, 8);
    assert!(until(PATIENCE, || snapshots(&it).iter().map(|s| s.downstream.requests).sum::<u64>().gt(&50).then_some(())).is_some());
    let workload = it.workload().expect("the orchestrator answers");
    let victim = workload["replicas"][0]["proxy_pid"].as_u64().expect("a replica has a sidecar") as u32;
    signal_pid(victim, Signal::KILL);
    load.wait(PATIENCE).expect("the generator ends by itself");
    let output = load.output();
    let summary: Value = output.lines().rev().find_map(|l| serde_json::from_str(l).ok()).expect("the generator prints a summary");
    let by_reason = summary["failed"].as_object().expect("failures are counted by reason");
    let failed: u64 = by_reason.values().filter_map(Value::as_u64).sum();
    // 50 rps x 55 ms over two replicas: one or two under way; the bound leaves room for an unlucky burst.
    assert!(failed <= 8, "{failed} requests failed: {summary}");
}

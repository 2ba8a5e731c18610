//! An arm driven against stand-ins: the agent and the generator are scripts, the orchestrator and the agent's pages are served by the test.
//! What is tested is the drive: starting, polling, scaling, recording, ending, and how failures are told.

use super::*;
use crate::demo::judge;
use crate::report::document::{Fault, Objective, Reactive};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use axum::{Json as Body, Router};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

/// What the stand-in orchestrator holds.
#[derive(Debug, Default)]
struct World {
    looks: u32,
    asked: Vec<Value>,
    url: String,
}

type Shared = Arc<Mutex<World>>;

async fn workload(State(world): State<Shared>) -> Body<Value> {
    let mut world = world.lock().unwrap();
    world.looks += 1;
    let floor = if world.looks > 3 { 4 } else { 0 };
    let replica =
        |n: u32| json!({"name": format!("r{n}"), "state": "ready", "pid": std::process::id(), "admin_url": world.url, "unknown": 1});
    Body(json!({
        "scale": {"desired": 3, "requested": 2, "floor": floor, "floor_reason": "capacity fell"},
        "front": {"url": world.url}, "replicas": [replica(1), replica(2)],
        "notes": ["limits are off"], "replica_seconds": 2.0 * f64::from(world.looks), "shadow_replica_seconds": 0.5,
    }))
}

async fn scale(State(world): State<Shared>, headers: HeaderMap, Body(body): Body<Value>) -> (StatusCode, Body<Value>) {
    if headers.get("authorization").is_none_or(|h| h != "Bearer secret") {
        return (StatusCode::UNAUTHORIZED, Body(json!({})));
    }
    world.lock().unwrap().asked.push(body);
    (StatusCode::OK, Body(json!({})))
}

async fn telemetry() -> Body<Value> {
    Body(
        json!({"proxy_id": "p", "start_time_unix_ms": 1, "mirrors": [{"policy": "m", "eligible": 10, "completed": 6, "dropped": {"sampled_out": 4}}]}),
    )
}

async fn state() -> Body<Value> {
    let alarm = json!({"kind": "capacity_falling", "since_ms": 1_000, "text": "falling"});
    let plan = json!({"floor": 4, "changed": true, "reason": "load 100 rps"});
    Body(
        json!({"decision": {"at_ms": 1_000, "capacity_rps": {"p10": 1, "p50": 2, "p90": 3}, "margin": 0.9, "plan": plan, "alarms": [alarm]}}),
    )
}

/// Serves the world; its address.
async fn serve(world: &Shared) -> u16 {
    let routes = Router::new()
        .route("/v1/workload", get(workload))
        .route("/v1/scale", put(scale))
        .route("/telemetry", get(telemetry))
        .route("/api/v1/state", get(state))
        .route("/ready", get(|| async { "ok" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    world.lock().unwrap().url = format!("http://127.0.0.1:{port}");
    let routes = routes.with_state(world.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

fn script(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn setup(dir: &Path, server_port: u16) -> Setup {
    let mut setup = crate::demo::target::Target::foreign("serve $PORT", "/work").setup(true, dir.join("arm"), server_port, 1, 0.0);
    (setup.ready_path, setup.replicas) = ("/ready".into(), 2);
    setup
}

fn schedule() -> Schedule {
    let fault =
        Fault { name: "hidden-loss".into(), start_s: 0.0, full_s: 0.1, easing_s: 100.0, end_s: 101.0, depth: 0.5, ..Fault::default() };
    Schedule { rps: vec![100.0; 21], faults: vec![fault] }
}

async fn drive(agent: &str, load: &str) -> (Result<Arm, Error>, Shared, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let world = Shared::default();
    let port = serve(&world).await;
    let locator = json!({"pid": 1, "url": format!("http://127.0.0.1:{port}"), "token": "secret"});
    script(dir.path(), "foreshadow-agent", &agent.replace("LOCATOR", &locator.to_string()));
    script(dir.path(), "foreshadow-load", load);
    let schedule = schedule();
    let binaries = Binaries::beside(dir.path());
    let order = Order {
        name: "foreshadow",
        setup: setup(dir.path(), port),
        schedule: &schedule,
        warmup_s: 0,
        reactive: Reactive { target_utilisation: 0.7, time_scale: 60.0, replica_start_s: 0.1 },
        request: Request::Known(0.1),
        binaries: &binaries,
        faults_file: Some(dir.path().join("faults.json")),
        seed: 1,
    };
    let mut fleet = Fleet::new();
    let outcome = run(&order, &mut fleet, &Ui::new()).await;
    fleet.end().await;
    assert!(fleet.left().is_empty());
    (outcome, world, dir)
}

/// Two seconds of a plan, told at once, after the poller has had time for some looks.
const LOAD: &str = r#"sleep 1.5
echo '{"type": "second", "t_s": 0, "sent": 100, "done": 100, "bad": 0}'
echo '{"type": "second", "t_s": 1, "sent": 100, "done": 100, "bad": 50, "failed": {"timeout": 2}}'
echo '{"type": "summary", "sent": 200, "done": 200, "bad": 50, "p50_ms": 3.5}'"#;
const AGENT: &str = "mkdir -p state; echo 'LOCATOR' > state/orchestrator.json; exec sleep 100";

#[tokio::test]
async fn an_arm_records_what_everybody_said() {
    let (outcome, _, dir) = drive(AGENT, LOAD).await;
    let mut arm = outcome.unwrap();
    let fault = schedule().faults;
    judge::judge_arm(&mut arm, &Objective { threshold_ms: 100.0, target_ratio: 0.99 }, &fault);
    assert_eq!((arm.requests, arm.bad), (200, 50));
    assert_eq!(arm.violations[0].fault, "hidden-loss");
    assert_eq!(arm.floor_raises.iter().map(|r| (r.from, r.to, r.effective)).collect::<Vec<_>>(), [(0, 4, true)]);
    assert!(arm.replica_seconds > 0.0);
    assert_eq!((arm.copies.eligible, arm.copies.completed, arm.copies.closes()), (10, 6, true));
    assert_eq!(arm.tracked.len(), 1);
    assert_eq!(arm.notes, ["limits are off"]);
    let faults: Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("faults.json")).unwrap()).unwrap();
    assert_eq!(faults, json!({"pool_factor": 0.5}));
}

#[tokio::test]
async fn an_agent_that_cannot_start_is_told_with_its_log() {
    let (outcome, _, _) = drive("echo 'config: line 3: no such field' >&2; exit 78", LOAD).await;
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("exit status: 78") && said.contains("line 3: no such field"), "{said}");
}

#[tokio::test]
async fn an_agent_that_dies_while_the_arm_runs_ends_it() {
    let agent = AGENT.replace("exec sleep 100", "sleep 0.5; echo gone; exit 7");
    let (outcome, _, _) = drive(&agent, "sleep 100").await;
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("ended early (exit status: 7)") && said.contains("gone"), "{said}");
}

#[tokio::test]
async fn a_generator_that_fails_is_told_with_its_log() {
    let (outcome, _, _) = drive(AGENT, "echo 'no route' >&2; exit 70").await;
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("generator failed (exit status: 70)") && said.contains("no route"), "{said}");
}

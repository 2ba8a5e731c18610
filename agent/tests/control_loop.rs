//! The control loop against a fake orchestrator and fake sidecars on real sockets: what is seen becomes a sample, what is decided is
//! recorded before it is acted on, and what is acted on arrives.

#![allow(clippy::unwrap_used)]

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use foreshadow_agent::act::Actor;
use foreshadow_agent::config::Config;
use foreshadow_agent::control_loop::{ControlLoop, Decide};
use foreshadow_agent::http::Http;
use foreshadow_agent::live::Live;
use foreshadow_agent::local::api::{Instance, Locator, Scale, SetFloor, SetShadow, State as Life, Workload};
use foreshadow_agent::metrics::Metrics;
use foreshadow_agent::notes::Notes;
use foreshadow_agent::observe::accounts::Accounts;
use foreshadow_agent::observe::align::Aligner;
use foreshadow_agent::observe::collect::Collector;
use foreshadow_agent::observe::source::Source;
use foreshadow_agent::orchestrator::Orchestrator;
use foreshadow_agent::record::{ActionKind, Record, Session};
use foreshadow_agent::store::{Limits, Reader, Store};
use foreshadow_agent::synthetic::Synthetic;
use foreshadow_brain::decision::{CopyPlan, Plan};
use foreshadow_brain::{Decision, Sample};
use foreshadow_snapshot::{ClusterRole, ClusterSnapshot, MirrorSnapshot, Snapshot};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The time, as the test sets it.
static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);

fn now_ms() -> u64 {
    NOW_MS.load(Ordering::SeqCst)
}

/// One fake world: an orchestrator and its sidecars.
#[derive(Default)]
struct World {
    workload: Workload,
    snapshots: BTreeMap<String, Option<Snapshot>>,
    calls: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

async fn serve(world: Shared) -> String {
    let router = Router::new()
        .route("/v1/workload", get(|State(w): State<Shared>| async move { Json(w.lock().unwrap().workload.clone()) }))
        .route("/v1/floor", put(set_floor).delete(clear_floor))
        .route("/v1/shadow", put(set_shadow))
        .route("/proxy/{name}/telemetry", get(telemetry))
        .route("/proxy/{name}/runtime_modify", post(runtime_modify))
        .with_state(world);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

fn authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|v| v == "Bearer secret")
}

async fn set_floor(State(w): State<Shared>, headers: HeaderMap, Json(floor): Json<SetFloor>) -> StatusCode {
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut world = w.lock().unwrap();
    world.calls.push(format!("floor {}", floor.replicas));
    world.workload.scale.floor = floor.replicas;
    world.workload.scale.floor_expires_unix_ms = now_ms() + (floor.ttl_s * 1_000.0) as u64;
    StatusCode::OK
}

async fn clear_floor(State(w): State<Shared>) -> StatusCode {
    let mut world = w.lock().unwrap();
    world.calls.push("no floor".into());
    world.workload.scale.floor = 0;
    StatusCode::OK
}

async fn set_shadow(State(w): State<Shared>, Json(shadow): Json<SetShadow>) -> StatusCode {
    let mut world = w.lock().unwrap();
    world.calls.push(format!("shadow {}", shadow.profile));
    world.workload.shadow =
        Some(Instance { name: "s-shadow".into(), profile: shadow.profile, size: 0.5, state: Life::Ready, ..Instance::default() });
    StatusCode::OK
}

async fn telemetry(State(w): State<Shared>, Path(name): Path<String>) -> Result<Json<Snapshot>, StatusCode> {
    w.lock().unwrap().snapshots.get(&name).cloned().flatten().map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn runtime_modify(State(w): State<Shared>, Path(name): Path<String>, Query(query): Query<HashMap<String, String>>) -> StatusCode {
    let mut world = w.lock().unwrap();
    world.calls.push(format!("fraction {name} {}", query["mirror.shadow"]));
    let ttl_s: u64 = query["foreshadow.ttl_s"].parse().unwrap();
    let percent: f64 = query["mirror.shadow"].parse().unwrap();
    let mirror = &mut world.snapshots.get_mut(&name).unwrap().as_mut().unwrap().mirrors[0];
    (mirror.fraction, mirror.fraction_source) = (percent / 100.0, "runtime".into());
    mirror.fraction_expires_unix_ms = now_ms() + ttl_s * 1_000;
    StatusCode::OK
}

fn snapshot(name: &str, started_ms: u64, production: u64, copies: u64) -> Snapshot {
    let cluster = |name: &str, role, good: u64| {
        let mut c =
            ClusterSnapshot { name: name.into(), role, requests: good, responses: [0, good, 0, 0, 0], ..ClusterSnapshot::default() };
        (0..good).for_each(|_| c.total_us.record_us(20_000));
        c
    };
    let mirror = MirrorSnapshot {
        runtime_key: "mirror.shadow".into(),
        eligible: copies,
        completed: copies,
        fraction_source: "file".into(),
        ..MirrorSnapshot::default()
    };
    Snapshot {
        proxy_id: name.into(),
        start_time_unix_ms: started_ms,
        clusters: vec![cluster("app", ClusterRole::Production, production), cluster("shadow", ClusterRole::Mirror, copies)],
        mirrors: vec![mirror],
        ..Snapshot::default()
    }
}

struct Bench {
    world: Shared,
    the_loop: ControlLoop,
    seen: Arc<Mutex<Vec<Sample>>>,
    plan: Arc<Mutex<(Plan, CopyPlan)>>,
    dir: tempfile::TempDir,
}

const CONFIG: &str = "
workload:
  name: s
  mode: act
  objective: { threshold_ms: 150 }
  bounds: { min_replicas: 1, max_replicas: 8 }
  actuation: { floor_ttl_s: 30 }
discovery: { local: { app: { command: serve $PORT } } }
";

impl Bench {
    async fn new() -> Self {
        let world = Shared::default();
        let url = serve(world.clone()).await;
        let instance = |name: &str| Instance {
            name: name.into(),
            state: Life::Ready,
            admin_url: Some(format!("{url}/proxy/{name}")),
            ..Instance::default()
        };
        {
            let mut w = world.lock().unwrap();
            let replicas = vec![instance("a"), instance("b")];
            w.workload = Workload {
                name: "s".into(),
                replicas,
                scale: Scale { desired: 2, min: 1, max: 8, ..Scale::default() },
                ..Workload::default()
            };
            for name in ["a", "b"] {
                w.snapshots.insert(name.into(), Some(snapshot(name, 1, 100, 10)));
            }
        }
        let config: Config = foreshadow_agent::config::parse(CONFIG, "test.yaml").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("h.redb"), Limits { keep: Duration::from_secs(3_600), max_bytes: 1 << 20 }).unwrap();
        let session = Session {
            id: 0,
            started_ms: now_ms(),
            workload: "s".into(),
            mode: config.workload.mode,
            settings: config.workload.settings.clone(),
            warm_from_seq: 0,
            first_seq: 0,
            version: "test".into(),
        };
        let session = store.begin_session(session, None).unwrap();
        let (seen, plan) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((Plan::default(), CopyPlan::default()))));
        let (see, planned) = (seen.clone(), plan.clone());
        let decide: Decide = Box::new(move |sample| {
            see.lock().unwrap().push(sample.clone());
            let (plan, copies) = planned.lock().unwrap().clone();
            Decision { at_ms: sample.at_ms, plan, copies, ..Decision::default() }
        });
        let http = Http::default();
        let orchestrator = Orchestrator::new(http.clone(), Locator { pid: 1, url, token: "secret".into(), spec: String::new() });
        let source = Source::Local(orchestrator.clone());
        let synthetic = Synthetic::start(http.clone(), 150.0, Vec::new());
        let the_loop = ControlLoop {
            clock: now_ms,
            collector: Box::new(Collector::new(source, http.clone(), Duration::from_secs(5))),
            aligner: Aligner::new(150.0, now_ms()),
            accounts: Accounts::default(),
            decide: Arc::new(Mutex::new(decide)),
            store: Arc::new(Mutex::new(store)),
            actor: Actor::new(&config, http, Some(orchestrator), Some(synthetic.clone())),
            synthetic,
            live: Live::default(),
            metrics: Arc::new(Metrics::new().unwrap()),
            session,
            recorded_floor: None,
            pending: Vec::new(),
            notes: Notes::default(),
            ticks: 0,
        };
        Self { world, the_loop, seen, plan, dir }
    }

    async fn tick(&mut self) -> Sample {
        NOW_MS.fetch_add(1_000, Ordering::SeqCst);
        self.the_loop.tick().await;
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn set(&self, name: &str, snapshot: Option<Snapshot>) {
        let mut world = self.world.lock().unwrap();
        let mirror = world.snapshots[name].as_ref().map(|s| s.mirrors[0].clone());
        let snapshot = snapshot.map(|mut new| {
            if let Some(old) = mirror {
                let m = &mut new.mirrors[0];
                (m.fraction, m.fraction_source, m.fraction_expires_unix_ms) =
                    (old.fraction, old.fraction_source, old.fraction_expires_unix_ms);
            }
            new
        });
        world.snapshots.insert(name.into(), snapshot);
    }

    fn calls(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut self.world.lock().unwrap().calls);
        calls.sort();
        calls
    }
}

/// One test: the clock is shared.
#[tokio::test]
async fn one_workload_from_first_look_to_withdrawal() {
    let mut it = Bench::new().await;

    // What was there before the agent is a baseline, not load; the shadow is created on its own.
    let first = it.tick().await;
    assert_eq!((first.production, first.scale.ready), (None, 2));
    assert_eq!(it.calls(), ["fraction a 0.0000", "fraction b 0.0000", "shadow cpu-half"]);

    // Both sidecars moved: sums over both, over the same interval.
    it.set("a", Some(snapshot("a", 1, 140, 14)));
    it.set("b", Some(snapshot("b", 1, 160, 16)));
    *it.plan.lock().unwrap() =
        (Plan { floor: Some(4), reason: "load rises".into(), ..Plan::default() }, CopyPlan { fraction: 0.25, ..CopyPlan::default() });
    let whole = it.tick().await;
    let (production, shadow) = (whole.production.unwrap(), whole.shadow.unwrap());
    assert_eq!((production.requests, production.arrivals, whole.interval_ms), (100, 100, 1_000));
    assert_eq!((shadow.path.requests, shadow.profile.as_str()), (10, "cpu-half"));
    assert_eq!(it.calls(), ["floor 4", "fraction a 25.0000", "fraction b 25.0000"]);

    // A sidecar that misses a poll is a gap on both sides, and nothing is lost afterwards.
    let missing = it.world.lock().unwrap().snapshots["b"].clone();
    it.set("a", Some(snapshot("a", 1, 150, 15)));
    it.set("b", None);
    let gap = it.tick().await;
    assert_eq!((gap.production, gap.shadow), (None, None));
    assert_eq!(it.calls(), [""; 0], "nothing to renew yet, and a floor that stands is not set again");
    it.world.lock().unwrap().snapshots.insert("b".into(), missing);
    it.set("b", Some(snapshot("b", 1, 200, 20)));
    it.set("a", Some(snapshot("a", 1, 160, 16)));
    let whole = it.tick().await;
    assert_eq!((whole.production.unwrap().requests, whole.interval_ms), (60, 2_000));

    // A sidecar that restarted counts from its own beginning and gets the fraction again at once.
    it.calls();
    it.world.lock().unwrap().snapshots.insert("b".into(), Some(snapshot("b", now_ms(), 7, 0)));
    let restarted = it.tick().await;
    assert_eq!(restarted.production.unwrap().requests, 7);
    assert_eq!(it.calls(), ["fraction b 25.0000"]);

    // The floor is renewed in time, then withdrawn when the plan no longer wants it.
    NOW_MS.fetch_add(20_000, Ordering::SeqCst);
    it.tick().await;
    assert!(it.calls().contains(&"floor 4".to_owned()));
    it.plan.lock().unwrap().0 = Plan { reason: "load fell".into(), ..Plan::default() };
    it.tick().await;
    assert!(it.calls().contains(&"no floor".to_owned()));

    // All of it is recorded, in order, and can be read while the loop still has the database open.
    let mut floors = Vec::new();
    let mut decisions = 0;
    Reader::open(&it.dir.path().join("h.redb"))
        .unwrap()
        .for_each(|record| {
            match record {
                Record::Action { action, .. } => match action.kind {
                    ActionKind::SetFloor { from, replicas, renewal, .. } => floors.push((from, replicas, renewal, action.reason)),
                    ActionKind::WithdrawFloor { from } => floors.push((from, 0, false, action.reason)),
                    _ => {}
                },
                Record::Decision { .. } => decisions += 1,
                _ => {}
            }
            true
        })
        .unwrap();
    let expected = [(0, 4, false, "load rises"), (4, 4, true, "load rises"), (4, 0, false, "load fell")];
    assert_eq!(floors, expected.map(|(from, to, renewal, why)| (from, to, renewal, why.to_owned())));
    assert_eq!(decisions, 7);
}

//! Node agents on a real API server, without a kubelet: pods whose sidecars are small servers on loopback, two agents, reports over TLS,
//! hand-over with what was recorded, sidecars told through their own node.

use crate::scene::{Scene, eventually};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use foreshadow_agent::http::HttpError;
use foreshadow_agent::kubernetes::crd::ShadowScaler;
use foreshadow_agent::kubernetes::lease::Contact;
use foreshadow_agent::kubernetes::node::desk::{self, Counter, Desk};
use foreshadow_agent::kubernetes::node::peer::{Peer, Token};
use foreshadow_agent::kubernetes::node::pin::Identity;
use foreshadow_agent::kubernetes::node::tls::TlsListener;
use foreshadow_agent::kubernetes::node::tokens::Tokens;
use foreshadow_agent::kubernetes::node::wire::Report;
use foreshadow_agent::kubernetes::node::{self, Settings};
use foreshadow_cluster::api;
use foreshadow_snapshot::{ClusterRole, ClusterSnapshot, MirrorSnapshot, Snapshot};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

async fn account(client: &Client, namespace: &str, name: &str) {
    let account: ServiceAccount = serde_json::from_value(json!({ "metadata": { "name": name } })).expect("an account");
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &account).await.expect("created");
}

async fn serve_desk(client: &Client, namespace: &str) -> (Desk, Contact) {
    let identity = Identity::create("test").expect("a key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let contact = Contact { url: format!("https://{}", listener.local_addr().expect("bound")), certificate: identity.fingerprint };
    let user = format!("system:serviceaccount:{namespace}:foreshadow-node");
    let (desk, tokens) = (Desk::default(), Arc::new(Tokens::new(client.clone(), user)));
    let samples: desk::Samples = Arc::new(|_, _, _| Box::pin(std::future::ready(Vec::new())));
    let counter = Counter { desk: desk.clone(), tokens, samples, clock: || 1_000 };
    let tls = TlsListener::new(listener, identity.server).expect("bound");
    tokio::spawn(axum::serve(tls, desk::router(counter)).into_future());
    (desk, contact)
}

fn report() -> Report {
    Report { node: "n1".into(), agent: "a1".into(), sequence: 1, workloads: [("x/y".to_owned(), Vec::new())].into() }
}

#[tokio::test]
async fn only_our_own_account_with_our_audience_reports_and_only_to_the_pinned_certificate() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("desk").await);
    account(&client, &namespace, "foreshadow-node").await;
    account(&client, &namespace, "somebody").await;
    let (_, contact) = serve_desk(&client, &namespace).await;
    let dir = tempfile::tempdir().expect("a directory");
    let peer = |name: &str, token: &str, contact: &Contact| {
        let path = dir.path().join(name);
        std::fs::write(&path, token).expect("written");
        Peer::new(contact.clone(), Token::new(&path)).expect("TLS")
    };
    let ours = server.token(&namespace, "foreshadow-node", "foreshadow").await;
    let answer = peer("ours", &ours, &contact).report(&report()).await.expect("let in");
    assert_eq!(answer.not_held, ["x/y"]);
    let turned = async |name: &str, token: &str| match peer(name, token, &contact).report(&report()).await {
        Err(HttpError::Status { status, text }) => (status, text),
        other => panic!("{name}: {other:?}"),
    };
    let other_audience = server.token(&namespace, "foreshadow-node", "").await;
    assert_eq!(turned("audience", &other_audience).await.0, StatusCode::FORBIDDEN);
    let (status, why) = turned("account", &server.token(&namespace, "somebody", "foreshadow").await).await;
    assert!(status == StatusCode::FORBIDDEN && why.contains("somebody is not"), "{why}");
    assert_eq!(turned("nonsense", "abc").await.0, StatusCode::FORBIDDEN);
    let impostor = Contact { certificate: "0".repeat(64), ..contact.clone() };
    let refused = peer("ours", &ours, &impostor).report(&report()).await.expect_err("another certificate");
    assert!(matches!(refused, HttpError::Transport(_)), "{refused:?}");
}

/// A sidecar's access port, as injection sets it up: telemetry and runtime for who knows the pod's uid.
#[derive(Clone, Default)]
struct Sidecar {
    uid: String,
    told: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<u64>>,
}

impl Sidecar {
    async fn start(&self, ip: &str) {
        let router =
            Router::new().route("/telemetry", get(telemetry)).route("/runtime_modify", post(runtime_modify)).with_state(self.clone());
        let listener = TcpListener::bind((ip, 17_020)).await.expect("an address of loopback");
        tokio::spawn(axum::serve(listener, router).into_future());
    }
}

fn knows(sidecar: &Sidecar, headers: &HeaderMap) -> Result<(), StatusCode> {
    if headers.get("x-foreshadow-pod").is_some_and(|v| v == sidecar.uid.as_str()) { Ok(()) } else { Err(StatusCode::NOT_FOUND) }
}

async fn telemetry(State(sidecar): State<Sidecar>, headers: HeaderMap) -> Result<Json<Snapshot>, StatusCode> {
    knows(&sidecar, &headers)?;
    let mut requests = sidecar.requests.lock().expect("not poisoned");
    *requests += 20;
    let mut cluster =
        ClusterSnapshot { name: "application".into(), role: ClusterRole::Production, requests: *requests, ..ClusterSnapshot::default() };
    cluster.responses[1] = *requests;
    (0..*requests).for_each(|_| cluster.total_us.record_us(20_000));
    let mirror = MirrorSnapshot {
        runtime_key: "mirror.shadow".into(),
        cluster: "shadow".into(),
        fraction: 0.1,
        fraction_source: "file".into(),
        ..MirrorSnapshot::default()
    };
    Ok(Json(Snapshot {
        proxy_id: sidecar.uid.clone(),
        start_time_unix_ms: 1,
        clusters: vec![cluster],
        mirrors: vec![mirror],
        ..Snapshot::default()
    }))
}

async fn runtime_modify(
    State(sidecar): State<Sidecar>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Result<(), StatusCode> {
    knows(&sidecar, &headers)?;
    sidecar.told.lock().expect("not poisoned").push(query.get("mirror.shadow").cloned().unwrap_or_default());
    Ok(())
}

/// A pod as a kubelet would have it running on `node`.
async fn run_pod(client: &Client, namespace: &str, name: &str, node: &str, ip: &str) -> Sidecar {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = json!({
        "metadata": { "name": name, "labels": { "app": "web", "pod-template-hash": "r1", "foreshadow.dev/sidecar": "true" },
            "annotations": { "foreshadow.dev/workload": "Deployment/web" } },
        "spec": { "nodeName": node, "containers": [{ "name": "app", "image": "app:1" }, { "name": "foreshadow-proxy", "image": "p:1" }] } });
    let made = pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("created");
    let status = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z" }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
    let sidecar = Sidecar { uid: made.metadata.uid.expect("a uid"), ..Sidecar::default() };
    sidecar.start(ip).await;
    sidecar
}

/// The agents that are ready, as the endpoint controller would say.
async fn set_agents(client: &Client, namespace: &str, agents: &[&str]) {
    let endpoint = |name: &&str| json!({ "addresses": ["10.1.1.1"], "conditions": { "ready": true }, "targetRef": { "kind": "Pod", "name": name, "namespace": namespace } });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "foreshadow-node-1", "labels": { "kubernetes.io/service-name": "foreshadow-node" } },
        "ports": [{ "name": "report", "port": 17443 }],
        "endpoints": agents.iter().map(endpoint).collect::<Vec<_>>() });
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    api.patch("foreshadow-node-1", &PatchParams::apply("test").force(), &Patch::Apply(&slice)).await.expect("applied");
}

struct Agent {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), node::NodeError>>,
}

fn start_agent(client: &Client, namespace: &str, name: &str, node: &str, dir: &Path) -> Agent {
    let settings = Settings {
        node: node.into(),
        pod: name.into(),
        namespace: namespace.into(),
        address: [127, 0, 0, 1].into(),
        report_port: 0,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        cgroup_root: "/sys/fs/cgroup".into(),
        state_dir: dir.join(name),
        token_file: dir.join("token"),
        service: "foreshadow-node".into(),
        service_account: "foreshadow-node".into(),
    };
    let (stop, stopped) = watch::channel(false);
    Agent { stop, task: tokio::spawn(node::run(client.clone(), settings, stopped)) }
}

async fn holder(client: &Client, namespace: &str) -> BTreeMap<String, String> {
    let leases = Api::<Lease>::namespaced(client.clone(), namespace).list(&ListParams::default()).await.expect("listed");
    let pair = |lease: Lease| {
        let workload = lease.metadata.annotations?.remove("foreshadow.dev/workload")?;
        Some((workload, lease.spec?.holder_identity?))
    };
    leases.items.into_iter().filter_map(pair).collect()
}

async fn status(scene: &Scene) -> foreshadow_agent::kubernetes::crd::status::ShadowScalerStatus {
    let api: Api<ShadowScaler> = Api::namespaced(scene.client.clone(), &scene.namespace);
    api.get("web").await.expect("there").status.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_report_to_one_holder_which_hands_over_what_it_has_seen() {
    let Some(server) = api::own().await else { return };
    let scene = Scene::new(&server, "agents").await;
    let (client, namespace) = (&scene.client, scene.namespace.as_str());
    account(client, namespace, "foreshadow-node").await;
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("token"), server.token(namespace, "foreshadow-node", "foreshadow").await).expect("written");
    let sidecars =
        [run_pod(client, namespace, "web-1", "n1", "127.77.1.1").await, run_pod(client, namespace, "web-2", "n2", "127.77.1.2").await];
    set_agents(client, namespace, &["agent-1", "agent-2"]).await;
    let mut agents: BTreeMap<&str, Agent> = [("agent-1", "n1"), ("agent-2", "n2")]
        .into_iter()
        .map(|(name, node)| (name, start_agent(client, namespace, name, node, dir.path())))
        .collect();

    // Both pods are seen by one holder, whichever it is: one of them came over the wire.
    eventually(Duration::from_secs(90), async || status(&scene).await.replicas == Some(2)).await;
    let before = status(&scene).await.holder.expect("somebody holds it");
    assert_eq!(holder(client, namespace).await.get(&scene.workload), Some(&before));
    eventually(Duration::from_secs(60), async || {
        status(&scene).await.conditions.iter().any(|c| c.type_ == "Observing" && c.status == "True")
    })
    .await;
    // Without a shadow nothing is to be copied: each sidecar is told so by its own node, with its own pod's uid.
    eventually(Duration::from_secs(60), async || {
        sidecars.iter().all(|s| s.told.lock().expect("not poisoned").first().is_some_and(|told| told.starts_with('0')))
    })
    .await;

    let going = agents.remove(before.as_str()).expect("one of the two");
    let staying = agents.keys().next().expect("the other").to_string();
    let samples_before = tokio::time::Instant::now();
    going.stop.send_replace(true);
    set_agents(client, namespace, &[&staying]).await;
    eventually(Duration::from_secs(60), async || holder(client, namespace).await.get(&scene.workload) == Some(&staying)).await;
    assert!(samples_before.elapsed() < Duration::from_secs(29), "let go, not expired");
    // It has ticked itself: before its first sample a holder says nothing of replicas.
    eventually(Duration::from_secs(60), async || {
        let status = status(&scene).await;
        status.holder.as_deref() == Some(staying.as_str()) && status.replicas.is_some()
    })
    .await;
    going.task.await.expect("no panic").expect("a clean end");
    let stayed = agents.remove(staying.as_str()).expect("there");
    stayed.stop.send_replace(true);
    stayed.task.await.expect("no panic").expect("a clean end");
    let history = node::holding::history(&dir.path().join(&staying), &scene.workload);
    // Its own history begins with samples that it never took itself. The last ones are written when the last of its tasks has ended.
    eventually(Duration::from_secs(10), async || {
        let (adopted, own) = recorded(&history);
        adopted > 0 && own > 0
    })
    .await;
    let free = holder(client, namespace).await;
    assert_eq!(free.get(&scene.workload).map(String::as_str), Some(""), "let go");
}

/// Samples before and after the first session began.
fn recorded(path: &Path) -> (usize, usize) {
    use foreshadow_agent::record::Record;
    let (mut adopted, mut own) = (0, 0);
    let mut first = u64::MAX;
    let reader = foreshadow_agent::store::Reader::open(path).expect("a history");
    let mut records = Vec::new();
    reader
        .for_each(|record| {
            records.push(record);
            true
        })
        .expect("readable");
    for record in &records {
        if let Record::Session { session } = record {
            first = first.min(session.first_seq);
        }
    }
    for record in &records {
        if let Record::Sample { seq, .. } = record {
            if *seq < first { adopted += 1 } else { own += 1 }
        }
    }
    (adopted, own)
}

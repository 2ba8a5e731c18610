//! What a node agent costs: 110 pods looked at and reported once a second. `cargo bench -p foreshadow-agent --bench node`.
//!
//! A second process (this program again) plays 110 sidecars with full histograms on loopback and the holder behind TLS, so that their cost is
//! not counted. Control groups are files of the kernel's form in a temporary directory. Prints a table and, with `BENCH_JSON=FILE`, writes
//! it; the bar is 5 % of a core and 100 MB. Not a test: figures of a busy machine are figures of a busy machine.

#![allow(clippy::unwrap_used, missing_docs)]

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router};
use foreshadow_agent::http::Http;
use foreshadow_agent::kubernetes::lease::Contact;
use foreshadow_agent::kubernetes::node::groups::Class;
use foreshadow_agent::kubernetes::node::peer::{Peer, Token};
use foreshadow_agent::kubernetes::node::pin::Identity;
use foreshadow_agent::kubernetes::node::pods::Local;
use foreshadow_agent::kubernetes::node::scrape::Scraper;
use foreshadow_agent::kubernetes::node::tls::TlsListener;
use foreshadow_agent::kubernetes::node::wire::{Orders, Report};
use foreshadow_agent::local::api::{Instance, State};
use foreshadow_snapshot::{ClusterRole, ClusterSnapshot, MirrorSnapshot, Snapshot};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PODS: u8 = 110;
const SECONDS: u64 = 20;
const CHILD: &str = "FORESHADOW_BENCH_SIDECARS";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if std::env::var_os(CHILD).is_some() {
        runtime.block_on(play_the_others());
    } else {
        runtime.block_on(measure());
    }
}

fn ip(index: u8) -> String {
    format!("127.78.1.{}", index + 1)
}

/// A sidecar that has served 100,000 requests of all durations on two paths.
fn snapshot() -> String {
    let cluster = |name: &str, role| {
        let mut c = ClusterSnapshot { name: name.into(), role, requests: 100_000, ..ClusterSnapshot::default() };
        c.responses[1] = 100_000;
        for i in 0..100_000_u64 {
            let us = 500 + (i * i) % 400_000;
            c.total_us.record_us(us);
            c.first_byte_us.record_us(us / 2);
        }
        c
    };
    let clusters = vec![cluster("application", ClusterRole::Production), cluster("shadow", ClusterRole::Mirror)];
    serde_json::to_string(&Snapshot { clusters, mirrors: vec![MirrorSnapshot::default()], ..Snapshot::default() }).unwrap()
}

async fn play_the_others() {
    let text: Arc<str> = snapshot().into();
    for index in 0..PODS {
        let text = text.clone();
        let router = Router::new().route("/telemetry", get(move || async move { text.to_string() }));
        let listener = tokio::net::TcpListener::bind((ip(index), 17_020)).await.unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
    }
    let identity = Identity::create("bench").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("https://{} {} {}", listener.local_addr().unwrap(), identity.fingerprint, text.len());
    let router =
        Router::new().route("/v1/report", post(|_: bytes::Bytes| async { Json(Orders::default()) })).layer(DefaultBodyLimit::disable());
    axum::serve(TlsListener::new(listener, identity.server).unwrap(), router).await.unwrap();
}

fn groups(root: &Path) {
    std::fs::write(root.join("cgroup.controllers"), "cpu memory").unwrap();
    for index in 0..PODS {
        let dir = root.join(format!("kubepods/burstable/pod{index}/c{index}"));
        std::fs::create_dir_all(&dir).unwrap();
        let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";
        let memory: String = (0..40).map(|i| format!("field_{i} 123456\n")).collect();
        let files = [
            ("cgroup.procs", "1\n".to_owned()),
            ("cpu.stat", "usage_usec 5\nuser_usec 1\nsystem_usec 2\nnr_periods 4\nnr_throttled 1\nthrottled_usec 9\n".into()),
            ("memory.current", "9000000\n".into()),
            ("memory.stat", memory + "inactive_file 4000\n"),
        ];
        files.iter().for_each(|(name, text)| std::fs::write(dir.join(name), text).unwrap());
        ["cpu", "memory", "io"].iter().for_each(|what| std::fs::write(dir.join(format!("{what}.pressure")), pressure).unwrap());
    }
}

fn pod(index: u8) -> Arc<Local> {
    let instance = Instance {
        name: format!("web-{index}"),
        admin_url: Some(format!("http://{}:17020", ip(index))),
        state: State::Ready,
        ..Instance::default()
    };
    let (uid, containers) = (index.to_string(), vec![format!("c{index}")]);
    let workload = format!("shop/web-{}", index / 10);
    Arc::new(Local { workload, instance, shadow: false, release: "r".into(), uid, class: Class::Burstable, containers })
}

/// Processor time of this process so far, and its resident memory in bytes.
fn cost() -> (Duration, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split_whitespace().collect();
    let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse::<u64>().ok()).unwrap();
    (Duration::from_millis(ticks * 10), resident * 1_024)
}

async fn measure() {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program).env(CHILD, "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Vec<&str> = line.split_whitespace().collect();
    let dir = tempfile::tempdir().unwrap();
    groups(dir.path());
    std::fs::write(dir.path().join("token"), "t").unwrap();
    let contact = Contact { url: said[0].into(), certificate: said[1].into() };
    let peer = Peer::new(contact, Token::new(&dir.path().join("token"))).unwrap();
    let mut scraper = Scraper::new(Http::default(), dir.path().to_owned());
    let pods: Vec<Arc<Local>> = (0..PODS).map(pod).collect();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut began, mut before, mut missing) = (Instant::now(), cost(), 0);
    for second in 0..=SECONDS + 2 {
        ticks.tick().await;
        if second == 2 {
            (began, before, missing) = (Instant::now(), cost(), 0);
        }
        let workloads = scraper.look(&pods).await;
        missing += workloads.values().flatten().filter(|p| p.snapshot.is_none() || p.usage.is_none()).count();
        peer.report(&Report { node: "n".into(), agent: "a".into(), sequence: second, workloads }).await.unwrap();
    }
    let (spent, resident) = cost();
    let share = (spent - before.0).as_secs_f64() / began.elapsed().as_secs_f64();
    child.kill().unwrap();
    child.wait().unwrap();
    println!("pods {PODS}, snapshot {} bytes, {SECONDS} s, looks without an answer {missing}", said[2]);
    println!("processor  {:.2} % of one core   (bar 5 %)", share * 100.0);
    println!("memory     {:.1} MB resident      (bar 100 MB)", resident as f64 / 1e6);
    if let Some(file) = std::env::var_os("BENCH_JSON") {
        let table = json!({ "pods": PODS, "cpu_ratio": share, "resident_bytes": resident, "missing": missing, "snapshot_bytes": said[2] });
        std::fs::write(file, table.to_string()).unwrap();
    }
}

//! Programs played by this test program: `STAND_IN="app|proxy|orchestrate ..." <test program> standin::stand_in --exact`.

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A shell command that runs this program as `role`; the role's arguments follow.
pub fn command(role: &str) -> String {
    let exe = std::env::current_exe().unwrap();
    format!("STAND_IN=\"{role} $*\" exec '{}' standin::stand_in --exact --nocapture --quiet", exe.display())
}

#[test]
fn stand_in() {
    let Ok(line) = std::env::var("STAND_IN") else { return };
    let words: Vec<&str> = line.split_whitespace().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let code = match words[0] {
        "app" => runtime.block_on(app()),
        "proxy" => runtime.block_on(proxy(&words[1..])),
        "orchestrate" => runtime.block_on(orchestrate(words.last().unwrap())),
        other => panic!("unknown stand-in {other}"),
    };
    std::process::exit(code);
}

async fn orchestrate(spec: &str) -> i32 {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let run = async {
        let spec = foreshadow_agent::local::spec::Spec::load(spec.as_ref())?;
        foreshadow_agent::local::orchestrate(spec).await
    };
    match run.await {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            e.exit_code().into()
        }
    }
}

/// `/healthz`, `/env`, `/work?ms=N`, `/escape` (starts a daemon that leaves the process group). SIGTERM: finishes, then ends.
async fn app() -> i32 {
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let port: u16 = env("PORT").parse().unwrap();
    let names = ["PORT", "FORESHADOW_ROLE", "CPU_LIMIT_MILLIS", "MEMORY_LIMIT_BYTES", "COLOUR"];
    let told = json!(names.iter().map(|n| (*n, env(n))).collect::<HashMap<_, _>>()).to_string();
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/env", get(async move || told))
        .route("/work", get(work))
        .route("/escape", get(escape));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, router).with_graceful_shutdown(terminated()).await.unwrap();
    0
}

async fn work(Query(q): Query<HashMap<String, u64>>) -> String {
    tokio::time::sleep(Duration::from_millis(q.get("ms").copied().unwrap_or(0))).await;
    std::process::id().to_string()
}

async fn escape() -> String {
    use std::os::unix::process::CommandExt as _;
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "trap '' TERM; sleep 1000; sleep 1000"]).process_group(0);
    child.spawn().unwrap().id().to_string()
}

async fn terminated() {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap().recv().await;
}

/// What of a proxy the orchestrator relies on: listener, cluster or endpoint file, admin address, in-flight count, drain.
struct Proxy {
    name: String,
    fixed: Vec<u16>,
    file: Option<String>,
    open: AtomicU64,
    turn: AtomicU64,
}

impl Proxy {
    fn endpoints(&self) -> Vec<u16> {
        self.file.as_ref().map_or_else(|| self.fixed.clone(), |file| ports(&std::fs::read_to_string(file).unwrap_or_default()))
    }
}

fn ports(text: &str) -> Vec<u16> {
    let after = text.split("port_value: ").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()).collect()
}

async fn proxy(arguments: &[&str]) -> i32 {
    let option = |name: &str| arguments.iter().position(|a| *a == name).map(|i| arguments[i + 1]).unwrap();
    let text = std::fs::read_to_string(option("--config-path")).unwrap();
    let (listeners, clusters) = text.split_once("  clusters:\n").unwrap();
    let first = clusters.split("  - name: ").nth(1).unwrap();
    let proxy = Arc::new(Proxy {
        name: first.lines().next().unwrap().to_owned(),
        fixed: ports(first),
        file: first.split("path: \"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
        open: AtomicU64::new(0),
        turn: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", *ports(listeners).last().unwrap())).await.unwrap();
    let admin = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = admin.local_addr().unwrap();
    let router = Router::new().route("/telemetry", get(telemetry)).with_state(proxy.clone());
    tokio::spawn(async move { axum::serve(admin, router).await });
    std::fs::write(option("--admin-address-path"), address.to_string()).unwrap();
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(carry(proxy.clone(), stream));
        }
    };
    tokio::select! { () = accept => {}, () = terminated() => {} }
    let limit = Duration::from_secs(option("--drain-time-s").parse().unwrap());
    let quiet = async {
        while proxy.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(limit, quiet).await;
    0
}

async fn carry(proxy: Arc<Proxy>, mut client: TcpStream) {
    let endpoints = proxy.endpoints();
    if endpoints.is_empty() {
        return;
    }
    proxy.open.fetch_add(1, Ordering::SeqCst);
    let turn = proxy.turn.fetch_add(1, Ordering::SeqCst) as usize;
    if let Ok(mut upstream) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], endpoints[turn % endpoints.len()]))).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    }
    proxy.open.fetch_sub(1, Ordering::SeqCst);
}

async fn telemetry(State(proxy): State<Arc<Proxy>>) -> String {
    let endpoints: Vec<String> = proxy.endpoints().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    json!({ "clusters": [{ "name": proxy.name, "in_flight": proxy.open.load(Ordering::SeqCst), "endpoints": endpoints }] }).to_string()
}

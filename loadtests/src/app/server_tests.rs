//! The application on a real socket: its bottleneck, its faults, its start and its end.

use super::*;
use crate::app::state::Stats;
use crate::generator::{Failure, Plan, Summary, run};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<Ended>>,
}

/// Little work, so that these tests measure waiting, not the machine.
fn settings() -> Settings {
    Settings { cpu: Duration::ZERO, request_bytes: 1, io: Duration::from_millis(20), workers: 4, ..Settings::default() }
}

async fn start(settings: Settings, faults: Option<PathBuf>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let signal = async {
        let _ = stopped.await;
    };
    let ended = tokio::spawn(serve(settings, faults, listener, signal, Duration::from_secs(5)));
    Running { address, stop, ended }
}

async fn started(settings: Settings, faults: Option<PathBuf>) -> Running {
    let app = start(settings, faults).await;
    app.until(|app| async move { app.ask("GET", "/healthz", "").await.0 == 200 }).await;
    app
}

impl Running {
    /// Status and body of one request on a connection of its own.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    async fn stats(&self) -> Stats {
        serde_json::from_str(&self.ask("GET", "/stats", "").await.1).unwrap()
    }

    /// Asks again until it holds; fails after a minute.
    async fn until<'a, F: Future<Output = bool>>(&'a self, holds: impl Fn(&'a Self) -> F) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !holds(self).await {
            assert!(tokio::time::Instant::now() < deadline, "it never held");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Requests a second that a saturated instance completes, and the run's summary.
    async fn saturated(&self, rps: f64) -> (f64, Summary) {
        let mut plan = Plan::constant(&format!("http://{}/work", self.address), rps, 0.8).unwrap();
        plan.timeout_ms = 20_000.0;
        let before = self.stats().await.served;
        let began = tokio::time::Instant::now();
        let summary = run(&plan, |_| ()).await.unwrap();
        let served = self.stats().await.served - before;
        (served as f64 / began.elapsed().as_secs_f64(), summary)
    }
}

#[tokio::test]
async fn capacity_is_the_pool_and_halves_with_it() {
    // 4 workers of 20 ms are 200 a second; 350 are offered, and the queue takes what the run leaves over.
    let app = started(Settings { queue: 10_000, ..settings() }, None).await;
    let (whole, summary) = app.saturated(350.0).await;
    assert_eq!(summary.failed.len(), 0);
    assert_eq!(app.ask("POST", "/faults", r#"{"pool_factor":0.5}"#).await.0, 200);
    let (half, _) = app.saturated(175.0).await;
    assert_eq!(app.stats().await.pool, 2.0);
    // A busy machine lets workers wait for their turn, hence the width; more than the pool can do is never done.
    assert!(whole > 50.0 && whole < 215.0, "{whole} a second with 4 workers of 20 ms");
    assert!(half / whole < 0.8 && half < 110.0, "{half} of {whole}");
    assert_eq!(app.ask("DELETE", "/faults", "").await.0, 204);
    assert_eq!(app.stats().await.pool, 4.0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let app = started(Settings { workers: 1, queue: 2, io: Duration::from_millis(200), ..settings() }, None).await;
    let (_, summary) = app.saturated(100.0).await;
    let stats = app.stats().await;
    assert_eq!(summary.failed[&Failure::ServerError], stats.refused_full);
    assert_eq!(stats.refused_full + stats.served, summary.sent);
    assert!(stats.refused_full > summary.sent / 2 && stats.busy == 0 && stats.queue == 0, "{stats:?}");
}

#[tokio::test]
async fn classes_and_faults_change_what_a_request_costs() {
    let app = started(Settings { io: Duration::from_millis(40), ..settings() }, None).await;
    let fastest = |path: &'static str| {
        let app = &app;
        async move {
            let mut best = f64::MAX;
            for _ in 0..5 {
                let began = tokio::time::Instant::now();
                assert_eq!(app.ask("GET", path, "").await.0, 200);
                best = best.min(began.elapsed().as_secs_f64() * 1e3);
            }
            best
        }
    };
    let (cheap, costly) = (fastest("/work?class=cheap").await, fastest("/work?class=costly").await);
    assert!(costly > 1.5 * cheap && costly > 50.0, "{cheap} and {costly} ms");
    app.ask("POST", "/faults", r#"{"cost_factor":{"cheap":6}, "dependency_ms":100}"#).await;
    let slow = fastest("/work?class=cheap").await;
    assert!(slow > 100.0 + 2.0 * cheap, "{slow} after {cheap} ms");
    assert_eq!(app.ask("GET", "/work?class=free", "").await.0, 400);
    let refused = app.ask("POST", "/faults", r#"{"pool_factor":2}"#).await;
    assert!(refused.0 == 400 && refused.1.contains("pool_factor"), "{refused:?}");
    assert_eq!(app.stats().await.faults_refused, 1);
    assert!(app.ask("GET", "/faults", "").await.1.contains(r#""dependency_ms":100.0"#), "the faults before still stand");
}

#[tokio::test]
async fn the_faults_file_is_followed_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.json");
    let replace = |text: &str| {
        std::fs::write(file.with_extension("next"), text).unwrap();
        std::fs::rename(file.with_extension("next"), &file).unwrap();
    };
    replace(r#"{"pool_factor":0.25}"#);
    let app = started(settings(), Some(file.clone())).await;
    app.until(|app| async move { app.stats().await.pool == 1.0 }).await;
    replace("{");
    app.until(|app| async move { app.stats().await.faults_refused == 1 }).await;
    assert_eq!(app.stats().await.pool, 1.0);
    replace(r#"{"pool_factor":0.5,"leak_mib_per_s":200}"#);
    app.until(|app| async move { app.stats().await.leaked_bytes > 4 << 20 }).await;
    std::fs::remove_file(&file).unwrap();
    app.until(|app| async move { app.stats().await.pool == 4.0 }).await;
}

#[tokio::test]
async fn it_is_not_ready_before_its_start_delay_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.json");
    std::fs::write(&file, r#"{"start_delay_s":0.2}"#).unwrap();
    let began = tokio::time::Instant::now();
    let app = start(Settings { start_delay: Duration::from_millis(100), ..settings() }, Some(file)).await;
    assert_eq!(app.ask("GET", "/healthz", "").await.0, 503);
    assert_eq!(app.ask("GET", "/work", "").await.0, 503);
    app.until(|app| async move { app.ask("GET", "/healthz", "").await.0 == 200 }).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(app.ask("GET", "/work", "").await.0, 200);
    assert_eq!(app.stats().await.refused_not_ready, 1);
}

#[tokio::test]
async fn what_is_under_way_is_finished_before_the_end() {
    let app = started(Settings { io: Duration::from_millis(400), ..settings() }, None).await;
    let address = app.address;
    let request = tokio::spawn(async move {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    });
    app.until(|app| async move { app.stats().await.busy == 1 }).await;
    app.stop.send(()).unwrap();
    assert_eq!(app.ended.await.unwrap().unwrap(), Ended::Finished);
    let answer = request.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("server-timing: queue;dur="), "{answer}");
}

#[tokio::test]
async fn running_out_of_memory_is_the_end() {
    let app = started(Settings { memory_limit: Some(1 << 40), ..settings() }, None).await;
    assert!(app.stats().await.resident_bytes > 0);
    let app = start(Settings { memory_limit: Some(1), ..settings() }, None).await;
    assert_eq!(app.ended.await.unwrap().unwrap(), Ended::OutOfMemory);
}

//! An orchestrator under test, in a directory of its own; whatever happens, nothing of it outlives the test.

use crate::standin;
use foreshadow_agent::http::{Http, request};
use foreshadow_agent::local::api::{Locator, State, Workload};
use foreshadow_agent::local::client::{self, Found};
use foreshadow_agent::local::spec::{App, Scaler, Spec};
use foreshadow_agent::orchestrator::Orchestrator;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Long enough for a busy machine; never waited for when things go well.
pub const PATIENCE: Duration = Duration::from_secs(40);

pub struct Fixture {
    pub dir: TempDir,
    pub spec: Spec,
    pub http: Http,
}

impl Fixture {
    /// Two replicas wanted, one to four allowed.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            name: "suite".into(),
            state_dir: dir.path().join("state"),
            front_port: 0,
            proxy_command: vec!["sh".into(), "-c".into(), standin::command("proxy"), "proxy".into()],
            replicas: 2,
            min: 1,
            max: 4,
            scaler: Scaler::External,
            app: App {
                command: standin::command("app"),
                env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
                ready_path: Some("/healthz".into()),
                ready_timeout_s: 30.0,
                drain_s: 3.0,
                cpu_cores: Some(0.5),
                memory_bytes: Some(256 << 20),
            },
            mirror: Default::default(),
            runtime_key: "foreshadow.mirror".into(),
            profiles: Default::default(),
        };
        let exe = dir.path().join("agent");
        std::fs::write(&exe, format!("#!/bin/sh\n{}\n", standin::command(""))).unwrap();
        std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { dir, spec, http: Http::default() }
    }

    pub fn exe(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    pub async fn start(&self) -> Found {
        client::start_or_attach(&self.spec, &self.exe()).await.unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.spec.state_dir.join("orchestrator.log")).unwrap_or_default()
    }

    pub fn calls(&self, locator: &Locator) -> Orchestrator {
        Orchestrator::new(self.http.clone(), locator.clone())
    }

    /// Waits until the workload is as wanted.
    pub async fn until(&self, locator: &Locator, what: &str, wanted: impl Fn(&Workload) -> bool) -> Workload {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.calls(locator).workload().await;
            match seen {
                Ok(workload) if wanted(&workload) => return workload,
                seen if Instant::now() > deadline => panic!("never: {what}; last {seen:?}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub async fn until_ready(&self, locator: &Locator, replicas: usize) -> Workload {
        let wanted = |w: &Workload| ready(w) == replicas && w.replicas.len() == replicas && !w.front.admin.is_empty();
        self.until(locator, &format!("{replicas} replicas ready"), wanted).await
    }

    /// `PUT`, with the token; the answer's status.
    pub async fn put(&self, locator: &Locator, path: &str, body: &str) -> u16 {
        let mut put = request(http::Method::PUT, &format!("{}{path}", locator.url), body.to_owned().into()).unwrap();
        put.headers_mut().insert("authorization", format!("Bearer {}", locator.token).parse().unwrap());
        self.http.send(put, 1 << 20, PATIENCE).await.unwrap().0.as_u16()
    }

    /// `GET` on a connection of its own; None when there is no 200.
    pub async fn get(&self, url: &str) -> Option<String> {
        let mut get = request(http::Method::GET, url, Default::default()).unwrap();
        get.headers_mut().insert("connection", "close".parse().unwrap());
        let body = self.http.ok(get, 1 << 20, PATIENCE).await.ok()?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    /// Processes of this fixture: all that carry a mark and were started below its directory's orchestrator.
    pub fn left(&self) -> Vec<u32> {
        let Ok(dir) = self.spec.state_dir.canonicalize() else { return Vec::new() };
        let hash = foreshadow_agent::local::spec::fnv1a(dir.as_os_str().as_encoded_bytes());
        let mark = format!("FORESHADOW_INSTANCE={hash:016x}-");
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let marked = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|entry| entry.starts_with(mark.as_bytes()))
        };
        pids.filter(marked).collect()
    }

    pub async fn until_nothing_left(&self) {
        wait_for("nothing is left", || self.left().is_empty()).await;
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let text = std::fs::read_to_string(self.spec.state_dir.join("orchestrator.json")).unwrap_or_default();
        if let Ok(locator) = serde_json::from_str::<Locator>(&text) {
            signal(locator.pid, Signal::KILL);
        }
        self.left().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

pub fn ready(workload: &Workload) -> usize {
    workload.replicas.iter().filter(|r| r.state == State::Ready).count()
}

pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // Gone already is as good.
        let _ = kill_process(pid, signal);
    }
}

pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

pub async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

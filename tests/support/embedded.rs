//! The embedded mode under test: an agent with its own state directory, the sample application, sidecars, front and shadow.

use crate::http::{Answer, get};
use crate::programs::{Running, program, until};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for the slowest machine that CI has; never waited for when things go well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback has free ports").port()
}

/// An embedded installation in a directory of its own.
pub struct Embedded {
    /// Holds configuration, state and logs; removed at the end.
    pub dir: TempDir,
    /// The agent; None while it is down.
    pub agent: Option<Running>,
    /// Port of the front balancer.
    pub front_port: u16,
    /// Port of the agent's pages.
    pub server_port: u16,
    starts: usize,
}

impl Embedded {
    /// Starts an agent with two replicas of the sample application and waits until the front answers.
    pub fn start(mode: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut it = Self { dir, agent: None, front_port: free_port(), server_port: free_port(), starts: 0 };
        std::fs::write(it.config(), it.config_text(mode)).expect("the configuration can be written");
        it.start_agent();
        it.wait_ready();
        it
    }

    /// Path of the configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("local.yaml")
    }

    /// Path of the history.
    pub fn history(&self) -> PathBuf {
        self.dir.path().join("state/history.redb")
    }

    fn config_text(&self, mode: &str) -> String {
        let bin = program("foreshadow-app");
        let (app, proxy) = (bin.display(), program("foreshadow-proxy"));
        format!(
            "workload:
  name: suite
  mode: {mode}
  objective: {{ threshold_ms: 150, target_ratio: 0.99 }}
  bounds: {{ min_replicas: 1, max_replicas: 4 }}
  actuation: {{ floor_ttl_s: 4, lower_after_s: 4 }}
  forecast: {{ replica_start_s: 2, horizons_s: [2, 5, 10], train_every_s: 20 }}
  shadow: {{ enabled: true, profiles: [cpu-half] }}
discovery:
  local:
    state_dir: {state}
    front_port: {front}
    proxy_command: ['{proxy}']
    scaler: external
    replicas: 2
    app: {{ command: '{app} --port $PORT', ready_path: /healthz, drain_s: 1 }}
history: {{ path: {state}/history.redb }}
server: {{ listen: '127.0.0.1:{server}' }}
",
            state = self.dir.path().join("state").display(),
            front = self.front_port,
            proxy = proxy.display(),
            server = self.server_port,
        )
    }

    /// Starts (again) the agent on the same state.
    pub fn start_agent(&mut self) {
        self.starts += 1;
        let (config, label) = (self.config(), format!("agent-{}", self.starts));
        let args = ["run", "--config", config.to_str().expect("a temporary path is text")];
        self.agent = Some(Running::start(self.dir.path(), &label, "foreshadow-agent", &args, &[]));
    }

    fn wait_ready(&self) {
        let ready = until(PATIENCE, || get(&self.front("/healthz")).filter(|a| a.status == 200));
        assert!(ready.is_some(), "the front does not answer:\n{}", self.agent.as_ref().map(Running::output).unwrap_or_default());
    }

    /// A URL at the front balancer.
    pub fn front(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.front_port)
    }

    /// A page of the agent.
    pub fn page(&self, path: &str) -> Option<Answer> {
        get(&format!("http://127.0.0.1:{}{path}", self.server_port))
    }

    /// Where the orchestrator is, and its token.
    pub fn locator(&self) -> Value {
        let text = std::fs::read_to_string(self.dir.path().join("state/orchestrator.json")).expect("the orchestrator left its address");
        serde_json::from_str(&text).expect("the locator is JSON")
    }

    /// The orchestrator's view.
    pub fn workload(&self) -> Option<Value> {
        get(&format!("{}/v1/workload", self.locator()["url"].as_str()?)).map(|a| a.json())
    }

    /// Runs the agent's program to its end; its exit code and standard output.
    pub fn command(&self, args: &[&str]) -> (i32, String) {
        let out = std::process::Command::new(program("foreshadow-agent")).args(args).output().expect("the agent's program starts");
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    }

    /// Starts the generator against the front; ends with the returned value.
    pub fn load(&self, label: &str, rps: u32, seconds: u32) -> Running {
        let (url, rps, seconds) = (self.front("/work"), rps.to_string(), seconds.to_string());
        Running::start(self.dir.path(), label, "foreshadow-load", &["--url", &url, "--rps", &rps, "--seconds", &seconds], &[])
    }

    /// Process ids of everything that the orchestrator says it runs.
    pub fn pids(&self) -> Vec<u32> {
        let Some(workload) = self.workload() else { return Vec::new() };
        let mut pids = vec![workload["front"]["pid"].clone()];
        for instance in workload["replicas"].as_array().into_iter().flatten().chain([&workload["shadow"]]) {
            pids.extend([instance["pid"].clone(), instance["proxy_pid"].clone()]);
        }
        pids.iter().filter_map(Value::as_u64).map(|p| p as u32).filter(|p| *p > 0).collect()
    }

    /// The log of the agent now running.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let orchestrator = std::fs::read_to_string(self.dir.path().join("state/orchestrator.json")).ok();
        if let Some(agent) = &mut self.agent {
            agent.signal(rustix::process::Signal::TERM);
            agent.wait(Duration::from_secs(15));
        }
        // After a kill -9 nobody else ends the orchestrator.
        let locator: Option<Value> = orchestrator.and_then(|t| serde_json::from_str(&t).ok());
        if let Some((url, token)) = locator.as_ref().and_then(|l| Some((l["url"].as_str()?, l["token"].as_str()?))) {
            crate::http::request("POST", &format!("{url}/v1/shutdown"), &[("authorization", &format!("Bearer {token}"))], "");
        }
    }
}

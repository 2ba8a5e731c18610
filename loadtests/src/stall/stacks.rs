//! The two stacks: `alone` (sidecar, application) and `mirrored` (sidecar, application, shadow).

use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::http::Json;
use crate::sidecar::inbound;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// Everything that runs for one pair.
pub struct Stacks {
    fleet: Fleet,
    dir: PathBufGuard,
    shadow: u32,
    admin: String,
    /// URL of the stack without a mirror.
    pub alone: String,
    /// URL of the stack with one.
    pub mirrored: String,
}

/// A directory that goes with its owner.
struct PathBufGuard(std::path::PathBuf);

impl Drop for PathBufGuard {
    fn drop(&mut self) {
        // Left-over logs in the system's temporary directory harm nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stacks {
    /// Starts all, and waits until both answer.
    pub async fn start(binaries: &Binaries) -> Result<Self, Error> {
        let dir = std::env::temp_dir().join(format!("foreshadow-stall-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| Error::failed(&format!("creating {}", dir.display()), e))?;
        let mut it = Self {
            fleet: Fleet::new(),
            dir: PathBufGuard(dir),
            shadow: 0,
            admin: String::new(),
            alone: String::new(),
            mirrored: String::new(),
        };
        let started = it.start_all(binaries).await;
        if started.is_err() {
            it.end().await;
        }
        started.map(|()| it)
    }

    async fn start_all(&mut self, binaries: &Binaries) -> Result<(), Error> {
        let (first, _) = self.app(binaries, "app-alone")?;
        let (second, _) = self.app(binaries, "app-mirrored")?;
        let (shadow, pid) = self.app(binaries, "shadow")?;
        self.shadow = pid;
        (self.alone, _) = self.sidecar(binaries, "sidecar-alone", first, None)?;
        (self.mirrored, self.admin) = self.sidecar(binaries, "sidecar-mirrored", second, Some(shadow))?;
        let json = Json::default();
        for url in [&self.alone, &self.mirrored, &format!("http://127.0.0.1:{shadow}")] {
            let mut tries = 0;
            while !json.ready(&format!("{url}/healthz")).await {
                tries += 1;
                if tries > 100 {
                    return Err(Error::Failed(format!("{url} does not get ready")));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    fn app(&mut self, binaries: &Binaries, name: &str) -> Result<(u16, u32), Error> {
        let port = free_port()?;
        let mut command = self.command(binaries, "foreshadow-app", name)?;
        command.args(["--port", &port.to_string()]);
        Ok((port, self.fleet.start(name, command)?))
    }

    fn sidecar(&mut self, binaries: &Binaries, name: &str, app: u16, shadow: Option<u16>) -> Result<(String, String), Error> {
        let (listener, admin) = (free_port()?, free_port()?);
        let path = self.dir.0.join(format!("{name}.yaml"));
        let text = config(listener, admin, app, shadow);
        std::fs::write(&path, text).map_err(|e| Error::failed(&format!("writing {}", path.display()), e))?;
        let mut command = self.command(binaries, "foreshadow-proxy", name)?;
        command.arg("-c").arg(&path).args(["--concurrency", "1", "--drain-time-s", "1"]);
        self.fleet.start(name, command)?;
        Ok((format!("http://127.0.0.1:{listener}"), format!("http://127.0.0.1:{admin}")))
    }

    fn command(&self, binaries: &Binaries, program: &str, name: &str) -> Result<tokio::process::Command, Error> {
        self.fleet.command(&binaries.path(program), &Path::new(&self.dir.0).join(format!("{name}.log")))
    }

    /// SIGSTOP to the shadow.
    pub fn stop_shadow(&self) -> Result<(), Error> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT to the shadow.
    pub fn go_on(&self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = Pid::from_raw(self.shadow as i32).ok_or_else(|| Error::Failed("the shadow has no process id".into()))?;
        kill_process(pid, signal).map_err(|e| Error::failed("signalling the shadow", e))
    }

    /// The mirror's account.
    pub async fn copies(&self) -> Result<Value, Error> {
        let snapshot: Value =
            Json::default().get(&format!("{}/telemetry", self.admin)).await.map_err(|e| Error::failed("reading telemetry", e))?;
        Ok(snapshot.pointer("/mirrors/0").cloned().unwrap_or_default())
    }

    /// Ends everything.
    pub async fn end(&mut self) {
        // A stopped process hears SIGTERM only after SIGCONT.
        let _ = self.go_on();
        for left in self.fleet.end().await {
            eprintln!("left behind: {left}");
        }
    }
}

fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| Error::failed("finding a free port", e))
}

fn config(listener: u16, admin: u16, app: u16, shadow: Option<u16>) -> String {
    let cluster = |name: &str, port: u16| {
        format!(
            "  - name: {name}
    load_assignment:
      cluster_name: {name}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}]
"
        )
    };
    let head = inbound(listener, admin);
    let mirror = if shadow.is_some() { ", request_mirror_policies: [{ cluster: shadow }]" } else { "" };
    format!(
        "{head}
          route_config: {{ virtual_hosts: [{{ name: all, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: app{mirror} }} }}] }}] }}
          http_filters: [{{ name: router, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
  clusters:
{}{}",
        cluster("app", app),
        shadow.map(|port| cluster("shadow", port)).unwrap_or_default(),
    )
}

//! A sidecar under test: started on a configuration made for it, reloaded, asked, measured, ended. Used by the soak and by `bench-stall`.

use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::http::Json;
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

const NAME: &str = "sidecar";
/// How long it may take to answer its first request.
const READY: Duration = Duration::from_secs(20);

/// A sidecar.
pub struct Sidecar {
    /// Where clients go.
    pub address: SocketAddr,
    admin: String,
    json: Json,
    fleet: Fleet,
    pid: u32,
    dir: tempfile::TempDir,
    ports: Ports,
}

/// Where a sidecar listens, and what its configuration may name.
#[derive(Debug, Clone)]
pub struct Ports {
    /// For clients.
    pub listener: u16,
    /// For the admin endpoints.
    pub admin: u16,
    /// A file for its access log.
    pub log: PathBuf,
}

impl Sidecar {
    /// Starts it on the configuration that `config` makes.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(binaries: &Binaries, workers: u32, config: impl FnOnce(&Ports) -> String) -> Result<Self, Error> {
        let dir = tempfile::tempdir().map_err(|e| Error::failed("making a directory", e))?;
        let ports = Ports { listener: free_port()?, admin: free_port()?, log: dir.path().join("access.log") };
        let mut it = Self {
            address: SocketAddr::from(([127, 0, 0, 1], ports.listener)),
            admin: format!("http://127.0.0.1:{}", ports.admin),
            json: Json::default(),
            fleet: Fleet::new(),
            pid: 0,
            dir,
            ports,
        };
        it.configure(config)?;
        let mut command = it.fleet.command(&binaries.path("foreshadow-proxy"), &it.path("log"))?;
        command.arg("-c").arg(it.path("proxy.yaml")).args(["--concurrency", &workers.to_string(), "--drain-time-s", "2"]);
        it.pid = it.fleet.start(NAME, command)?;
        let until = std::time::Instant::now() + READY;
        while !it.json.ready(&format!("{}/ready", it.admin)).await {
            if std::time::Instant::now() > until {
                return Err(Error::Failed(format!("the sidecar does not get ready:\n{}", it.log())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(it)
    }

    /// Writes another configuration; it notices by itself.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, config: impl FnOnce(&Ports) -> String) -> Result<(), Error> {
        let (next, file) = (self.path("next.yaml"), self.path("proxy.yaml"));
        let written = std::fs::write(&next, config(&self.ports)).and_then(|()| std::fs::rename(&next, &file));
        written.map_err(|e| Error::failed("writing a configuration", e))
    }

    /// Calls an admin endpoint that changes something.
    pub async fn post(&self, path: &str) {
        // An endpoint that cannot be reached shows at the next look.
        let _ = self.json.call(Method::POST, &format!("{}{path}", self.admin), None, Bytes::new()).await;
    }

    /// Its numbers.
    ///
    /// # Errors
    /// When it does not answer, in words.
    pub async fn telemetry(&self) -> Result<Value, String> {
        self.json.get(&format!("{}/telemetry", self.admin)).await
    }

    /// Rotates the access log away.
    pub fn rotate(&self) {
        // Not written yet is as good as rotated.
        let _ = std::fs::rename(self.path("access.log"), self.path("access.log.1"));
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.fleet.ended(NAME).is_none()
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<String> {
        self.fleet.ended(NAME)
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    }

    /// Processor time it used so far, user and system, in seconds.
    pub fn cpu_s(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // After the name in parentheses: state is the first field, utime the 12th, stime the 13th (proc(5)).
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Asks it to end; what did not end by itself is told.
    pub async fn end(&mut self) -> Vec<String> {
        self.fleet.end().await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Begin of a configuration, up to the connection manager's statistics prefix: its further fields follow, indented by ten spaces.
pub fn inbound(listener: u16, admin: u16) -> String {
    format!(
        "admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}
static_resources:
  listeners:
  - name: inbound
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listener} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound"
    )
}

fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| Error::failed("finding a free port", e))
}

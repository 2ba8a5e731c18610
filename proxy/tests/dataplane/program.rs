//! The real program on a configuration made here, ended when dropped.

use super::client::{Client, PATIENCE, empty, eventually};
use foreshadow_snapshot::{ClusterSnapshot, MirrorSnapshot, Snapshot};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A cluster of fixed addresses.
pub fn cluster(name: &str, addresses: &[SocketAddr], more: &str) -> String {
    let endpoint = |a: &SocketAddr| {
        format!("{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}", a.ip(), a.port())
    };
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    format!(
        "  - name: {name}\n    connect_timeout: 1s\n    load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{}] }}] }}\n{more}",
        endpoints.join(", ")
    )
}

/// HTTP/2 towards the cluster.
pub const HTTP2: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
";

/// A route of everything to `app`, copied to `shadow` at this percentage by the runtime key `copies`.
pub fn mirrored(percent: u32, limits: &str) -> String {
    format!(
        "              - match: {{ prefix: / }}
                metadata: {{ filter_metadata: {{ foreshadow: {{ mirror: {{ {limits} }} }} }} }}
                route:
                  cluster: app
                  timeout: 10s
                  request_mirror_policies:
                  - {{ cluster: shadow, runtime_fraction: {{ default_value: {{ numerator: {percent} }}, runtime_key: copies }} }}
"
    )
}

/// A whole configuration: one listener, `routes` and `clusters` as given, `manager` inside the connection manager.
pub fn config(manager: &str, routes: &str, clusters: &str) -> String {
    format!(
        "admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: inbound
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
{manager}
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
{routes}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
{clusters}"
    )
}

/// A running proxy.
pub struct Proxy {
    child: Child,
    dir: TempDir,
    pub admin: SocketAddr,
    pub address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of the program.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_foreshadow-proxy"))
}

impl Proxy {
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &["--concurrency", "2"]).await
    }

    pub async fn start_with(config: &str, arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let (file, admin_file) = (dir.path().join("config.yaml"), dir.path().join("admin"));
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = program()
            .args(["-l", "debug", "-c"])
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + PATIENCE;
        let admin = loop {
            if let Some(address) = std::fs::read_to_string(&admin_file).ok().and_then(|text| text.trim().parse().ok()) {
                break address;
            }
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "it ended at once: {}", log());
            assert!(std::time::Instant::now() < until, "no admin address in time: {}", log());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let mut it = Self { child, dir, admin, address: admin };
        it.address = it.listener("inbound").await;
        it
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Replaces the configuration file in one step.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(self.path("next"), config).unwrap();
        std::fs::rename(self.path("next"), self.path("config.yaml")).unwrap();
    }

    pub async fn listener(&self, name: &str) -> SocketAddr {
        let (_, listeners) = self.call("GET", "/listeners").await;
        let line = listeners.lines().find_map(|l| l.strip_prefix(&format!("{name}::")));
        line.unwrap_or_else(|| panic!("no listener {name} in {listeners}")).parse().unwrap()
    }

    /// Calls an admin endpoint.
    pub async fn call(&self, method: &str, path: &str) -> (u16, String) {
        let mut client = Client::h1(self.admin).await;
        let request = client.request(method, path).body(empty()).unwrap();
        let answer = client.send(request).await.unwrap();
        (answer.status, answer.text().to_owned())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn telemetry(&self) -> Snapshot {
        let (status, text) = self.call("GET", "/telemetry").await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn cluster(&self, name: &str) -> ClusterSnapshot {
        self.telemetry().await.clusters.into_iter().find(|c| c.name == name).unwrap()
    }

    /// The policy `copies`, whose account has to close whenever one looks.
    pub async fn copies(&self) -> MirrorSnapshot {
        let mirror = self.telemetry().await.mirrors.into_iter().find(|m| m.policy == "copies").unwrap();
        assert!(mirror.closes(), "the account does not close: {mirror:?}");
        mirror
    }

    /// Waits until no copy is under way; the numbers then.
    pub async fn settled(&self) -> MirrorSnapshot {
        eventually("all copies are over", || async { self.copies().await.in_flight == 0 }).await;
        self.copies().await
    }

    pub async fn generation(&self) -> u64 {
        self.telemetry().await.config_generation
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < until, "did not end in time");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// Runs the program to its end: exit code, standard output, standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut child = program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap(), out, err)
}

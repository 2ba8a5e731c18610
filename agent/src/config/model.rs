//! The validated configuration: what stands here can be honoured. Built only by `config::read`.

use foreshadow_brain::Settings;
use foreshadow_snapshot::RequestShape;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The workload that is looked after.
    pub workload: Workload,
    /// How it is looked at.
    pub collect: Collect,
    /// Where its instances are.
    pub discovery: Discovery,
    /// Where the history is kept.
    pub history: History,
    /// Where the live page is served.
    pub listen: SocketAddr,
}

/// How much the agent may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Look only.
    Observe,
    /// Say what it would do.
    Recommend,
    /// Raise the floor.
    Act,
}

/// The workload.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Name.
    pub name: String,
    /// How much the agent may do.
    pub mode: Mode,
    /// What the decision core is told.
    pub settings: Settings,
    /// The shadow.
    pub shadow: Shadow,
}

/// The shadow.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Whether there is one.
    pub enabled: bool,
    /// Profiles, at least one when enabled; the first is started.
    pub profiles: Vec<String>,
    /// Which requests may be copied.
    pub methods: Methods,
    /// Whether a synthetic stream may make up what live traffic cannot give.
    pub synthetic: bool,
    /// Requests of the synthetic stream until real shapes have been seen.
    pub requests: Vec<RequestShape>,
}

/// Which requests may be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// GET, HEAD, OPTIONS.
    Safe,
    /// All.
    All,
}

/// How it is looked at.
#[derive(Debug, Clone)]
pub struct Collect {
    /// Between two looks.
    pub interval: Duration,
    /// Longest wait for one proxy's answer.
    pub timeout: Duration,
}

/// Where the instances are.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// The local orchestrator starts them.
    Local(Box<Local>),
    /// Something else started them.
    Static(Static),
}

/// The local orchestrator's part.
#[derive(Debug, Clone)]
pub struct Local {
    /// Directory for its state.
    pub state_dir: PathBuf,
    /// Port of the front balancer on loopback; 0 = any free one.
    pub front_port: u16,
    /// Program and arguments of the proxy.
    pub proxy_command: Vec<String>,
    /// Whether something else calls `PUT /v1/scale`.
    pub external_scaler: bool,
    /// Replicas at the start.
    pub replicas: u32,
    /// The application.
    pub app: App,
}

/// The application's template.
#[derive(Debug, Clone)]
pub struct App {
    /// Command for the shell; `$PORT` is set.
    pub command: String,
    /// More environment.
    pub env: BTreeMap<String, String>,
    /// Path that answers 2xx when it is ready; `None`: ready when it accepts a connection.
    pub ready_path: Option<String>,
    /// Longest wait for readiness.
    pub ready_timeout: Duration,
    /// Time it is given to finish when it is taken out of rotation.
    pub drain: Duration,
    /// Processor limit of one replica, in cores.
    pub cpu_cores: Option<f64>,
    /// Memory limit of one replica, in MiB.
    pub memory_mib: Option<u64>,
}

/// Instances that something else started.
#[derive(Debug, Clone, Default)]
pub struct Static {
    /// Production instances, at least one.
    pub production: Vec<StaticInstance>,
    /// The shadow.
    pub shadow: Option<StaticInstance>,
    /// Only mirror policies with this runtime key are steered; `None` = all that have one.
    pub runtime_key: Option<String>,
}

/// One instance that something else started.
#[derive(Debug, Clone, Default)]
pub struct StaticInstance {
    /// Admin address of its sidecar (none for the shadow).
    pub admin_url: Option<String>,
    /// The application's own address: where the synthetic stream goes (shadow only).
    pub app_url: Option<String>,
    /// The application's process.
    pub pid: Option<u32>,
    /// Directory of its control group (version 2).
    pub cgroup: Option<String>,
}

/// Where the history is kept.
#[derive(Debug, Clone)]
pub struct History {
    /// The database file.
    pub path: PathBuf,
    /// Older records are removed.
    pub keep: Duration,
    /// The oldest records are removed when the file would outgrow this.
    pub max_mib: u64,
}

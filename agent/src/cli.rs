//! The command line, and the exit codes (sysexits.h).

pub mod cluster;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Done.
pub const OK: u8 = 0;
/// `replay`: decisions differ.
pub const DIFFERENT: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 64;
/// Ended by Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// Input that is not what it should be, e.g. a history that is damaged.
pub const DATA: u8 = 65;
/// Something that is needed is not there: a port, a running agent, an orchestrator.
pub const UNAVAILABLE: u8 = 69;
/// A defect of ours.
pub const INTERNAL: u8 = 70;
/// A file that cannot be written.
pub const CANNOT_CREATE: u8 = 73;
/// The configuration cannot be honoured.
pub const CONFIG: u8 = 78;

/// Node agent of Foreshadow: tracks what one replica can take, forecasts when production reaches it, and raises the scaler's floor before users notice.
#[derive(Debug, Parser)]
#[command(
    name = "foreshadow-agent",
    version,
    after_help = "Exit codes: 0 done, 1 replay differs, 64 usage, 65 unreadable data, 69 unavailable, 70 internal, 73 a file cannot be written, 78 configuration."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent for one workload; config/local.yaml shows a configuration with every field
    Run(Run),
    /// Feed recorded samples through the decision core and compare its decisions with the recorded ones, bit for bit
    Replay(Replay),
    /// Write a history as JSON lines to standard output: sessions, samples, decisions, actions
    Export(Export),
    /// Say what each scaling policy would have done over a history, and what it would have cost: a table, a page, JSON
    Backtest(Backtest),
    /// Ask a running agent, or a cluster, how things stand
    Status(Ask),
    /// Ask a running agent, or a cluster, why the last decision was taken, and what would change it
    Explain(Ask),
    /// Put the sidecar into manifests: every pod and pod template, as the controller's webhook would
    Inject(cluster::Inject),
    /// Run the cluster's controller: shadows, configuration of sidecars, injection webhook
    Controller(cluster::Controller),
    /// Print the objects of an installation, or write manifests/ as kustomization or chart
    Manifests(cluster::Manifests),
    /// Print the CustomResourceDefinition of ShadowScaler
    Crd,
    /// In a cluster: say what would be touched for each workload, who owns it, and whether it can be; changes nothing
    Preflight(Preflight),
    /// Run on a node of a cluster: see its pods, tell the holders of their workloads, hold workloads (a DaemonSet starts this)
    Node(Node),
    /// Take Foreshadow out of a cluster: floors put back, shadows and all objects removed; says which pods still have sidecars
    Uninstall(cluster::Uninstall),
    /// Start and scale an application's processes as a specification says; `run` starts this by itself
    #[command(hide = true)]
    Orchestrate(Orchestrate),
}

/// `backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    /// The history database (also of a running agent), its export, or Prometheus' answer to query_range over {__name__=~"foreshadow_agent_.+"}
    #[arg(long, value_name = "FILE")]
    pub history: PathBuf,
    /// Write every run to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with pictures to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `orchestrate`.
#[derive(Debug, Args)]
pub struct Orchestrate {
    /// The specification, JSON
    #[arg(long, value_name = "FILE")]
    pub spec: PathBuf,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    pub check: bool,
    /// What to log
    #[arg(short, long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// How to log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The history database (also of a running agent) or its export
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The history database (also of a running agent)
    #[arg(long, value_name = "FILE")]
    pub history: PathBuf,
}

/// `status` and `explain`.
#[derive(Debug, Args)]
pub struct Ask {
    /// ShadowScaler, NAME or NAMESPACE/NAME, in a cluster
    #[arg(value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Which cluster
    #[command(flatten)]
    pub cluster: Cluster,
    /// Where the agent's pages are
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18080", conflicts_with = "config")]
    pub url: String,
    /// Take the address from this configuration file instead
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `node`.
#[derive(Debug, Args)]
pub struct Node {
    /// This node's name [default: $NODE_NAME]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// This pod's name, which is the agent's [default: $POD_NAME, else the host's name]
    #[arg(long, value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Namespace of the agents [default: $POD_NAMESPACE, else foreshadow]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Address at which other agents reach this one [default: $POD_IP, else 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Port for reports of other nodes, TLS; 0 = any free one
    #[arg(long, value_name = "PORT", default_value_t = 17_443)]
    pub report_port: u16,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:17444")]
    pub listen: SocketAddr,
    /// The kernel's control groups, as mounted here
    #[arg(long, value_name = "DIR", default_value = "/host/sys/fs/cgroup")]
    pub cgroup_root: PathBuf,
    /// Where histories are kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/foreshadow")]
    pub state_dir: PathBuf,
    /// ServiceAccount token with the audience foreshadow
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/foreshadow/token")]
    pub token_file: PathBuf,
    /// Headless Service of the agents
    #[arg(long, value_name = "NAME", default_value = "foreshadow-node")]
    pub service: String,
    /// ServiceAccount of the agents
    #[arg(long, value_name = "NAME", default_value = "foreshadow-node")]
    pub service_account: String,
    /// Use this kubeconfig instead of the pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What to log
    #[arg(short, long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// How to log
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Which cluster, and what in it.
#[derive(Debug, Clone, Default, Args)]
pub struct Cluster {
    /// Ask the cluster of this kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Ask the cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Ask the current cluster, in this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Ask the current cluster, in all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

impl Cluster {
    /// Whether a cluster was asked for at all.
    pub fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.namespace.is_some() || self.all_namespaces
    }
}

/// `preflight`.
#[derive(Debug, Args)]
pub struct Preflight {
    /// ShadowScaler; all of them when left out
    #[arg(value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Which cluster
    #[command(flatten)]
    pub cluster: Cluster,
}

/// What to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What went wrong and needs somebody.
    Error,
    /// What went wrong and was coped with.
    Warn,
    /// What was done.
    Info,
    /// What was decided and why.
    Debug,
    /// Everything.
    Trace,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogLevel {
    /// The filter of this name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

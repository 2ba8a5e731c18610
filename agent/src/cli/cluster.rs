//! Arguments of the commands for Kubernetes.

use crate::kubernetes::inject::{Families, Takeover};
use crate::kubernetes::server::Version;
use clap::Args;
use std::path::PathBuf;

/// `inject`.
#[derive(Debug, Args)]
pub struct Inject {
    /// Manifests, `-` for standard input; several documents and several files are fine
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Take the sidecar out again: what `inject` did, undone
    #[arg(long, conflicts_with = "kubernetes_version")]
    pub remove: bool,
    /// The server's version: decides whether sidecars are native [default: asked of the cluster of the kubeconfig]
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<Version>,
    /// What to inject.
    #[command(flatten)]
    pub settings: InjectSettings,
}

/// What to inject.
#[derive(Debug, Clone, Args)]
pub struct InjectSettings {
    /// Image of the sidecar
    #[arg(long, value_name = "IMAGE", env = "FORESHADOW_PROXY_IMAGE", default_value = concat!("foreshadow.dev/foreshadow-proxy:", env!("CARGO_PKG_VERSION")))]
    pub proxy_image: String,
    /// Image of the init container that redirects, with nftables or iptables in it [default: foreshadow-init beside the sidecar's]
    #[arg(long, value_name = "IMAGE", env = "FORESHADOW_INIT_IMAGE")]
    pub init_image: Option<String>,
    /// When the images are pulled: Always, IfNotPresent, Never [default: Kubernetes' own]
    #[arg(long, value_name = "POLICY", env = "FORESHADOW_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: Option<String>,
    /// How the sidecar gets the traffic where the pod does not say
    #[arg(long, value_enum, default_value_t = Takeover::Auto)]
    pub takeover: Takeover,
    /// Addresses that pods have [default: ipv4; the controller knows from its own]
    #[arg(long, value_enum)]
    pub ip_families: Option<Families>,
}

/// `controller`.
#[derive(Debug, Clone, Args)]
pub struct Controller {
    /// Namespace of Foreshadow itself [default: the pod's own, else foreshadow]
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = "foreshadow")]
    pub namespace: String,
    /// Name of this replica, for the leader's Lease [default: the host's name]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// Addresses of this pod, with commas: they tell which families pods have
    #[arg(long, value_name = "IPS", env = "POD_IPS", value_delimiter = ',')]
    pub pod_ips: Vec<std::net::IpAddr>,
    /// Service that leads to the webhook
    #[arg(long, value_name = "NAME", default_value = "foreshadow-controller")]
    pub service: String,
    /// Where the webhook listens, TLS
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443")]
    pub webhook_listen: std::net::SocketAddr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub listen: std::net::SocketAddr,
    /// Create Secrets, shadows and the rest, but do not inject
    #[arg(long)]
    pub no_webhook: bool,
    /// What is injected.
    #[command(flatten)]
    pub inject: InjectSettings,
    /// What to log
    #[arg(short, long, value_enum, default_value_t = super::LogLevel::Info)]
    pub log_level: super::LogLevel,
    /// How to log
    #[arg(long, value_enum, default_value_t = super::LogFormat::Text)]
    pub log_format: super::LogFormat,
}

/// `uninstall`.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// Do it; without this only what would be done is said
    #[arg(long)]
    pub yes: bool,
    /// Namespace of Foreshadow itself
    #[arg(long, value_name = "NAME", default_value = "foreshadow")]
    pub namespace: String,
    /// The cluster of this kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// `manifests`.
#[derive(Debug, Args)]
pub struct Manifests {
    /// As one YAML text for `kubectl apply -f -`, or as the directory of a kustomization or a chart
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    pub format: Format,
    /// Directory to write to
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Namespace of Foreshadow itself (plain only; kustomize and Helm have their own ways)
    #[arg(long, value_name = "NAME", default_value = "foreshadow")]
    pub namespace: String,
    /// What stands before images' names (plain only)
    #[arg(long, value_name = "PREFIX", default_value = "foreshadow.dev")]
    pub registry: String,
    /// Images' tag (plain only)
    #[arg(long, value_name = "TAG", default_value = env!("CARGO_PKG_VERSION"))]
    pub tag: String,
    /// When images are pulled (plain only)
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Replicas of the controller (plain only)
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub replicas: u32,
    /// With PodMonitors of the Prometheus operator (plain only)
    #[arg(long)]
    pub monitoring: bool,
}

/// Formats of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One YAML text.
    Plain,
    /// A kustomize base with components and overlays.
    Kustomize,
    /// A Helm chart.
    Helm,
}

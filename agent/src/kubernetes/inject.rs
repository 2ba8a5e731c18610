//! Puts the sidecar into a pod: the same patch for the webhook and for `foreshadow-agent inject`.
//!
//! Works on plain JSON, so that fields nobody here knows stay as they are. Promises: idempotent; a pod that cannot be helped is left as it was,
//! with a reason; probes keep asking the application itself, past the sidecar; nothing is asked for that the pod's namespace would refuse.
//!
//! How traffic gets to the sidecar (`takeover`): where Services target a *named* port, the sidecar takes the name (no privileges); else an init
//! container redirects the ports (NET_ADMIN). What the sidecar then does stands in `proxy_config`.

pub mod command;
pub mod documents;
mod json;
pub mod ports;
mod probes;
pub mod proxy_config;
pub mod remove;
mod rename;
mod sidecar;
mod skip;
mod takeover;

use super::crd::shadow::Methods;
use super::names;
use json::{annotation, at, entry, list};
use serde_json::{Value, json};
pub use skip::Skip;
pub use takeover::Takeover;

/// What an installation decides, the same for all pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Image of the sidecar.
    pub proxy_image: String,
    /// Image of the init container that redirects: the sidecar's, with nftables or iptables.
    pub init_image: String,
    /// When images are pulled; `None`: Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Where sidecars can be native.
    pub native: Native,
    /// Addresses that pods have.
    pub families: Families,
    /// How traffic is taken where the pod does not say.
    pub takeover: Takeover,
    /// Which requests may be copied where the pod does not say.
    pub methods: Methods,
}

/// Where sidecars can be native: init containers that restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// Nowhere.
    Never,
    /// Where no Service looks for a port of theirs by its name: it would not be found.
    Unnamed,
    /// Everywhere.
    Always,
}

/// Addresses that pods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Families {
    /// IPv4 alone.
    #[value(name = "ipv4")]
    V4,
    /// IPv6 alone.
    #[value(name = "ipv6")]
    V6,
    /// Both.
    #[value(name = "dual")]
    Dual,
}

/// What is known around a pod.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The workload, `("Deployment", "web")`.
    pub workload: Option<(String, String)>,
    /// Services of the namespace, whole objects.
    pub services: Vec<Value>,
    /// The namespace's labels: what Pod Security enforces stands there.
    pub namespace_labels: std::collections::BTreeMap<String, String>,
    /// Which requests the workload's ShadowScaler lets be copied, when there is one.
    pub methods: Option<Methods>,
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has a sidecar now; what people should know about it.
    Injected(Vec<String>),
    /// It had one.
    Already,
    /// It is as it was.
    Skipped(Skip),
}

/// Injects into a pod or a pod template: an object with `metadata` and `spec`.
pub fn inject(pod: &mut Value, settings: &Settings, around: &Around) -> Outcome {
    if let Some(reason) = skip::reason(pod) {
        return Outcome::Skipped(reason);
    }
    if annotation(pod, names::STATUS).is_some() || skip::has_container(pod, names::PROXY_CONTAINER) {
        return Outcome::Already;
    }
    let plan = match takeover::plan(pod, settings, around) {
        Ok(plan) => plan,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut changed = pod.clone();
    probes::past_the_sidecar(&mut changed, &plan);
    if plan.mode == takeover::Mode::NamedPort {
        rename::hand_over_names(&mut changed, &plan);
    }
    sidecar::add(&mut changed, settings, &plan, around);
    mark(&mut changed, &plan, around);
    *pod = changed;
    Outcome::Injected(plan.warnings)
}

/// Labels and annotations that tell what was done.
fn mark(pod: &mut Value, plan: &takeover::Plan, around: &Around) {
    let ports: Vec<u16> = plan.ports.iter().map(|p| p.number).collect();
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "takeover": plan.mode.name(),
        "ports": ports,
        "container": if plan.native { "native" } else { "plain" },
        "methods": plan.methods_name(),
    });
    let annotations = entry(at(pod, "metadata"), "annotations");
    annotations[names::STATUS] = json!(status.to_string());
    annotations[names::NO_ENDPOINTS] = json!(proxy_config::endpoints(&ports, None, &std::collections::BTreeSet::new()));
    if let Some((kind, name)) = &around.workload {
        annotations[names::WORKLOAD] = json!(format!("{kind}/{name}"));
    }
    if annotations.get("prometheus.io/scrape").is_none() {
        annotations["prometheus.io/scrape"] = json!("true");
        annotations["prometheus.io/port"] = json!(names::ACCESS_PORT.to_string());
        annotations["prometheus.io/path"] = json!("/stats/prometheus");
    }
    let labels = entry(at(pod, "metadata"), "labels");
    labels[names::INJECTED] = json!("true");
}

/// The application's containers: not ours, not another mesh's.
fn app_containers(pod: &Value) -> Vec<(usize, &Value)> {
    let all = list(pod, "containers").iter().enumerate();
    all.filter(|(_, c)| c["name"].as_str().is_some_and(|n| !is_sidecar(n))).collect()
}

/// Whether a container of this name is a sidecar, ours or another mesh's.
pub fn is_sidecar(name: &str) -> bool {
    name == names::PROXY_CONTAINER || skip::MESHES.contains(&name)
}

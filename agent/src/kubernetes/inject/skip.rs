//! Why a pod is left alone.

use super::json::{annotation, field, label, list};
use crate::kubernetes::names;
use serde_json::Value;

/// Containers of other meshes. They redirect all of a pod's ports: two redirections would lead to each other.
pub const MESHES: [&str; 4] = ["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"];

/// Why a pod is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// Host network.
    #[error("it uses the host's network: its ports are the node's, a sidecar cannot take them")]
    HostNetwork,
    /// The pod says no.
    #[error("{} says disabled", names::INJECT)]
    Disabled,
    /// A shadow: copies are never copied again.
    #[error("it is a shadow")]
    Shadow,
    /// Nothing to take over.
    #[error("no container declares a TCP port; declare the one that serves requests, or name it in the annotation {}", names::PORTS)]
    NoPort,
    /// It cannot be told which port serves requests.
    #[error("it cannot be told which of the ports {0} serve requests; name them in the annotation {ann}", ann = names::PORTS)]
    WhichPort(String),
    /// The annotation names a port that is not there.
    #[error("{ann} names `{0}`, which is no container port; there are {1}", ann = names::PORTS)]
    UnknownPort(String, String),
    /// An annotation that cannot be read.
    #[error("{0} is `{1}`; expected {2}")]
    Annotation(&'static str, String, &'static str),
    /// The name cannot be taken.
    #[error("port {0} has no name that could be taken; name it and let the Service target the name, or set {ann}: redirect", ann = names::TAKEOVER)]
    NoName(u16),
    /// Redirection is not possible beside another mesh.
    #[error("its container {0} redirects all ports already; name the port and set {ann}: named-port", ann = names::TAKEOVER)]
    Mesh(String),
    /// Redirection is refused by Pod Security.
    #[error(
        "redirection needs NET_ADMIN, which the namespace refuses (pod-security.kubernetes.io/enforce: {0}); let the Service target a named port instead"
    )]
    PodSecurity(String),
    /// A port of ours is in use.
    #[error("a container declares port {0}, which the sidecar needs")]
    PortTaken(u16),
    /// A pod that ends by itself would be kept alive.
    #[error(
        "it runs to completion, and without native sidecars (Kubernetes 1.29; 1.33 where a Service targets a name) the sidecar would keep it from ending"
    )]
    Job,
}

/// What the pod itself says against it, before any plan.
pub fn reason(pod: &Value) -> Option<Skip> {
    let spec = field(pod, "spec");
    if label(pod, names::ROLE) == Some(names::SHADOW) {
        return Some(Skip::Shadow);
    }
    let said = annotation(pod, names::INJECT).or_else(|| label(pod, names::INJECT));
    match said {
        Some("disabled" | "false") => return Some(Skip::Disabled),
        None | Some("enabled" | "true") => {}
        Some(other) => return Some(Skip::Annotation(names::INJECT, other.to_owned(), "enabled or disabled")),
    }
    (field(spec, "hostNetwork").as_bool() == Some(true)).then_some(Skip::HostNetwork)
}

/// Whether a container of this name is there.
pub fn has_container(pod: &Value, name: &str) -> bool {
    ["containers", "initContainers"].iter().any(|of| list(pod, of).iter().any(|c| field(c, "name") == name))
}

/// Another mesh's container, if there is one.
pub fn mesh(pod: &Value) -> Option<&'static str> {
    MESHES.into_iter().find(|name| has_container(pod, name))
}

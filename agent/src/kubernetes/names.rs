//! Names that meet in the cluster: labels, annotations, ports, object names. One place, because injector, controller and node role must agree.

/// Label of a namespace (`enabled`) and of a pod (`enabled`, `disabled`): whether pods get a sidecar. As an annotation it works on pods, too.
pub const INJECT: &str = "foreshadow.dev/inject";
/// Annotation: how the sidecar gets the traffic: auto, named-port, redirect.
pub const TAKEOVER: &str = "foreshadow.dev/takeover";
/// Annotation: ports to take over, names or numbers, with commas.
pub const PORTS: &str = "foreshadow.dev/ports";
/// Annotation: which of them speak HTTP/2 without TLS (gRPC), names or numbers, with commas.
pub const HTTP2_PORTS: &str = "foreshadow.dev/http2-ports";
/// Annotation: which requests may be copied: safe, all.
pub const METHODS: &str = "foreshadow.dev/copy-methods";
/// Annotations: resources of the sidecar.
pub const PROXY_CPU: &str = "foreshadow.dev/proxy-cpu";
/// The sidecar's memory.
pub const PROXY_MEMORY: &str = "foreshadow.dev/proxy-memory";
/// Annotation that injection leaves: what was done, JSON. Its presence makes injection idempotent.
pub const STATUS: &str = "foreshadow.dev/injected";
/// Annotation that injection leaves: the workload, `Deployment/web`.
pub const WORKLOAD: &str = "foreshadow.dev/workload";
/// Annotation that injection leaves: endpoint file in force until the controller's ConfigMap reaches the pod.
pub const NO_ENDPOINTS: &str = "foreshadow.dev/shadow-endpoints";
/// Label that injection leaves on pods, for selectors.
pub const INJECTED: &str = "foreshadow.dev/sidecar";
/// Label of a shadow's pods and of everything made for one.
pub const ROLE: &str = "foreshadow.dev/role";
/// Value of [`ROLE`].
pub const SHADOW: &str = "shadow";
/// Label: the ShadowScaler that an object was made for.
pub const SCALER: &str = "foreshadow.dev/scaler";

/// The sidecar's container.
pub const PROXY_CONTAINER: &str = "foreshadow-proxy";
/// The init container that redirects.
pub const INIT_CONTAINER: &str = "foreshadow-init";
/// Volume with the shadow's endpoints.
pub const SHADOW_VOLUME: &str = "foreshadow-shadow";
/// Where it is mounted.
pub const SHADOW_DIR: &str = "/etc/foreshadow/shadow";
/// The endpoint file in it, and its key in the ConfigMap.
pub const SHADOW_FILE: &str = "endpoints.yaml";
/// User that the sidecar runs as: the redirect spares it.
pub const PROXY_UID: u32 = 1337;

/// Admin endpoints, loopback only. Our ports keep clear of Istio's (15000 to 15090).
pub const ADMIN_PORT: u16 = 17_000;
/// First listener for taken traffic; more taken names get the next ones.
pub const INBOUND_PORT: u16 = 17_006;
/// Readiness and metrics for everybody, telemetry and runtime for who knows the pod's UID.
pub const ACCESS_PORT: u16 = 17_020;
/// Name of that port.
pub const ACCESS_PORT_NAME: &str = "foreshadow";
/// With redirection: first port that leads past the sidecar, for probes.
pub const DIRECT_PORT: u16 = 17_100;
/// Header with the pod's UID that telemetry and runtime ask for.
pub const ACCESS_HEADER: &str = "x-foreshadow-pod";

/// Cluster of the application. It is the one that counts.
pub const APP_CLUSTER: &str = "application";
/// The same for HTTP/2.
pub const APP_HTTP2_CLUSTER: &str = "application-http2";
/// Cluster that copies go to.
pub const SHADOW_CLUSTER: &str = "shadow";
/// Runtime key of the share of requests that are copied, percent.
pub const RUNTIME_KEY: &str = "mirror.shadow";
/// Clusters whose names start so carry probes and our own questions: they are not production's traffic.
pub const ASIDE: &str = "foreshadow-";

/// ConfigMap with the shadow's endpoints, for the sidecars of a workload.
pub fn endpoints_config_map(kind: &str, workload: &str) -> String {
    bounded(&format!("foreshadow-{}-{workload}", kind.to_ascii_lowercase()), 253)
}

/// Deployment and Service of a workload's shadow.
pub fn shadow(workload: &str) -> String {
    bounded(&format!("{workload}-shadow"), 63)
}

/// Cuts a name to a length that the API takes; the end stays, because it tells names apart.
fn bounded(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let (head, tail) = name.split_at(name.len() - 8);
    let keep = most - tail.len() - 9;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{}-{:08x}{tail}", &head[..keep], hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart_and_fit() {
        let (one, two) = (shadow(&format!("{}a", "x".repeat(62))), shadow(&format!("{}b", "x".repeat(62))));
        assert!(one.len() <= 63 && two.len() <= 63 && one != two, "{one} {two}");
        assert!(one.ends_with("-shadow"));
        assert_eq!(shadow("web"), "web-shadow");
        assert_eq!(endpoints_config_map("Deployment", "web"), "foreshadow-deployment-web");
    }
}

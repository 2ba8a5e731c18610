//! The rest of a cluster: controllers, scheduler, Service rules, cluster DNS, resource metrics.

use super::{NAME, network};
use crate::assets::Assets;
use crate::components::Components;
use crate::control_plane::ControlPlane;
use crate::error::{Result, write};
use crate::process::Process;
use crate::{kubeconfig, objects};
use serde_json::{Value, json};
use std::path::Path;

const METRICS_PORT: u16 = 4443;
const DNS_PORT: u16 = 10053;

/// Starts all of them.
pub async fn start(assets: &Assets, plane: &ControlPlane, dir: &Path) -> Result<Vec<Process>> {
    let it = Components { assets, plane, dir };
    let started = vec![it.controller_manager(&[])?, it.scheduler(&[])?, it.service_proxy()?, it.dns()?, it.metrics_server()?];
    let client = kube::Client::try_from(kubeconfig::parse(&plane.kubeconfig()?).await?)?;
    for object in surroundings(plane) {
        objects::apply(&client, &object).await?;
    }
    Ok(started)
}

/// Whether the metrics API answers with the node's figures, as the HPA would ask.
pub async fn metrics_are_served(client: &kube::Client) -> bool {
    let request = http::Request::get(format!("/apis/metrics.k8s.io/v1beta1/nodes/{NAME}")).body(Vec::new()).unwrap_or_default();
    client.request_text(request).await.is_ok()
}

impl Components<'_> {
    fn service_proxy(&self) -> Result<Process> {
        let kubeconfig = self.kubeconfig("kube-proxy", "system:kube-proxy", None)?;
        let config = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": { "kubeconfig": kubeconfig },
            "mode": "iptables",
            "clusterCIDR": network::PODS,
            "hostnameOverride": NAME,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            // The connection table's size is not a network namespace's to set.
            "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        });
        let path = self.dir.join("kube-proxy.json");
        write(&path, format!("{config:#}"))?;
        self.start("kube-proxy", &[format!("--config={}", path.display())])
    }

    fn dns(&self) -> Result<Process> {
        let config = self.kubeconfig("coredns", "foreshadow-test-dns", Some("system:masters"))?;
        let path = self.dir.join("Corefile");
        let text = format!(
            ".:{DNS_PORT} {{\n  bind {node}\n  errors\n  ready 127.0.0.1:8181\n  kubernetes cluster.local {{\n    kubeconfig {config}\n  }}\n}}\n",
            node = network::NODE
        );
        write(&path, text)?;
        self.start("coredns", &["-conf".into(), path.display().to_string()])
    }

    fn metrics_server(&self) -> Result<Process> {
        let config = self.kubeconfig("metrics-server", "foreshadow-test-metrics", Some("system:masters"))?;
        self.plane.pki().server("metrics-server-tls", &["metrics-server.kube-system.svc"])?;
        self.start(
            "metrics-server",
            &[
                format!("--kubeconfig={config}"),
                format!("--authentication-kubeconfig={config}"),
                format!("--authorization-kubeconfig={config}"),
                format!("--bind-address={}", network::NODE),
                format!("--secure-port={METRICS_PORT}"),
                format!("--tls-cert-file={}", self.pki("metrics-server-tls.crt")),
                format!("--tls-private-key-file={}", self.pki("metrics-server-tls.key")),
                format!("--kubelet-certificate-authority={}", self.pki("ca.crt")),
                "--kubelet-preferred-address-types=InternalIP".into(),
                "--metric-resolution=15s".into(),
            ],
        )
    }
}

/// Services without pods behind them for what runs beside the kubelet, the metrics API, and the roles that a real installation has.
fn surroundings(plane: &ControlPlane) -> Vec<Value> {
    let service = |name: &str, address: Option<&str>, port: u16, target: u16, protocols: &[&str]| {
        let ports = |n: u16| protocols.iter().map(|p| json!({ "name": p.to_lowercase(), "port": n, "protocol": p })).collect::<Vec<_>>();
        let spec = json!({ "clusterIP": address, "ports": ports(port) });
        [
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "kube-system" }, "spec": spec }),
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": { "name": name, "namespace": "kube-system", "labels": { "kubernetes.io/service-name": name } },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": [network::NODE], "conditions": { "ready": true } }],
                "ports": ports(target),
            }),
        ]
    };
    let mut objects = Vec::new();
    objects.extend(service("kube-dns", Some(network::DNS), 53, DNS_PORT, &["UDP", "TCP"]));
    objects.extend(service("metrics-server", None, 443, METRICS_PORT, &["TCP"]));
    objects.push(json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "name": "metrics-server", "namespace": "kube-system" },
            "caBundle": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, plane.pki().ca()),
        },
    }));
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "foreshadow-test-kube-proxy" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier" },
        "subjects": [{ "kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io" }],
    }));
    objects
}

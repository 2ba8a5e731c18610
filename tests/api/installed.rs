//! Foreshadow installed as it is shipped: manifests/ applied to an API server of the test's own, the real controller running beside it with
//! its ServiceAccount's token, and nothing but the rights that the manifests give.

use crate::scene::{apply, eventually, install, try_apply};
use foreshadow_agent::kubernetes::yaml;
use foreshadow_cluster::api::{self, ApiServer};
use foreshadow_cluster::{guard, kubeconfig};
use foreshadow_tests::code::workspace;
use foreshadow_tests::http::get;
use foreshadow_tests::programs::{Running, program};
use kube::Client;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// Where Foreshadow is installed.
pub const NAMESPACE: &str = "foreshadow";

/// An installation without a node.
pub struct Installed {
    // Before the server, in whose directory its log is.
    controller: Option<Running>,
    /// Its API server.
    pub server: ApiServer,
    /// With all rights.
    pub client: Client,
    webhook: SocketAddr,
}

/// All objects of the shipped base, in its order.
pub fn shipped() -> Vec<Value> {
    let base = workspace().join("manifests/kustomize/base");
    let read = |name: &str| std::fs::read_to_string(base.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let kustomization = yaml::read(&read("kustomization.yaml")).expect("YAML").remove(0).value.expect("a kustomization");
    let names = kustomization["resources"].as_array().expect("resources").iter().filter_map(Value::as_str);
    names.flat_map(|name| yaml::read(&read(name)).expect("YAML")).filter_map(|document| document.value).collect()
}

impl Installed {
    /// Applies the manifests; no controller yet.
    pub async fn begin() -> Option<Self> {
        let server = api::own().await?;
        // Built now, if it is to be built: tokens do not last as long as that may take.
        program("foreshadow-agent");
        let client = server.admin().await;
        for object in shipped() {
            if object["kind"] == "CustomResourceDefinition" {
                install(&client, &serde_json::from_value(object).expect("a definition")).await;
            } else {
                apply(&client, object["metadata"]["namespace"].as_str().unwrap_or_default(), &object).await;
            }
        }
        let webhook = SocketAddr::from((own_address(), free_port()));
        Some(Self { controller: None, server, client, webhook })
    }

    /// Starts the controller (again) and waits until it could answer the webhook's questions.
    pub async fn start_controller(&mut self) {
        let token = self.server.token(NAMESPACE, "foreshadow-controller", "").await;
        let plane = self.server.control_plane();
        let (dir, config) = (plane.dir().to_owned(), kubeconfig::with_token(plane.url(), plane.pki().ca(), &token));
        let file = dir.join("controller.kubeconfig");
        std::fs::write(&file, config).expect("written");
        let (webhook, pages) = (self.webhook.to_string(), format!("127.0.0.1:{}", free_port()));
        let arguments = ["controller", "--identity", "one", "--webhook-listen", &webhook, "--listen", &pages];
        let text = |path: &std::path::Path| path.to_str().expect("ASCII").to_owned();
        let variables = [("KUBECONFIG", text(&file)), (guard::MARK, text(&dir))];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.controller = Some(Running::start(&dir, "controller", "foreshadow-agent", &arguments, &variables));
        let ready = format!("http://{pages}/readyz");
        eventually(Duration::from_secs(180), async || get(&ready).is_some_and(|a| a.status == 200)).await;
    }

    /// The agent's command as an administrator runs it: its exit code, and what it said.
    pub fn agent(&mut self, arguments: &[&str]) -> (Option<i32>, String) {
        let dir = self.server.control_plane().dir().to_owned();
        let file = dir.join("admin.kubeconfig");
        std::fs::write(&file, self.server.kubeconfig()).expect("written");
        let file = file.to_str().expect("ASCII");
        let label = format!("agent-{}", arguments.join("-"));
        let mut command = Running::start(&dir, &label, "foreshadow-agent", arguments, &[("KUBECONFIG", file)]);
        let ended = command.wait(Duration::from_secs(180)).expect("it ends");
        (ended.code(), command.output())
    }

    /// SIGKILL: nothing is let go, nobody is told.
    pub fn kill_controller(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            controller.signal(Signal::KILL);
            controller.wait(Duration::from_secs(10)).expect("killed");
        }
    }

    /// The webhook's Service leads to the controller, as the endpoint controller would have it.
    pub async fn serve_webhook(&self) {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "foreshadow-controller-1", "labels": { "kubernetes.io/service-name": "foreshadow-controller" } },
            "ports": [{ "name": "webhook", "port": self.webhook.port(), "protocol": "TCP" }],
            "endpoints": [{ "addresses": [self.webhook.ip()], "conditions": { "ready": true } }] });
        apply(&self.client, NAMESPACE, &slice).await;
    }

    /// A namespace with these labels.
    pub async fn labelled_namespace(&self, name: &str, labels: Value) {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        apply(&self.client, "", &namespace).await;
    }

    /// Production in `namespace`: Deployment and Service `web`, the image `app:RELEASE`.
    pub async fn deploy(&self, namespace: &str, release: &str) {
        let labels = json!({ "app": "web" });
        let container = json!({ "name": "app", "image": format!("app:{release}"), "env": [{ "name": "RELEASE", "value": release }],
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "resources": { "requests": { "cpu": "200m", "memory": "64Mi" }, "limits": { "cpu": "400m", "memory": "64Mi" } } });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "replicas": 2, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } } });
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": "http" }] } });
        // An API server that was just started again may still be busy with itself.
        eventually(Duration::from_secs(30), async || try_apply(&self.client, namespace, &deployment).await.is_ok()).await;
        apply(&self.client, namespace, &service).await;
    }

    /// The ShadowScaler `web` in `namespace`.
    pub async fn apply_scaler(&self, namespace: &str) {
        let scaler = json!({
            "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": "web" },
            "spec": { "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 }, "mode": "Act" } });
        eventually(Duration::from_secs(30), async || try_apply(&self.client, namespace, &scaler).await.is_ok()).await;
    }
}

/// An address of this machine's that an EndpointSlice may name: none of loopback's. Packets to it stay on the machine.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Nothing is sent: connecting only chooses the interface.
    socket.connect("192.0.2.1:9").expect("a network interface beside loopback, with a route: endpoints of Services cannot be on loopback");
    match socket.local_addr().expect("connected").ip() {
        std::net::IpAddr::V4(ip) => ip,
        other => panic!("{other}"),
    }
}

/// A port that was free a moment ago, at every address.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

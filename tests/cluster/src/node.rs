//! A whole node: control plane, container runtime, kubelet, kube-proxy, cluster DNS and metrics-server, in namespaces of its own.
//!
//! [`enclosure`] is the outside: it makes the namespaces, and nothing of a node outlives them (processes die with the pid namespace, mounts
//! with the mount namespace, interfaces and packet filter rules with the network namespace; control groups are removed by name).
//! [`Node`] is the inside: started there by the command's hidden `inside` form, before the suite.

pub mod components;
pub mod containers;
pub mod enclosure;
pub mod kubelet;
pub mod network;

use crate::assets::Assets;
use crate::control_plane::{ControlPlane, Settings};
use crate::error::{Error, Result, write};
use crate::process::Process;
use k8s_openapi::api::core::v1 as core;
use kube::api::Api;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The node's name.
pub const NAME: &str = "node-1";

/// A running node. Dropping it stops the programs in order; what they leave goes with the enclosure.
pub struct Node {
    plane: ControlPlane,
    processes: Vec<Process>,
    dir: PathBuf,
}

impl Node {
    /// Starts everything; returns when the node is ready and metrics are served. `dir` is the enclosure's directory.
    pub async fn start(assets: &Assets, dir: &Path, group: &str, say: &mut dyn FnMut(&str)) -> Result<Self> {
        network::up()?;
        containers::hide_the_host(dir)?;
        let plane = ControlPlane::start(assets, &settings()).await?;
        say("API server ready");
        write(&dir.join("admin.kubeconfig"), plane.kubeconfig()?)?;
        let mut it = Self { plane, processes: Vec::new(), dir: dir.into() };
        it.processes.push(containers::runtime(assets, dir)?);
        containers::wait_for_runtime(assets, it.processes.last_mut()).await?;
        say("container runtime ready");
        it.processes.push(kubelet::start(assets, &it.plane, dir, group)?);
        it.processes.extend(components::start(assets, &it.plane, dir).await?);
        it.wait_ready().await?;
        say("node ready");
        Ok(it)
    }

    /// The API server and etcd.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        &mut self.plane
    }

    /// Where kubeconfig and logs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    async fn wait_ready(&mut self) -> Result<()> {
        const WITHIN: Duration = Duration::from_secs(180);
        let client = kube::Client::try_from(crate::kubeconfig::parse(&self.plane.kubeconfig()?).await?)?;
        let nodes: Api<core::Node> = Api::all(client.clone());
        let start = Instant::now();
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            // It is not there until the kubelet has registered it.
            let node = nodes.get_opt(NAME).await.unwrap_or(None);
            if node.is_some_and(|n| is_ready(&n)) && components::metrics_are_served(&client).await {
                return Ok(());
            }
            if start.elapsed() > WITHIN {
                let kubelet = &self.processes[1];
                return Err(kubelet.error(&format!("did not bring a ready node with metrics within {} s", WITHIN.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // In reverse order of their start, the store last.
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }
}

fn is_ready(node: &core::Node) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// An API server that pods and kubelet reach at the node's address, with every default admission plugin.
fn settings() -> Settings {
    Settings {
        address: network::NODE,
        services: network::SERVICES.into(),
        arguments: vec!["--enable-admission-plugins=NodeRestriction".into(), "--enable-aggregator-routing=true".into()],
        kubelet_client: true,
    }
}

/// An error that names a setting of this machine.
pub(crate) fn unsuitable(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::Missing { what: what.into(), reason: reason.to_string() }
}

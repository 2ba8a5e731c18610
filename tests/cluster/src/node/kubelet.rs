//! The kubelet and its configuration.

use super::{NAME, network};
use crate::assets::Assets;
use crate::control_plane::ControlPlane;
use crate::error::{Result, write};
use crate::kubeconfig;
use crate::process::Process;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Starts it. `group` is the control group that all pods of this node live in.
pub fn start(assets: &Assets, plane: &ControlPlane, dir: &Path, group: &str) -> Result<Process> {
    let identity = plane.pki().client("kubelet", &format!("system:node:{NAME}"), Some("system:nodes"))?;
    let address = network::NODE.to_string();
    plane.pki().server("kubelet-server", &[NAME, &address])?;
    write(&dir.join("kubelet.kubeconfig"), kubeconfig::with_certificate(plane.url(), plane.pki().ca(), &identity))?;
    write(&dir.join("resolv.conf"), "")?;
    write(&dir.join("kubelet.json"), format!("{:#}", config(plane, dir, group)))?;
    let mut command = Command::new(assets.program("kubelet")?);
    command.arg("--config").arg(dir.join("kubelet.json")).arg("--kubeconfig").arg(dir.join("kubelet.kubeconfig"));
    command.args([format!("--hostname-override={NAME}"), format!("--node-ip={address}"), "--root-dir=/var/lib/kubelet".into()]);
    Process::start(dir, "kubelet", &mut command)
}

fn config(plane: &ControlPlane, dir: &Path, group: &str) -> serde_json::Value {
    let pki = |file: &str| plane.pki().path(file);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network::NODE,
        "authentication": { "anonymous": { "enabled": false }, "x509": { "clientCAFile": pki("ca.crt") } },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki("kubelet-server.crt"),
        "tlsPrivateKeyFile": pki("kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{}", super::containers::SOCKET),
        "clusterDNS": [network::DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": dir.join("resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        // Machines of CI's kind have the old layout.
        "failCgroupV1": false,
        "failSwapOn": false,
        // The disk is the developer's own, and may be nearly full.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumePluginDir": dir.join("volume-plugins"),
        "shutdownGracePeriod": "0s",
        // Volumes with ConfigMaps follow at this pace, after a minute by default.
        "syncFrequency": "10s",
    })
}

//! containerd with runc and the CNI plugins, and the images that pods may use.

use super::{network, unsuitable};
use crate::assets::Assets;
use crate::error::{Error, Result, Tried as _, write};
use crate::process::Process;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// containerd's socket; `/run` is the enclosure's own.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The image that holds a pod's namespaces, as `manifests/images/build` names it.
pub const PAUSE: &str = "foreshadow.dev/pause:test";

/// Covers the places that node programs write to, so that nothing reaches the host's.
pub fn hide_the_host(dir: &Path) -> Result<()> {
    mount(&["-t", "tmpfs", "tmpfs", "/run"])?;
    let (upper, work) = (dir.join("var"), dir.join("var-work"));
    for path in [&upper, &work, &dir.join("kubelet"), &upper.join("lib/kubelet")] {
        std::fs::create_dir_all(path).tried(|| format!("cannot make {}", path.display()))?;
    }
    let options = format!("lowerdir=/var,upperdir={},workdir={}", upper.display(), work.display());
    mount(&["-t", "overlay", "overlay", "-o", &options, "/var"])?;
    // The kubelet looks up the file system that its directory is on, and does so best on a plain one.
    mount(&["--bind", &dir.join("kubelet").display().to_string(), "/var/lib/kubelet"])
}

fn mount(arguments: &[&str]) -> Result<()> {
    let output = Command::new("mount").args(arguments).output().tried(|| "cannot start mount".into())?;
    if output.status.success() {
        return Ok(());
    }
    Err(unsuitable(&format!("mount {}", arguments.join(" ")), String::from_utf8_lossy(&output.stderr)))
}

/// Starts containerd.
pub fn runtime(assets: &Assets, dir: &Path) -> Result<Process> {
    let runc = on_path("runc").ok_or_else(|| unsuitable("runc", "not on PATH; on Debian: apt-get install runc"))?;
    let programs = assets.program("ptp")?;
    let programs = programs.parent().unwrap_or(Path::new("/")).to_owned();
    write(&dir.join("cni/10-pods.conflist"), format!("{:#}", cni()))?;
    write(&dir.join("containerd.toml"), config(dir, &programs, &runc))?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(assets.program("containerd")?);
    command.arg("--config").arg(dir.join("containerd.toml")).env("PATH", path);
    Process::start(dir, "containerd", &mut command)
}

/// Waits until it answers.
pub async fn wait_for_runtime(assets: &Assets, process: Option<&mut Process>) -> Result<()> {
    let Some(process) = process else { return Ok(()) };
    let start = Instant::now();
    while !ctr(assets)?.arg("version").output().is_ok_and(|o| o.status.success()) {
        process.check()?;
        if start.elapsed() > Duration::from_secs(60) {
            return Err(process.error("does not answer"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Imports image archives; pods then name them with `imagePullPolicy: Never` or `IfNotPresent`.
pub fn import(assets: &Assets, archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        let output = ctr(assets)?.args(["images", "import", "--local", "--digests=false"]).arg(archive).output();
        let output = output.tried(|| "cannot start ctr".into())?;
        if !output.status.success() {
            let what = format!("importing {}", archive.display());
            return Err(Error::Missing { what, reason: String::from_utf8_lossy(&output.stderr).into_owned() });
        }
    }
    Ok(())
}

/// `ctr` at this node's runtime, in the kubelet's namespace.
pub fn ctr(assets: &Assets) -> Result<Command> {
    let mut command = Command::new(assets.program("ctr")?);
    command.args(["--address", SOCKET, "--namespace", "k8s.io"]);
    Ok(command)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // sbin is not on everybody's path.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Point-to-point links with routes: no bridge, so replies of a Service pass the packet filter without `br_netfilter`.
fn cni() -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": network::PODS }]], "routes": [{ "dst": "0.0.0.0/0" }] },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "bandwidth", "capabilities": { "bandwidth": true } },
        ],
    })
}

fn config(dir: &Path, programs: &Path, runc: &Path) -> String {
    let (dir, programs, runc) = (dir.display(), programs.display(), runc.display());
    format!(
        r#"version = 3
root = "{dir}/containerd"
state = "/run/containerd"

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
# Root may lack CAP_SYS_RESOURCE, without which a score cannot be lowered.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}"]
conf_dir = "{dir}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"#
    )
}

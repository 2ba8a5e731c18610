//! The images that the node runs: the product's, the sample application's, and the pause container of Kubernetes.

use crate::assets::source;
use crate::error::{Error, Result, Tried as _};
use crate::guard::MARK;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds all archives into `out`. `mark` is the run's directory.
pub fn build(out: &Path, mark: &Path) -> Result<()> {
    // Fast to build and fast to run; what ships is built with the profile `dist`.
    let ours = ["--profile", "release", "foreshadow-proxy", "foreshadow-init", "foreshadow-agent", "foreshadow-app", "foreshadow-load"];
    script(out, mark).args(ours).status().tried(|| "cannot start manifests/images/build".into()).and_then(good)?;
    let pause = kubernetes_source()?.join("build/pause/linux/pause.c");
    let mut command = script(out, mark);
    command.args(["--tag", "test", "--bin", "/", "pause"]).env("PAUSE_SOURCE", pause);
    command.status().tried(|| "cannot start manifests/images/build".into()).and_then(good)
}

fn script(out: &Path, mark: &Path) -> Command {
    let mut command = Command::new(super::workspace().join("manifests/images/build"));
    command.arg("--out").arg(out).env(MARK, mark).stdout(std::io::stderr());
    command
}

fn good(status: std::process::ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Missing { what: "images".into(), reason: format!("manifests/images/build failed ({status})") })
}

/// Where Go keeps the source of Kubernetes.
fn kubernetes_source() -> Result<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(source("kubernetes")).args(["mod", "download", "-json", "k8s.io/kubernetes"]).env("GOFLAGS", "");
    let output = go.output().tried(|| "cannot start go".into())?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let missing =
        || Error::Missing { what: "the source of Kubernetes".into(), reason: String::from_utf8_lossy(&output.stderr).into_owned() };
    answer["Dir"].as_str().map(PathBuf::from).ok_or_else(missing)
}

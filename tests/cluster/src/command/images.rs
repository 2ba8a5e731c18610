//! The images that the node runs: the product's, the sample application's, and the pause container of Kubernetes.

use crate::assets::source;
use crate::error::{Error, Result, Tried as _};
use crate::guard::MARK;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAMS: [&str; 4] = ["foreshadow-proxy", "foreshadow-agent", "foreshadow-app", "foreshadow-load"];

/// Builds all archives into `out` from the programs in the directory `programs`. `mark` is the run's directory.
pub fn build(out: &Path, programs: &Path, mark: &Path) -> Result<()> {
    let mut command = script(out, mark);
    command.arg("--libraries").arg("--bin").arg(programs).arg("foreshadow-init").args(PROGRAMS);
    command.status().tried(|| "cannot start manifests/images/build".into()).and_then(good)?;
    let pause = kubernetes_source()?.join("build/pause/linux/pause.c");
    let mut command = script(out, mark);
    command.args(["--tag", "test", "--bin", "/", "pause"]).env("PAUSE_SOURCE", pause);
    command.status().tried(|| "cannot start manifests/images/build".into()).and_then(good)
}

/// Builds the programs; the directory that they are in. With the profile that tests are built with, so that `cargo test` before or after
/// shares the work; what ships is built with `dist`.
pub fn programs(release: bool, mark: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(super::workspace()).args(["build", "--workspace", "--message-format", "json-render-diagnostics"]);
    cargo
        .args(release.then_some("--release"))
        .args(PROGRAMS.iter().flat_map(|p| ["--bin", p]))
        .env(MARK, mark)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = cargo.output().tried(|| "cannot start cargo".into())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let built = messages.filter_map(|m| m["executable"].as_str().map(PathBuf::from)).next_back();
    if let Some(dir) = built.as_deref().and_then(Path::parent).filter(|_| output.status.success()) {
        return Ok(dir.to_owned());
    }
    Err(Error::Missing { what: "the product's programs".into(), reason: format!("they do not build ({})", output.status) })
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

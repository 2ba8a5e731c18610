//! The two programs: found or built, started with a file, ended whatever happens.

use crate::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a program may take to start: a busy machine is patient.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// The oracle.
    Envoy,
    /// Ours.
    Foreshadow,
}

/// Where both programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    envoy: PathBuf,
    ours: PathBuf,
}

impl Programs {
    /// Finds Envoy, builds the proxy when cargo started us.
    ///
    /// # Errors
    /// When there is no Envoy, or the proxy does not build.
    pub fn prepare() -> Result<Self, Error> {
        let envoy = envoy().ok_or(Error::NoEnvoy)?;
        Ok(Self { envoy, ours: ours()? })
    }

    /// Path of one.
    pub fn path(&self, product: Product) -> &Path {
        match product {
            Product::Envoy => &self.envoy,
            Product::Foreshadow => &self.ours,
        }
    }

    /// A command in a process group of its own, ended with its handle.
    pub fn command(&self, product: Product) -> Command {
        let mut command = Command::new(self.path(product));
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }
}

/// The Envoy at `$ENVOY_BIN` or on PATH.
pub fn envoy() -> Option<PathBuf> {
    let given = std::env::var_os("ENVOY_BIN").map(PathBuf::from).filter(|p| p.is_file());
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("envoy")).find(|file| file.is_file())
    };
    given.or_else(on_path)
}

fn ours() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::failed("finding this program"))?;
    let mut dir = exe.parent().map(Path::to_path_buf).unwrap_or_default();
    let in_a_test = dir.ends_with("deps");
    if in_a_test {
        dir.pop();
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        let profile = dir.file_name().and_then(|n| n.to_str()).filter(|n| *n != "debug").unwrap_or("dev").to_owned();
        let mut build = std::process::Command::new(cargo);
        build.args(["build", "--quiet", "--profile", &profile, "-p", "foreshadow-proxy"]);
        // The other tests build these programs together: chosen alone, the proxy's dependencies have other features and are built once more.
        let others: &[&str] =
            if in_a_test { &["-p", "foreshadow-agent", "-p", "foreshadow-loadtests", "--bins"] } else { &["--bin", "foreshadow-proxy"] };
        build.args(others);
        build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
        build.arg("--target-dir").arg(dir.parent().unwrap_or(&dir));
        let status = build.status().map_err(Error::failed("starting cargo"))?;
        if !status.success() {
            return Err(Error::Failed("foreshadow-proxy does not build".into()));
        }
    }
    let ours = dir.join("foreshadow-proxy");
    if ours.is_file() {
        Ok(ours)
    } else {
        Err(Error::Failed(format!("{} is not there; start this with cargo, which builds it", ours.display())))
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    log: PathBuf,
    /// Where its admin endpoints are.
    pub admin: SocketAddr,
}

impl Proxy {
    /// Starts one with this configuration and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub async fn start(programs: &Programs, product: Product, dir: &Path, config: &str) -> Result<Self, Error> {
        let label = format!("{product:?}").to_lowercase();
        let (file, admin, log) = (dir.join(format!("{label}.yaml")), dir.join(format!("{label}.admin")), dir.join(format!("{label}.log")));
        std::fs::write(&file, config).map_err(Error::failed("writing a configuration"))?;
        let said = std::fs::File::create(&log).map_err(Error::failed("making a log file"))?;
        let mut command = programs.command(product);
        command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--drain-time-s", "1"]);
        command.arg("--admin-address-path").arg(&admin).current_dir(dir);
        if product == Product::Envoy {
            // Access logs: every ten seconds otherwise.
            command.args(["--file-flush-interval-msec", "100"]);
        }
        command.stdout(said.try_clone().map_err(Error::failed("sharing a log file"))?).stderr(said);
        let mut child = command.spawn().map_err(Error::failed(&label))?;
        let begun = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Failed(format!("{label} ended at once ({status}):\n{}", last_lines(&said))));
            }
            let address = std::fs::read_to_string(&admin).ok().and_then(|a| a.trim().parse().ok());
            if let Some(address) = address
                && crate::client::admin(address, "GET", "/ready").await.is_some_and(|a| a.status() == 200)
            {
                return Ok(Self { child, log, admin: address });
            }
            if begun.elapsed() > STARTS_WITHIN {
                return Err(Error::Failed(format!("{label} does not get ready")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it. What it printed, if it had ended by itself.
    pub async fn end(mut self) -> Option<String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            return Some(format!("ended by itself ({status}):\n{}", last_lines(&said)));
        }
        // It may just be ending.
        let _ = self.child.kill().await;
        None
    }
}

/// The end of what a program said; Envoy puts a whole configuration into one line.
fn last_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|l| l.chars().take(600).collect()).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

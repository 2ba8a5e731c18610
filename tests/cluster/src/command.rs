//! The command behind `cargo test-cluster`: assets, images, suites, one closing line, one exit code.

mod images;
mod report;
mod signals;
mod suite;

use crate::assets::{Assets, CONTROL_PLANE, CONTROLLERS, METRICS, NODE, RUNTIME, Recipe};
use crate::control_plane::{ControlPlane, Settings};
use crate::error::{Error, Result, Tried as _, write};
use crate::guard::Guard;
use report::Outcome;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;

/// Exit code when tests failed.
const FAILED: u8 = 1;
/// sysexits' EX_USAGE.
const USAGE: u8 = 64;
/// sysexits' EX_UNAVAILABLE: the cluster could not be made, so nothing was tested.
const UNAVAILABLE: u8 = 69;

/// Tests Foreshadow on a real Kubernetes: gets or builds what it needs, brings the cluster up, runs the suites, takes it down.
///
/// Two suites: one against kube-apiserver and etcd alone, one on a whole node (containerd, kubelet, kube-proxy, metrics-server, cluster DNS)
/// in namespaces of its own, which needs root, runc, iptables and conntrack. Needs Go 1.26 or newer for the first build (some minutes, then
/// cached in ~/.cache/foreshadow-cluster; FORESHADOW_CLUSTER_CACHE names another place, KUBEBUILDER_ASSETS a directory of programs that are
/// there). Ctrl-C ends it and leaves nothing. Exit codes: 0 all passed, 1 tests failed, 64 wrong arguments, 69 no cluster could be had.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo test-cluster --", version)]
pub struct Arguments {
    /// Run only the suite that needs an API server and no node: no root, no containers
    #[arg(long)]
    api_only: bool,
    /// Run only the suite that needs a node
    #[arg(long, conflicts_with = "api_only")]
    node_only: bool,
    /// Leave the cluster up after the suites, say how to use it, and wait for Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Get or build the programs, then stop
    #[arg(long, conflicts_with_all = ["keep", "kubeconfig"])]
    get: bool,
    /// Use the cluster that this kubeconfig names instead of making one
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    kubeconfig: Option<PathBuf>,
    /// Take image archives from here instead of building them (manifests/images/build made them)
    #[arg(long, value_name = "DIR", conflicts_with = "api_only")]
    images: Option<PathBuf>,
    /// Build suites and programs with the release profile, for figures that mean something
    #[arg(long)]
    release: bool,
    /// Only tests whose name contains this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Reads the command line and runs it to its end.
pub fn main() -> ExitCode {
    match <Arguments as clap::Parser>::try_parse() {
        Ok(arguments) => run(&arguments),
        Err(error) => {
            // Help and version are answers, not errors; a closed pipe behind them is nobody's problem.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        }
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    let outcome = signals::watch().and_then(|()| Run::start(arguments)).and_then(|run| run.to_its_end());
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(outcome)) => {
            println!("{}", outcome.closing_line());
            ExitCode::from(if outcome.good() { 0 } else { FAILED })
        }
        Err(error) => {
            eprintln!("test-cluster: {error}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// One run of the command.
struct Run<'a> {
    arguments: &'a Arguments,
    assets: Assets,
    start: Instant,
    // Everything that this run starts carries the directory as its mark, and ends with it.
    _guard: Guard,
    dir: TempDir,
}

impl<'a> Run<'a> {
    fn start(arguments: &'a Arguments) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foreshadow-run-").tempdir().tried(|| "cannot make a temporary directory".into())?;
        Ok(Self { arguments, assets: Assets::find()?, start: Instant::now(), _guard: Guard::start(dir.path())?, dir })
    }

    fn say(&self, line: &str) {
        eprintln!("[{:>4} s] {line}", self.start.elapsed().as_secs());
    }

    fn to_its_end(&self) -> Result<Option<Outcome>> {
        let (api, node) = (!self.arguments.node_only, !self.arguments.api_only);
        let node_wants: &[Recipe] = if node && self.arguments.kubeconfig.is_none() { &[CONTROLLERS, NODE, RUNTIME, METRICS] } else { &[] };
        for recipe in [CONTROL_PLANE].iter().chain(node_wants) {
            self.assets.get(*recipe, &mut |line| self.say(line))?;
        }
        if self.arguments.get {
            return Ok(None);
        }
        let mut outcome = Outcome::default();
        if api {
            self.say("suite: API server and etcd");
            outcome += self.api()?;
        }
        if node {
            self.say("suite: a whole node");
            outcome += self.node()?;
        }
        self.say("done");
        Ok(Some(outcome))
    }

    fn api(&self) -> Result<Outcome> {
        if !(self.arguments.keep && self.arguments.api_only) {
            return self.suite("api").run(self.arguments.kubeconfig.as_deref());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().tried(|| "no runtime".into())?;
        let plane = runtime.block_on(ControlPlane::start(&self.assets, &Settings::default()))?;
        let kubeconfig = self.dir.path().join("admin.kubeconfig");
        write(&kubeconfig, plane.kubeconfig()?)?;
        let outcome = self.suite("api").run(Some(&kubeconfig))?;
        println!("{}\nThe API server stays until Ctrl-C:\n  export KUBECONFIG={}", outcome.closing_line(), kubeconfig.display());
        signals::wait()
    }

    fn node(&self) -> Result<Outcome> {
        if let Some(kubeconfig) = &self.arguments.kubeconfig {
            let programs = images::programs(self.arguments.release, self.dir.path())?;
            return self.suite("node").run_with(Some(kubeconfig), Some(&programs));
        }
        if !rustix::process::geteuid().is_root() {
            let reason = "needs root for namespaces and containers; run it with sudo, or with --api-only, or with --kubeconfig FILE".into();
            return Err(Error::Missing { what: "a node".into(), reason });
        }
        let made = self.dir.path().join("images");
        let images = self.arguments.images.as_ref().unwrap_or(&made);
        self.say("building programs and images");
        let programs = images::programs(self.arguments.release, self.dir.path())?;
        if self.arguments.images.is_none() {
            images::build(images, &programs, self.dir.path())?;
        }
        self.suite("node").run_enclosed(images, &programs, self.arguments.keep)
    }

    fn suite(&self, name: &'static str) -> suite::Suite<'_> {
        let (build, name): (&[&str], _) = match name {
            "node" => (&["build", "--workspace", "--bin"], "node-suite"),
            _ => (&["test", "--no-run", "--test"], name),
        };
        suite::Suite { build, name, release: self.arguments.release, filter: self.arguments.filter.as_deref(), mark: self.dir.path() }
    }
}

/// The workspace's root.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

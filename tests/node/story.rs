//! What the steps share: the cluster, `kubectl` as people use it, and waiting for a condition.

use crate::objects;
use foreshadow_cluster::assets::{Assets, CONTROL_PLANE, METRICS, NODE, RUNTIME};
use foreshadow_cluster::node::{Node, containers, enclosure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a step ends with.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A step asks for what this cluster does not give; never on the node that test-cluster makes.
#[derive(Debug)]
pub struct Unfit(&'static str);

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Unfit {}

/// A cluster, and what earlier steps found out.
pub struct Story {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    /// None on a cluster that was there.
    node: Option<Node>,
    assets: Assets,
    kubeconfig: PathBuf,
    /// Every object that was there before the product.
    before: BTreeSet<String>,
}

impl Story {
    /// Brings the node up, or takes the cluster that is there. None, with a word about it, when the suite cannot run here.
    pub fn begin() -> Result<Option<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let assets = Assets::find()?;
        if let Some(kubeconfig) = std::env::var_os("FORESHADOW_TEST_KUBECONFIG") {
            let client = client(&runtime, &std::fs::read_to_string(&kubeconfig)?)?;
            return Ok(Some(Self { runtime, client, node: None, assets, kubeconfig: kubeconfig.into(), before: BTreeSet::new() }));
        }
        let (Some(dir), Ok(group)) = (std::env::var_os(enclosure::DIR), std::env::var(enclosure::GROUP)) else {
            let reason = "the node suite runs inside an enclosure: `cargo test-cluster` makes one";
            if std::env::var("CI").is_ok() {
                return Err(reason.into());
            }
            eprintln!("SKIPPED {reason}");
            return Ok(None);
        };
        for recipe in [CONTROL_PLANE, NODE, RUNTIME, METRICS] {
            assets.get(recipe, &mut |line| eprintln!("{line}"))?;
        }
        let start = Instant::now();
        let mut say = |line: &str| eprintln!("[{:>5.1} s] {line}", start.elapsed().as_secs_f64());
        let dir = PathBuf::from(dir);
        let node = runtime.block_on(Node::start(&assets, &dir, &group, &mut say))?;
        containers::import(&assets, &archives()?)?;
        say("images imported");
        let kubeconfig = dir.join("admin.kubeconfig");
        let client = client(&runtime, &std::fs::read_to_string(&kubeconfig)?)?;
        Ok(Some(Self { runtime, client, node: Some(node), assets, kubeconfig, before: BTreeSet::new() }))
    }

    /// Runs `kubectl` with arguments separated by spaces; its standard output.
    pub fn kubectl(&self, arguments: &str) -> Result<String> {
        let output = self.kubectl_command()?.args(arguments.split_whitespace()).stdin(Stdio::null()).output()?;
        said(arguments, output)
    }

    /// `kubectl ... -o json`, read.
    pub fn json(&self, arguments: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&format!("{arguments} -o json"))?)?)
    }

    /// What the API server answers to a GET: quicker than `kubectl`, for what is asked over and over.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(path)?)?)
    }

    /// The same, as text: logs.
    pub fn text(&self, path: &str) -> Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        let asked = async { tokio::time::timeout(Duration::from_secs(10), self.client.request_text(request)).await };
        Ok(self.runtime.block_on(asked)??)
    }

    /// `kubectl apply --server-side -f -`: without it kubectl owns even the fields that it does not name, an HPA's minimum among them.
    pub fn apply(&self, yaml: &str) -> Result {
        let mut child = self
            .kubectl_command()?
            .args(["apply", "--server-side", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("a piped child has a pipe")?.write_all(yaml.as_bytes())?;
        said("apply", child.wait_with_output()?).map(|_| ())
    }

    /// `kubectl` set to this cluster.
    pub fn kubectl_command(&self) -> Result<Command> {
        let mut command = Command::new(self.assets.program("kubectl").unwrap_or_else(|_| "kubectl".into()));
        command.env("KUBECONFIG", &self.kubeconfig);
        if self.node.is_some() {
            // What the API server offers is remembered in the home directory otherwise.
            command.env("KUBECACHEDIR", std::env::temp_dir().join("kubectl"));
        }
        Ok(command)
    }

    /// Runs `foreshadow-agent` as an administrator would; what it says.
    pub fn agent(&self, arguments: &[&str]) -> Result<String> {
        let programs =
            std::env::var_os("FORESHADOW_TEST_PROGRAMS").ok_or("FORESHADOW_TEST_PROGRAMS does not say where the programs are")?;
        let mut command = Command::new(PathBuf::from(programs).join("foreshadow-agent"));
        let output = command.env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null()).output()?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure(output.status.success(), || format!("foreshadow-agent {}: {} {text}", arguments.join(" "), output.status))?;
        Ok(text)
    }

    /// An error unless pods and Services can be reached from here: inside the node, or on another one.
    pub fn reaches_pods(&self) -> Result {
        if self.node.is_some() {
            return Ok(());
        }
        let address = format!("{}:443", self.cluster_ip("default", "kubernetes")?).parse()?;
        let reached = TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok();
        if reached { Ok(()) } else { Err(Unfit("pods of this cluster cannot be reached from here").into()) }
    }

    /// Remembers every object that there is now.
    pub fn remember_objects(&mut self) -> Result {
        self.before = objects::all(self)?;
        Ok(())
    }

    /// Objects that are there now and were not remembered, and those that were and are not there.
    pub fn objects_since(&self) -> Result<(Vec<String>, Vec<String>)> {
        ensure(!self.before.is_empty(), || "nothing was remembered: an earlier step failed".into())?;
        let now = objects::all(self)?;
        let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
        Ok((difference(&now, &self.before), difference(&self.before, &now)))
    }

    /// Kills the API server and starts it again after `pause`.
    pub fn restart_api_server(&mut self, pause: Duration) -> Result {
        let Self { runtime, node, .. } = self;
        let plane = node.as_mut().ok_or(Unfit("the API server is not ours to kill"))?.control_plane();
        plane.kill_api_server();
        std::thread::sleep(pause);
        Ok(runtime.block_on(plane.start_api_server())?)
    }

    /// ClusterIP of a Service.
    pub fn cluster_ip(&self, namespace: &str, service: &str) -> Result<String> {
        let service = self.get(&format!("/api/v1/namespaces/{namespace}/services/{service}"))?;
        Ok(service["spec"]["clusterIP"].as_str().ok_or("no clusterIP")?.to_owned())
    }

    /// Shows what a person would look at first when something failed.
    pub fn show_what_stands(&self) {
        for arguments in ["get pods,deployments,daemonsets,services,hpa -A -o wide", "get events -A --sort-by=.lastTimestamp"] {
            match self.kubectl(arguments) {
                Ok(text) => println!("\n$ kubectl {arguments}\n{}", last_lines(&text, 60)),
                Err(error) => println!("\n$ kubectl {arguments}\n{error}"),
            }
        }
    }

    /// Says how to use the cluster, and waits until it is ended from outside.
    pub fn keep(&mut self) {
        println!("kept: export KUBECONFIG={}", self.kubeconfig.display());
        loop {
            std::thread::park();
        }
    }
}

/// Polls until `found` gives something; what it said last when the time is over.
pub fn until<T>(what: &str, within: Duration, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match found() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::new(),
            Err(error) => format!("; last: {error}"),
        };
        if start.elapsed() > within {
            return Err(format!("not within {} s: {what}{last}", within.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// An error with this text unless the condition holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn client(runtime: &tokio::runtime::Runtime, kubeconfig: &str) -> Result<kube::Client> {
    let config = runtime.block_on(foreshadow_cluster::kubeconfig::parse(kubeconfig))?;
    // Its buffer is a task of the runtime's.
    let _inside = runtime.enter();
    Ok(kube::Client::try_from(config)?)
}

/// The image archives that test-cluster made.
fn archives() -> Result<Vec<PathBuf>> {
    let dir = std::env::var_os("FORESHADOW_TEST_IMAGES").ok_or("FORESHADOW_TEST_IMAGES does not say where the image archives are")?;
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(&dir)? {
        archives.push(entry?.path());
    }
    archives.retain(|p| p.extension().is_some_and(|e| e == "tar"));
    archives.sort();
    ensure(!archives.is_empty(), || format!("no image archives in {}", dir.display()))?;
    Ok(archives)
}

fn said(what: &str, output: Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("kubectl {what}: {} {}", text(&output.stderr).trim(), text(&output.stdout).trim()).into())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

//! Our programs as processes: an agent for each node, one controller, with the ServiceAccounts and rights that the manifests give.

use crate::cluster::{Cluster, failed};
use crate::objects::{self, NAMESPACE};
use foreshadow_cluster::process::Process;
use foreshadow_cluster::{kubeconfig, tokens};
use foreshadow_loadtests::demo::error::Error;
use kube::Client;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tokens outlast any run.
const TOKEN_S: i64 = 7_200;

/// The programs.
pub struct Agents {
    agents: Vec<Process>,
    controller: Process,
}

/// Processor time so far and resident memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    cpu_s: f64,
    resident_bytes: f64,
}

/// What each took: the agents, then the controller.
pub type Costs = (Vec<Cost>, Cost);

/// What one takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spent {
    /// Of one core.
    pub cpu_ratio: f64,
    /// Resident at the end.
    pub resident_bytes: f64,
}

impl Agents {
    /// Starts them; the agents are announced before.
    pub async fn start(cluster: &Cluster, client: &Client, nodes: u16) -> Result<Self, Error> {
        let exe = std::env::current_exe().map_err(|e| Error::failed("finding this program", e))?;
        let program = build(&exe).await?;
        let dir = cluster.plane().dir().to_owned();
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|e| Error::failed(name, e))?;
            Ok::<_, Error>(path.display().to_string())
        };
        let config = async |account: &str| {
            let token = token(client, account, "").await?;
            write(&format!("{account}.kubeconfig"), kubeconfig::with_token(cluster.plane().url(), cluster.plane().pki().ca(), &token))
        };
        let (node, controller) = (config("foreshadow-node").await?, config("foreshadow-controller").await?);
        let reports = write("reports.token", token(client, "foreshadow-node", "foreshadow").await?)?;
        let names: Vec<String> = (0..nodes.into()).map(name).collect();
        objects::agents(client, &names).await?;
        let agent = |(i, name): (u16, &String)| {
            let mut command = Command::new(&program);
            command.args([
                "node",
                "--node-name",
                &objects::node(i),
                "--pod-name",
                name,
                "--namespace",
                NAMESPACE,
                "--address",
                "127.0.0.1",
            ]);
            command.args(["--report-port", "0", "--listen", "127.0.0.1:0", "--kubeconfig", &node, "--token-file", &reports]);
            command.arg("--state-dir").arg(dir.join(name)).args(["--log-level", "warn"]);
            Process::start(&dir, name, &mut command).map_err(failed(name))
        };
        let agents = (0..nodes).zip(&names).map(agent).collect::<Result<Vec<_>, _>>()?;
        let mut command = Command::new(&program);
        command.args(["controller", "--identity", "one", "--no-webhook", "--namespace", NAMESPACE]);
        command.args(["--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0"]).env("KUBECONFIG", controller);
        let controller = Process::start(&dir, "controller", &mut command).map_err(failed("controller"))?;
        Ok(Self { agents, controller })
    }

    /// What each took so far.
    pub fn costs(&self) -> Result<Costs, Error> {
        Ok((self.agents.iter().map(cost).collect::<Result<_, _>>()?, cost(&self.controller)?))
    }

    /// An error when one has ended.
    pub fn all_run(&mut self) -> Result<(), Error> {
        self.agents.iter_mut().chain([&mut self.controller]).try_for_each(|p| p.check().map_err(failed("a program of ours")))
    }
}

/// Name of an agent's pod.
pub fn name(i: usize) -> String {
    format!("agent-{i:03}")
}

/// The agent beside this program, built when cargo started us.
async fn build(exe: &Path) -> Result<PathBuf, Error> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut command = tokio::process::Command::new(cargo);
        command.args(["build", "--quiet", "--workspace", "--bin", "foreshadow-agent"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if exe.components().any(|c| c.as_os_str() == "release") {
            command.arg("--release");
        }
        let status = command.status().await.map_err(|e| Error::failed("cargo", e))?;
        if !status.success() {
            return Err(Error::Failed("the agent does not build".into()));
        }
    }
    Ok(exe.with_file_name("foreshadow-agent"))
}

async fn token(client: &Client, account: &str, audience: &str) -> Result<String, Error> {
    tokens::request(client, NAMESPACE, account, audience, TOKEN_S).await.map_err(failed(account))
}

/// Read from the kernel: ticks of a hundredth of a second, kilobytes.
fn cost(process: &Process) -> Result<Cost, Error> {
    let read = |file: &str| {
        let path = format!("/proc/{}/{file}", process.pid());
        std::fs::read_to_string(&path).map_err(|e| Error::failed(&path, e))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |s| s.1).split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse::<f64>().ok());
    Ok(Cost { cpu_s: ticks / 100.0, resident_bytes: 1_024.0 * resident.unwrap_or(0.0) })
}

/// What each took between two looks: the agents, then the controller.
pub fn spent(before: &Costs, after: &Costs, seconds: f64) -> (Vec<Spent>, Spent) {
    let between = |(b, a): (&Cost, &Cost)| Spent { cpu_ratio: (a.cpu_s - b.cpu_s) / seconds, resident_bytes: a.resident_bytes };
    (before.0.iter().zip(&after.0).map(between).collect(), between((&before.1, &after.1)))
}

//! The cluster's commands, from arguments to an exit code: `node`, and `status`, `explain`, `preflight`, `uninstall` against a cluster.
//!
//! Called by `main`. What each does stands in its own module.

use super::node::{self, NodeError, Settings};
use super::{ask, preflight, uninstall};
use crate::cli::cluster::Uninstall;
use crate::cli::{self, Cluster, Node, Preflight};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::net::IpAddr;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// `node`; returns the exit code.
pub fn node(args: &Node) -> u8 {
    let settings = settings(args);
    // Many small things a second: handed between threads, each would cost more than it takes. What takes long is on blocking threads.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no runtime: {e}"), cli::INTERNAL),
    };
    let ended = runtime.block_on(async {
        let client = client(args.kubeconfig.as_deref(), None).await.map_err(|e| fail(&e, cli::UNAVAILABLE))?;
        let stop = stop_signal().map_err(|e| fail(&format!("no signals: {e}"), cli::INTERNAL))?;
        node::run(client, settings, stop).await.map_err(|e| {
            let code = if matches!(e, NodeError::Listen(..)) { cli::UNAVAILABLE } else { cli::INTERNAL };
            fail(&e.to_string(), code)
        })
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended.err().unwrap_or(cli::OK)
}

/// `status` of a cluster; returns the exit code.
pub fn status(workload: Option<&str>, cluster: &Cluster, json: bool) -> u8 {
    asked(cluster, async |client, namespace| ask::status(client, namespace, workload, json).await)
}

/// `explain` of a workload in a cluster; returns the exit code.
pub fn explain(workload: Option<&str>, cluster: &Cluster, json: bool) -> u8 {
    let Some(workload) = workload else { return fail("name the ShadowScaler: foreshadow-agent explain -n NAMESPACE NAME", cli::USAGE) };
    asked(cluster, async |client, namespace| ask::explain(client, namespace, workload, json).await)
}

/// `preflight`; returns the exit code.
pub fn preflight(args: &Preflight) -> u8 {
    asked(&args.cluster, async |client, namespace| preflight::run(client, namespace, args.workload.as_deref()).await)
}

/// `uninstall`; returns the exit code.
pub fn uninstall(args: &Uninstall) -> u8 {
    let cluster = Cluster { kubeconfig: args.kubeconfig.clone(), context: args.context.clone(), ..Cluster::default() };
    asked(&cluster, async |client, _| uninstall::run(client, args).await)
}

/// Asks with one thread; the namespace is `None` for all of them.
fn asked(cluster: &Cluster, ask: impl AsyncFnOnce(Client, Option<String>) -> Result<u8, kube::Error>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no runtime: {e}"), cli::INTERNAL),
    };
    runtime.block_on(async {
        let client = match client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await {
            Ok(client) => client,
            Err(e) => return fail(&e, cli::UNAVAILABLE),
        };
        let namespace = cluster.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let namespace = (!cluster.all_namespaces).then_some(namespace);
        match ask(client, namespace).await {
            Ok(code) => code,
            Err(kube::Error::Api(status)) if status.code == 404 => {
                fail(&format!("{} (is Foreshadow installed there?)", status.message), cli::UNAVAILABLE)
            }
            Err(e) => fail(&format!("the cluster does not answer: {e}"), cli::UNAVAILABLE),
        }
    })
}

/// A client of the cluster that a kubeconfig names; else of the one that this pod is in, or the current one.
async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, String> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path).map_err(|e| format!("{}: {e}", path.display()))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|e| format!("{}: {e}", path.display()))?
        }
        None if context.is_some() => Config::from_kubeconfig(&options).await.map_err(|e| format!("no cluster to ask: {e}"))?,
        None => Config::infer().await.map_err(|e| format!("no cluster to ask: {e}"))?,
    };
    Client::try_from(config).map_err(|e| format!("no cluster to ask: {e}"))
}

fn settings(args: &Node) -> Settings {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "localhost".into(), |h| h.trim().to_owned());
    let pod = args.pod_name.clone().or_else(|| env("POD_NAME")).unwrap_or_else(host);
    Settings {
        node: args.node_name.clone().or_else(|| env("NODE_NAME")).unwrap_or_else(host),
        pod,
        namespace: args.namespace.clone().or_else(|| env("POD_NAMESPACE")).unwrap_or_else(|| "foreshadow".into()),
        address: args.address.or_else(|| env("POD_IP")?.parse().ok()).unwrap_or(IpAddr::from([127, 0, 0, 1])),
        report_port: args.report_port,
        listen: args.listen,
        cgroup_root: args.cgroup_root.clone(),
        state_dir: args.state_dir.clone(),
        token_file: args.token_file.clone(),
        service: args.service.clone(),
        service_account: args.service_account.clone(),
    }
}

/// SIGTERM and SIGINT; the second one ends at once.
fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (to, stop) = watch::channel(false);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if first {
                to.send_replace(true);
            }
        }
        std::process::exit(i32::from(cli::INTERRUPTED));
    });
    Ok(stop)
}

fn fail(text: &str, code: u8) -> u8 {
    eprintln!("foreshadow-agent: {text}");
    code
}

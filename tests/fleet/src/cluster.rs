//! The API server with an audit log, the controllers that make pods, the scheduler, and kwok, which says that pods run.

use crate::Say;
use foreshadow_cluster::assets::{Assets, CONTROL_PLANE, CONTROLLERS, SIMULATION};
use foreshadow_cluster::components::Components;
use foreshadow_cluster::control_plane::{ControlPlane, Settings};
use foreshadow_cluster::error::{self, write};
use foreshadow_cluster::{guard, kubeconfig, process};
use foreshadow_loadtests::demo::error::Error;
use kube::Client;
use process::Process;
use std::path::{Path, PathBuf};

/// Simulated pods have addresses of loopback, so that whoever asks their sidecars reaches ours.
const PODS: &str = "127.66.0.1/16";
/// What is logged: every request once, with who asked, not what was said.
const POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}"#;

/// A running cluster without a node.
pub struct Cluster {
    // Ended before the API server, which they would only miss.
    _controllers: Vec<Process>,
    plane: ControlPlane,
    // The directory of what must be there before the API server is, gone last.
    dir: PathBuf,
    _guard: guard::Guard,
}

/// Words for an error of the cluster.
pub fn failed(doing: &str) -> impl Fn(error::Error) -> Error + '_ {
    move |e| Error::failed(doing, e)
}

impl Cluster {
    /// Gets the programs and starts them.
    pub async fn start(say: &Say) -> Result<Self, Error> {
        let assets = Assets::find().map_err(failed("programs"))?;
        for recipe in [CONTROL_PLANE, CONTROLLERS, SIMULATION] {
            assets.get(recipe, &mut |line| say.line(line)).map_err(failed("programs"))?;
        }
        say.line("starting the API server, its controllers and kwok");
        // The guard removes it.
        let dir = std::env::temp_dir().join(format!("foreshadow-fleet-{}", std::process::id()));
        write(&dir.join("audit.json"), POLICY).map_err(failed("audit policy"))?;
        let guard = guard::Guard::start(&dir).map_err(failed("guard"))?;
        let mut settings = Settings::default();
        settings.arguments.push(format!("--audit-policy-file={}", dir.join("audit.json").display()));
        settings.arguments.push(format!("--audit-log-path={}", log(&dir).display()));
        let plane = ControlPlane::start(&assets, &settings).await.map_err(failed("API server"))?;
        let controllers = controllers(&assets, &plane).map_err(failed("controllers"))?;
        Ok(Self { _controllers: controllers, plane, dir, _guard: guard })
    }

    /// Its API server.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// With all rights.
    pub async fn client(&self) -> Result<Client, Error> {
        let text = self.plane.kubeconfig().map_err(failed("kubeconfig"))?;
        let config = kubeconfig::parse(&text).await.map_err(failed("kubeconfig"))?;
        Client::try_from(config).map_err(|e| Error::failed("client", e))
    }

    /// Where requests are logged.
    pub fn audit_log(&self) -> PathBuf {
        log(&self.dir)
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

/// They answer a whole fleet's worth of pods.
const QUICK: [&str; 3] = ["--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400"];

fn controllers(assets: &Assets, plane: &ControlPlane) -> error::Result<Vec<Process>> {
    let components = Components { assets, plane, dir: plane.dir() };
    let stages = plane.dir().join("stages.yaml");
    write(&stages, include_str!("stages.yaml"))?;
    let kwok = [
        format!("--kubeconfig={}", components.kubeconfig("kwok", "kwok", Some("system:masters"))?),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".into(),
        "--node-lease-duration-seconds=40".into(),
        format!("--cidr={PODS}"),
        "--node-ip=127.0.0.1".into(),
    ];
    Ok(vec![components.controller_manager(&QUICK)?, components.scheduler(&QUICK)?, components.start("kwok", &kwok)?])
}

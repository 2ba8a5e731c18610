//! etcd and kube-apiserver on free loopback ports, with certificates of their own.
//!
//! One owner, one directory, one guard. The API server can be killed and started again at the same address, with the same data.

use crate::assets::Assets;
use crate::error::{Error, Result, Tried as _};
use crate::guard::Guard;
use crate::kubeconfig;
use crate::pki::Pki;
use crate::process::Process;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for the slowest machine that CI has; never waited for when things go well.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// A port that was free may be taken a moment later: start anew this often.
const ATTEMPTS: usize = 3;

/// What differs between an API server alone and one with a node behind it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address that the API server listens on, and that pods are told.
    pub address: Ipv4Addr,
    /// Range of ClusterIPs, or two with a comma, the first of IPv4.
    pub services: String,
    /// Arguments that come last, so that they win.
    pub arguments: Vec<String>,
    /// Whether there is a kubelet for the API server to ask for logs.
    pub kubelet_client: bool,
}

impl Default for Settings {
    /// An API server alone: no controllers run, so ServiceAccounts have no one to make them and pods must do without; nobody routes
    /// ClusterIPs, so it asks webhooks at their endpoints.
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            services: "10.97.0.0/16,fd00:97::/112".into(),
            arguments: vec!["--disable-admission-plugins=ServiceAccount".into(), "--enable-aggregator-routing=true".into()],
            kubelet_client: false,
        }
    }
}

/// A running API server. Dropping it ends it and removes what it wrote.
pub struct ControlPlane {
    etcd: Option<Process>,
    api_server: Option<Process>,
    command: Vec<String>,
    assets: Assets,
    pki: Pki,
    url: String,
    // Last, in this order: the guard looks for processes in the directory's name, then the directory goes.
    _guard: Guard,
    dir: TempDir,
}

impl ControlPlane {
    /// Starts both and waits until the API server is ready.
    pub async fn start(assets: &Assets, settings: &Settings) -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::attempt(assets, settings).await {
                Ok(started) => return Ok(started),
                Err(error @ Error::Program { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| unreachable!("there is at least one attempt")))
    }

    async fn attempt(assets: &Assets, settings: &Settings) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foreshadow-cluster-").tempdir().tried(|| "cannot make a temporary directory".into())?;
        let guard = Guard::start(dir.path())?;
        let pki = Pki::create(&dir.path().join("pki"))?;
        let address = settings.address.to_string();
        let first_service = settings.services.split('/').next().unwrap_or_default().replace(".0.0", ".0.1");
        let names = ["localhost", "127.0.0.1", &address, &first_service, "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        pki.server("kube-apiserver", &names)?;
        pki.client("admin", "foreshadow-test-admin", Some("system:masters"))?;
        pki.client("front-proxy", "front-proxy", None)?;
        let (store, peers, port) = (free_port(Ipv4Addr::LOCALHOST)?, free_port(Ipv4Addr::LOCALHOST)?, free_port(settings.address)?);
        let etcd = Process::start(dir.path(), "etcd", &mut etcd(&assets.program("etcd")?, store, peers))?;
        let command = api_server_arguments(&pki, settings, store, port);
        let url = format!("https://{address}:{port}");
        let mut it = Self { etcd: Some(etcd), api_server: None, command, assets: assets.clone(), pki, url, _guard: guard, dir };
        it.start_api_server().await?;
        Ok(it)
    }

    /// Starts the API server (again) and waits until it is ready.
    pub async fn start_api_server(&mut self) -> Result<()> {
        let mut command = Command::new(self.assets.program("kube-apiserver")?);
        command.args(&self.command);
        self.api_server = Some(Process::start(self.dir.path(), "kube-apiserver", &mut command)?);
        self.ready().await
    }

    /// SIGKILL to the API server: connections break, nothing is said to anybody. etcd goes on.
    pub fn kill_api_server(&mut self) {
        if let Some(mut process) = self.api_server.take() {
            process.kill();
        }
    }

    async fn ready(&mut self) -> Result<()> {
        let client = kube::Client::try_from(kubeconfig::parse(&self.kubeconfig()?).await?)?;
        let start = Instant::now();
        loop {
            for process in self.etcd.iter_mut().chain(&mut self.api_server) {
                process.check()?;
            }
            // While it starts, connections are refused and then hooks are unfinished; why is in the log.
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap_or_default();
            if tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await.is_ok_and(|answer| answer.is_ok()) {
                return Ok(());
            }
            if start.elapsed() > READY_WITHIN {
                let server = self.api_server.as_ref();
                let error = server.map(|s| s.error(&format!("is not ready after {} s", READY_WITHIN.as_secs())));
                return error.map_or(Ok(()), Err);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Address of the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that signs this cluster's certificates.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Where logs (`log/`), keys (`pki/`) and data are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kubeconfig of a cluster administrator, as text.
    pub fn kubeconfig(&self) -> Result<String> {
        let read = |file: &str| std::fs::read_to_string(self.pki.path(file)).tried(|| format!("cannot read {file}"));
        let identity = crate::pki::Identity { certificate: read("admin.crt")?, key: read("admin.key")? };
        Ok(kubeconfig::with_certificate(&self.url, self.pki.ca(), &identity))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The server first: without its store it would only complain. Both in order, then the guard looks for what is left.
        drop(self.api_server.take());
        drop(self.etcd.take());
        if std::thread::panicking() {
            eprintln!("the API server's log was {}", self.dir.path().join("log/kube-apiserver.log").display());
        }
    }
}

fn etcd(program: &Path, port: u16, peers: u16) -> Command {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let mut command = Command::new(program);
    command.args(["--name=only", "--data-dir=etcd", "--log-level=warn"]);
    // The data is thrown away: a disk that keeps it through a power cut is not wanted.
    command.arg("--unsafe-no-fsync");
    command.args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")]);
    command.args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")]);
    command.arg(format!("--initial-cluster=only={peer}"));
    command
}

fn api_server_arguments(pki: &Pki, settings: &Settings, store: u16, port: u16) -> Vec<String> {
    let path = |file: &str| pki.path(file).display().to_string();
    let mut arguments = vec![
        format!("--bind-address={}", settings.address),
        format!("--advertise-address={}", settings.address),
        format!("--secure-port={port}"),
        format!("--etcd-servers=http://127.0.0.1:{store}"),
        format!("--service-cluster-ip-range={}", settings.services),
        format!("--tls-cert-file={}", path("kube-apiserver.crt")),
        format!("--tls-private-key-file={}", path("kube-apiserver.key")),
        format!("--client-ca-file={}", path("ca.crt")),
        format!("--service-account-key-file={}", path("service-account.pub")),
        format!("--service-account-signing-key-file={}", path("service-account.key")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--allow-privileged=true".into(),
        format!("--requestheader-client-ca-file={}", path("ca.crt")),
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={}", path("front-proxy.crt")),
        format!("--proxy-client-key-file={}", path("front-proxy.key")),
    ];
    if settings.kubelet_client {
        arguments.push(format!("--kubelet-certificate-authority={}", path("ca.crt")));
        arguments.push(format!("--kubelet-client-certificate={}", path("admin.crt")));
        arguments.push(format!("--kubelet-client-key={}", path("admin.key")));
        arguments.push("--kubelet-preferred-address-types=InternalIP".into());
    }
    arguments.extend(settings.arguments.iter().cloned());
    arguments
}

/// A port that was free a moment ago.
fn free_port(address: Ipv4Addr) -> Result<u16> {
    TcpListener::bind((address, 0)).and_then(|l| l.local_addr()).map(|a| a.port()).tried(|| format!("no free port on {address}"))
}

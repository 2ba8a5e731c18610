//! The node role: one agent a node. It sees its own node's pods, tells the holder of each workload what it sees, and holds workloads itself.
//!
//! Started by `main` for `node`. Parts: `pods` (whose they are), `groups` (their control groups), `scrape` and `reporter` (what is seen, and to
//! whom it goes), `wire`, `desk`, `tls`, `pin`, `tokens`, `peer` (how it travels), `board` (reports become a look), `order` (who goes first
//! for a Lease), `keeper` and `holding` (what is held), `view` (the scaler's side), `status`, `pages`. From a look on, everything is as on one machine.
//!
//! Promises: whatever is refused to it, it goes on seeing; without the API server it goes on reporting, recording and forecasting, and stops
//! acting when its Leases run out; on SIGTERM it hands its workloads over and then still answers for their samples a while.

pub mod board;
pub mod counts;
pub mod desk;
pub mod groups;
pub mod holding;
pub mod keeper;
pub mod order;
pub mod pages;
pub mod peer;
pub mod pin;
pub mod pods;
pub mod reporter;
pub mod scrape;
pub mod settings;
pub mod status;
pub mod tls;
pub mod tokens;
pub mod view;
pub mod wire;

use crate::http::Http;
use crate::kubernetes::act::carrier::Outcome;
use crate::kubernetes::act::expire;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::lease::Contact;
use crate::kubernetes::lease::api::Leases;
use crate::kubernetes::watched::{self, Watched, keep};
use counts::Counts;
use desk::{Counter, Desk};
use holding::Common;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use keeper::{Held, Keeper};
use kube::runtime::watcher;
use kube::{Api, Client};
use peer::Token;
use pin::{Identity, PinError};
use pods::{Local, Targets};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two sweeps for what is overdue.
const SWEEP: Duration = Duration::from_secs(15);
/// Between two looks whether a status is to be written.
const STATUS: Duration = Duration::from_secs(5);
/// How long the samples of workloads that were handed over can still be asked for.
const LINGER: Duration = Duration::from_secs(15);

/// What a node agent is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its node.
    pub node: String,
    /// Its pod: its name among the agents.
    pub pod: String,
    /// Namespace of the agents.
    pub namespace: String,
    /// Address at which other agents reach it.
    pub address: IpAddr,
    /// Port for reports, TLS.
    pub report_port: u16,
    /// Where pages and metrics are served.
    pub listen: SocketAddr,
    /// The kernel's control groups.
    pub cgroup_root: PathBuf,
    /// Where histories are kept.
    pub state_dir: PathBuf,
    /// Our ServiceAccount token with the audience `foreshadow`.
    pub token_file: PathBuf,
    /// Headless Service of the agents.
    pub service: String,
    /// Name of our ServiceAccount.
    pub service_account: String,
}

/// Why a node agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address is taken.
    #[error("{0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] PinError),
    /// A defect.
    #[error("internal: {0}")]
    Internal(String),
}

/// Runs until `stop` says so, then hands over.
///
/// # Errors
/// When it cannot begin.
pub async fn run(client: Client, settings: Settings, mut stop: watch::Receiver<bool>) -> Result<(), NodeError> {
    let identity = Identity::create("foreshadow-node")?;
    let report_at = SocketAddr::new(settings.listen.ip(), settings.report_port);
    let reports = TcpListener::bind(report_at).await.map_err(|e| NodeError::Listen(report_at, e))?;
    let pages_at = TcpListener::bind(settings.listen).await.map_err(|e| NodeError::Listen(settings.listen, e))?;
    let port = reports.local_addr().map_err(|e| NodeError::Listen(report_at, e))?.port();
    let contact =
        Contact { url: format!("https://{}", SocketAddr::new(settings.address, port)), certificate: identity.fingerprint.clone() };
    let counts = Arc::new(Counts::new().map_err(|e| NodeError::Internal(e.to_string()))?);
    let (desk, held) = (Desk::default(), Held::default());
    let tls = tls::TlsListener::new(reports, identity.server).map_err(|e| NodeError::Listen(report_at, e))?;
    let mut tasks = Tasks::default();
    tasks.add(serve_reports(&client, &settings, &desk, &held, tls));
    let all = Api::<ShadowScaler>::all(client.clone());
    let scalers = keep(all, watcher::Config::default(), watched::without_managed_fields);
    let agents = agents(&client, &settings);
    let pods = local_pods(&client, &settings.node, scalers.clone());
    let common = common(&client, &settings, &desk, &contact);
    let leases = Leases::new(client.clone(), &settings.namespace, &settings.pod, contact);
    tasks.add(reporter(&settings, &common, &leases, pods, &counts).run());
    tasks.add(statuses(client.clone(), held.clone(), scalers.clone(), settings.pod.clone()));
    tasks.add(sweeps(client.clone(), agents.clone(), settings.pod.clone(), counts.clone()));
    let shown = pages::Shown { held: held.clone(), counts: counts.clone(), scalers: scalers.clone(), clock: crate::app::now_ms };
    tasks.add(async move { drop(axum::serve(pages_at, pages::router(shown)).await) });
    tracing::info!(node = settings.node, agent = settings.pod, url = common.contact.url, "node agent runs");

    let mut keeper = Keeper::new(common, leases, (scalers, agents), counts, held);
    let mut rounds = tokio::time::interval(Duration::from_secs(1));
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let stopped = tokio::select! {
            _ = rounds.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopped {
            break;
        }
        keeper.round().await;
    }
    tracing::info!("handing over");
    keeper.end().await;
    // Whoever takes over asks for the samples.
    tokio::time::sleep(LINGER).await;
    Ok(())
}

/// Tasks that end with the role.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn common(client: &Client, settings: &Settings, desk: &Desk, contact: &Contact) -> Common {
    Common {
        client: client.clone(),
        me: settings.pod.clone(),
        state_dir: settings.state_dir.clone(),
        desk: desk.clone(),
        token: Token::new(&settings.token_file),
        contact: contact.clone(),
        http: Http::default(),
        clock: crate::app::now_ms,
    }
}

fn serve_reports(
    client: &Client,
    settings: &Settings,
    desk: &Desk,
    held: &Held,
    tls: tls::TlsListener,
) -> impl Future<Output = ()> + use<> {
    let user = format!("system:serviceaccount:{}:{}", settings.namespace, settings.service_account);
    let held = held.clone();
    let counter = Counter {
        desk: desk.clone(),
        tokens: Arc::new(Tokens::new(client.clone(), user)),
        samples: Arc::new(move |workload, since_ms, most| held.samples(workload, since_ms, most)),
        clock: crate::app::now_ms,
    };
    async move { drop(axum::serve(tls, desk::router(counter)).await) }
}

fn reporter(settings: &Settings, common: &Common, leases: &Leases, pods: reporter::Pods, counts: &Arc<Counts>) -> reporter::Reporter {
    reporter::Reporter {
        node: settings.node.clone(),
        me: settings.pod.clone(),
        contact: common.contact.clone(),
        desk: common.desk.clone(),
        leases: leases.clone(),
        token: common.token.clone(),
        scraper: scrape::Scraper::new(common.http.clone(), settings.cgroup_root.clone()),
        http: common.http.clone(),
        pods,
        clock: common.clock,
        counts: counts.clone(),
    }
}

/// The agents that are ready: the kubelet's own judgement, in the EndpointSlices of their headless Service.
fn agents(client: &Client, settings: &Settings) -> Watched<EndpointSlice> {
    let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={}", settings.service));
    keep(Api::namespaced(client.clone(), &settings.namespace), config, watched::without_managed_fields)
}

/// The pods of this node that are looked after, kept up.
fn local_pods(client: &Client, node: &str, mut scalers: Watched<ShadowScaler>) -> reporter::Pods {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut pods: Watched<Pod> = keep(Api::all(client.clone()), config, watched::without_managed_fields);
    let (to, locals) = watch::channel(Arc::default());
    tokio::spawn(async move {
        loop {
            let targets = targets(&scalers.borrow_and_update().objects);
            let found: Vec<Arc<Local>> =
                pods.borrow_and_update().objects.values().filter_map(|pod| pods::local(pod, &targets)).map(Arc::new).collect();
            if to.send(Arc::new(found)).is_err() {
                return;
            }
            tokio::select! {
                changed = pods.changed() => if changed.is_err() { return },
                changed = scalers.changed() => if changed.is_err() { return },
            }
            // A rollout changes many pods at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    locals
}

fn targets(scalers: &BTreeMap<String, Arc<ShadowScaler>>) -> Targets {
    let target = |(key, scaler): (&String, &Arc<ShadowScaler>)| {
        let (namespace, _) = key.split_once('/')?;
        let target = settings::target(&scaler.spec);
        Some(((namespace.to_owned(), target.kind, target.name), key.clone()))
    };
    scalers.iter().filter_map(target).collect()
}

async fn statuses(client: Client, held: Held, scalers: Watched<ShadowScaler>, me: String) {
    let mut keepers: BTreeMap<String, status::StatusKeeper> = BTreeMap::new();
    let mut ticks = tokio::time::interval(STATUS);
    loop {
        ticks.tick().await;
        let holdings = held.all();
        keepers.retain(|workload, _| holdings.iter().any(|(w, _)| w == workload));
        for (workload, holding) in holdings {
            let generation = scalers.borrow().objects.get(&workload).and_then(|s| s.metadata.generation);
            let keeper = keepers.entry(workload.clone()).or_default();
            if let Err(e) = keeper.keep(&client, &workload, generation, &holding, &me).await {
                tracing::debug!(workload, error = %e, "the status could not be written");
            }
        }
    }
}

/// Puts back what is overdue, on the agent that comes first for it.
async fn sweeps(client: Client, agents: Watched<EndpointSlice>, me: String, counts: Arc<Counts>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        if order::rank("sweep", &keeper::live_agents(&agents), &me) != 0 {
            continue;
        }
        match expire::sweep(&client, k8s_openapi::jiff::Timestamp::now(), false, None).await {
            Ok(swept) => swept.iter().for_each(|s| tell(s, &counts)),
            Err(e) => tracing::debug!(error = %e, "nothing could be swept"),
        }
    }
}

fn tell(swept: &expire::Swept, counts: &Counts) {
    let (object, scaler) = (format!("{}/{}", swept.namespace, swept.title), &swept.scaler);
    match &swept.outcome {
        Ok(Outcome::Kept) => {}
        Ok(outcome) => {
            counts.expired.inc();
            tracing::info!(object, scaler, ?outcome, "overdue: put back");
        }
        Err(e) => tracing::warn!(object, scaler, error = %e, "overdue, but it could not be put back"),
    }
}

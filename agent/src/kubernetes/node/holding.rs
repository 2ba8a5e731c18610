//! One workload held by this agent: its history, its decision core fed with it, its control loop, its end.
//!
//! Started by `keeper` when a Lease was won. Promises: the core resumes with the recorded samples: this agent's own, and those that the
//! holder before can still give (a hand-over, an upgrade, a rebalance), so that a change of holder does not begin from nothing; when the
//! Lease goes, the loop stops and the floor is left to the next holder or its time to live.

use super::board::Board;
use super::desk::Desk;
use super::peer::{Peer, Token};
use super::settings;
use super::view::ClusterEyes;
use crate::act::copies::{Telling, Tells};
use crate::act::{Actor, Powers};
use crate::config::model::Mode;
use crate::control_loop::ControlLoop;
use crate::hands::Hands;
use crate::http::Http;
use crate::kubernetes::act::carrier::resource;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::hand::{Fence, Hand};
use crate::kubernetes::lease::Contact;
use crate::kubernetes::names;
use crate::kubernetes::sizer::Sizer;
use crate::kubernetes::tell::Teller;
use crate::kubernetes::watched::{self, keep};
use crate::live::{KEEP_OF_MANY, Live};
use crate::metrics::Metrics;
use crate::mind::Mind;
use crate::notes::Notes;
use crate::observe::accounts::Accounts;
use crate::observe::align::Aligner;
use crate::record::{Session, WARM_MS, WARM_SAMPLES};
use crate::store::{Limits, Store, StoreError};
use crate::synthetic::Synthetic;
use foreshadow_brain::Sample;
use futures::future::BoxFuture;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two ticks.
pub const TICK: Duration = Duration::from_secs(1);
/// How long the history of a workload is kept on the node, and how large it may grow.
const LIMITS: Limits = Limits { keep: Duration::from_secs(24 * 3_600), max_bytes: 24 << 20 };
/// Memory of each open history's cache.
const CACHE_BYTES: usize = 1 << 20;
/// Longest wait for a loop's last tick.
const LAST_TICK: Duration = Duration::from_secs(10);

/// A history, open.
pub type Shared = Arc<Mutex<Store>>;

/// What every holding of this agent shares.
#[derive(Clone)]
pub struct Common {
    /// The API server.
    pub client: Client,
    /// This agent's name.
    pub me: String,
    /// Where histories are kept.
    pub state_dir: PathBuf,
    /// The boards.
    pub desk: Desk,
    /// Our token.
    pub token: Token,
    /// Our own address.
    pub contact: Contact,
    /// Talks to shadows (the synthetic stream).
    pub http: Http,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
}

/// A workload that is held.
pub struct Holding {
    /// Generation of the spec that it was started with.
    pub generation: Option<i64>,
    /// What it shows.
    pub live: Live,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Acts.
    pub hand: Hand,
    /// How much may be done.
    pub mode: Mode,
    /// Profile and cost of the shadow, as the controller says now.
    pub shadow: Arc<Mutex<(String, f64)>>,
    sizing: Option<JoinHandle<()>>,
    store: Shared,
    stop: watch::Sender<Option<()>>,
    ticking: tokio::sync::Mutex<JoinHandle<()>>,
}

/// Why a workload that was won cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Its history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect.
    #[error("internal: {0}")]
    Internal(String),
}

impl Holding {
    /// Starts to look after a workload under `fence`. `before` is the holder before, when it may still be there; `kept` its history, when
    /// this agent has it open from an earlier holding.
    ///
    /// # Errors
    /// When the history cannot be used.
    pub async fn start(
        common: &Common,
        scaler: &ShadowScaler,
        fence: Fence,
        before: &Contact,
        kept: Option<Shared>,
    ) -> Result<Self, HoldError> {
        let workload = watched::key(scaler);
        let path = history(&common.state_dir, &workload);
        let store = match kept {
            Some(store) => store,
            None => Arc::new(Mutex::new(blocking(move || Store::open_small(&path, LIMITS, CACHE_BYTES)).await??)),
        };
        let handed = inherit(common, &workload, before, &store).await;
        if !handed.is_empty() {
            tracing::info!(workload, samples = handed.len(), "samples of the holder before taken over");
        }
        let (session, mind) = resume(session(common, scaler), store.clone(), handed).await?;
        let hand = hand(common, scaler, fence.clone());
        let standing = hand.standing().await.ok().flatten();
        let (stop, stopped) = watch::channel(None);
        let live = Live::keeping(KEEP_OF_MANY);
        let metrics = Arc::new(Metrics::labelled(&workload).map_err(|e| HoldError::Internal(e.to_string()))?);
        let shadow = Arc::new(Mutex::new(shadow(scaler)));
        let mut the_loop = control_loop(common, scaler, &hand, &shadow, (store.clone(), session, mind), (live.clone(), metrics.clone()));
        let notes = the_loop.notes.clone();
        the_loop.recorded_floor = standing.map(|(floor, _)| floor);
        let ticking = tokio::spawn(async move { drop(the_loop.run(TICK, stopped).await) });
        let (generation, mode) = (scaler.meta().generation, settings::mode(&scaler.spec));
        let sizer = || Sizer::new(common.client.clone(), scaler, fence, teller(common, scaler), notes, live.clone());
        let sizing = Sizer::is_wanted(scaler).then(|| tokio::spawn(sizer().run()));
        Ok(Self { generation, live, metrics, hand, mode, shadow, sizing, store, stop, ticking: tokio::sync::Mutex::new(ticking) })
    }

    /// Recorded samples newer than `since_ms`, oldest first.
    pub fn samples(&self, since_ms: u64, most: usize) -> impl FnOnce() -> Vec<Sample> + Send + use<> {
        samples_of(self.store.clone(), since_ms, most)
    }

    /// Stops, leaving the floor as it stands.
    pub async fn stop(&self) -> Shared {
        // It acts only after the loop has recorded, so it ends first.
        self.sizing.iter().for_each(JoinHandle::abort);
        self.stop.send_replace(Some(()));
        let mut ticking = self.ticking.lock().await;
        if tokio::time::timeout(LAST_TICK, &mut *ticking).await.is_err() {
            ticking.abort();
        }
        self.store.clone()
    }

    /// Whether its loop ended by itself, which is a defect.
    pub fn is_over(&self) -> bool {
        self.ticking.try_lock().is_ok_and(|ticking| ticking.is_finished())
    }
}

/// Reads samples of an open history.
pub fn samples_of(store: Shared, since_ms: u64, most: usize) -> impl FnOnce() -> Vec<Sample> + Send {
    move || {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        store.recent(since_ms + 1, most).unwrap_or_default().into_iter().map(|(_, sample)| sample).collect()
    }
}

/// Profile of the shadow and what it costs, relative to one replica of production.
pub fn shadow(scaler: &ShadowScaler) -> (String, f64) {
    let profile = scaler.status.as_ref().and_then(|s| s.profile.clone()).or_else(|| scaler.spec.shadow.profiles.first().cloned());
    let profile = profile.unwrap_or_default();
    let size = settings::size(&scaler.spec, &profile, None);
    (profile, size)
}

/// Where the history of a workload is kept.
pub fn history(state_dir: &Path, workload: &str) -> PathBuf {
    state_dir.join(format!("{}.redb", crate::kubernetes::lease::api::name(workload)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HoldError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| HoldError::Internal(e.to_string()))
}

/// What the holder before has seen and we have not.
async fn inherit(common: &Common, workload: &str, before: &Contact, store: &Shared) -> Vec<Sample> {
    if before.url.is_empty() || before.certificate == common.contact.certificate {
        return Vec::new();
    }
    let oldest = (common.clock)().saturating_sub(WARM_MS);
    let newest = samples_of(store.clone(), 0, 1)().last().map_or(0, |sample| sample.at_ms);
    let Ok(peer) = Peer::new(before.clone(), common.token.clone()) else { return Vec::new() };
    match peer.samples(workload, newest.max(oldest)).await {
        Ok(samples) => samples,
        Err(e) => {
            tracing::info!(workload, error = %e, "the holder before cannot be asked: going on with what is known here");
            Vec::new()
        }
    }
}

/// A decision core fed with what is recorded, and the session that says so.
async fn resume(session: Session, store: Shared, handed: Vec<Sample>) -> Result<(Session, Mind), HoldError> {
    blocking(move || {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        if !handed.is_empty() {
            store.adopt(&handed)?;
        }
        let past = store.recent(session.started_ms.saturating_sub(WARM_MS), WARM_SAMPLES)?;
        let mut mind = Mind::new(session.settings.clone());
        past.iter().for_each(|(_, sample)| drop(mind.tick(sample)));
        Ok((store.begin_session(session, past.first().map(|(seq, _)| *seq))?, mind))
    })
    .await?
}

fn session(common: &Common, scaler: &ShadowScaler) -> Session {
    Session {
        id: 0,
        started_ms: (common.clock)(),
        workload: watched::key(scaler),
        mode: settings::mode(&scaler.spec),
        settings: settings::settings(&scaler.spec),
        warm_from_seq: 0,
        first_seq: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn teller(common: &Common, scaler: &ShadowScaler) -> Teller {
    Teller::new(common.client.clone(), "foreshadow-node", &common.me, scaler.object_ref(&()))
}

fn hand(common: &Common, scaler: &ShadowScaler, fence: Fence) -> Hand {
    Hand::new(common.client.clone(), &watched::key(scaler), settings::target(&scaler.spec), fence, teller(common, scaler))
}

fn control_loop(
    common: &Common,
    scaler: &ShadowScaler,
    hand: &Hand,
    shadow: &Arc<Mutex<(String, f64)>>,
    (store, session, mut mind): (Shared, Session, Mind),
    (live, metrics): (Live, Arc<Metrics>),
) -> ControlLoop {
    let workload = watched::key(scaler);
    let board = common.desk.open(&workload);
    let synthetic = Synthetic::start(common.http.clone(), session.settings.threshold_ms, settings::requests(&scaler.spec));
    let spec = &scaler.spec;
    let powers = Powers {
        mode: settings::mode(spec),
        profiles: if spec.shadow.enabled { spec.shadow.profiles.clone() } else { Vec::new() },
        fraction_ttl: TICK * 15,
        deadline: Duration::from_secs(2),
        runtime_key: Some(names::RUNTIME_KEY.to_owned()),
        teller: Box::new(Orders(board.clone())),
        hands: Some(Box::new(hand.clone()) as Box<dyn Hands>),
        synthetic: Some(synthetic.clone()).filter(|_| spec.shadow.enabled && spec.shadow.synthetic.enabled),
    };
    let settings = session.settings.clone();
    ControlLoop {
        clock: common.clock,
        collector: Box::new(eyes(common, scaler, hand, board, shadow)),
        aligner: Aligner::new(settings.threshold_ms, session.started_ms),
        accounts: Accounts::default(),
        decide: Arc::new(Mutex::new(Box::new(move |sample| mind.tick(sample)))),
        store,
        actor: Actor::with(powers, &settings),
        synthetic,
        live,
        metrics,
        session,
        recorded_floor: None,
        pending: Vec::new(),
        notes: Notes::default(),
        ticks: 0,
    }
}

fn eyes(common: &Common, scaler: &ShadowScaler, hand: &Hand, board: Arc<Mutex<Board>>, shadow: &Arc<Mutex<(String, f64)>>) -> ClusterEyes {
    let namespace = scaler.namespace().unwrap_or_default();
    let target = settings::target(&scaler.spec);
    let api = |version: &str, kind: &str| Api::namespaced_with(common.client.clone(), &namespace, &resource(version, kind));
    let one = watcher::Config::default().fields(&format!("metadata.name={}", target.name));
    let targets = keep(api(&target.api_version, &target.kind), one, watched::without_managed_fields);
    let all = api("autoscaling/v2", "HorizontalPodAutoscaler");
    let hpas = keep(all, watcher::Config::default(), watched::without_managed_fields);
    ClusterEyes {
        workload: watched::key(scaler),
        target,
        bounds: (scaler.spec.bounds.min_replicas, scaler.spec.bounds.max_replicas),
        board,
        targets,
        hpas,
        hand: hand.clone(),
        shadow: shadow.clone(),
        clock: common.clock,
    }
}

/// Tells sidecars through the reports of their nodes: only a pod's own node talks to its sidecar.
#[derive(Debug)]
struct Orders(Arc<Mutex<Board>>);

impl Tells for Orders {
    fn tell(&self, tellings: Vec<Telling>, fraction: f64, ttl: Duration, _: Duration) -> BoxFuture<'_, Vec<(String, String)>> {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let homeless = board.order(tellings, fraction, ttl.as_secs_f64());
        let failed = homeless.into_iter().map(|admin| (admin, "no node reports it".to_owned())).collect();
        Box::pin(std::future::ready(failed))
    }
}

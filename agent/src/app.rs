//! The running agent, assembled: history, decision core warmed with it, instances, loop, pages; and its end.
//!
//! Called by `main` for `run`. Promises: whatever cannot be honoured is refused before anything is started; SIGINT and SIGTERM end it
//! cleanly: the loop stops, our floor is withdrawn, and an orchestrator that this agent started is told to end what it started.
//! A second signal ends the agent at once; what it had asked for by then goes on.

use crate::act::Actor;
use crate::config::Config;
use crate::control_loop::{ControlLoop, Decide};
use crate::http::Http;
use crate::instances::{Instances, LaunchError};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::mind::Mind;
use crate::notes::Notes;
use crate::observe::accounts::Accounts;
use crate::observe::align::Aligner;
use crate::observe::collect::Collector;
use crate::record::{ActionKind, Session, WARM_MS, WARM_SAMPLES};
use crate::server::{Pages, router};
use crate::store::{Limits, Store, StoreError};
use crate::synthetic::Synthetic;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Recorded actions looked through for the floor set last, and shown again.
const PAST_ACTIONS: usize = 500;
/// Longest wait for the loop's last tick at the end.
const LAST_TICK: Duration = Duration::from_secs(10);

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The history cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address is taken or not ours.
    #[error("server.listen: {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The instances cannot be started or found.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Something that should not happen.
    #[error("internal: {0}")]
    Internal(String),
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Why it ended cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
}

/// Runs until told to stop.
pub async fn run(config: Config) -> Result<Ended, AppError> {
    let stop = stop_signals()?;
    let limits = Limits { keep: config.history.keep, max_bytes: config.history.max_mib * 1_048_576 / 2 };
    let mut store = Store::open(&config.history.path, limits)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|e| AppError::Listen(config.listen, e))?;
    let address = listener.local_addr().map_err(|e| AppError::Listen(config.listen, e))?;
    let http = Http::default();
    let instances = Instances::start(&config, &http).await?;
    let (decide, session) = warm_brain(&config, &mut store).await?;
    let live = Live::default();
    let past = store.recent_actions(PAST_ACTIONS)?;
    let recorded_floor = past.iter().filter(|a| a.applied).find_map(|a| floor_of(&a.kind)).filter(|f| *f > 0);
    live.remember(past.into_iter().rev());
    let metrics = Arc::new(Metrics::new().map_err(|e| AppError::Internal(e.to_string()))?);
    let pages = Pages { live: live.clone(), metrics: metrics.clone(), clock: now_ms, interval: config.collect.interval };
    tracing::info!(url = format!("http://{address}"), session = session.id, "live page");
    let served = tokio::spawn(axum::serve(listener, router(pages)).into_future());

    let settings = &config.workload.settings;
    let synthetic = Synthetic::start(http.clone(), settings.threshold_ms, config.workload.shadow.requests.clone());
    let orchestrator = instances.source.orchestrator().cloned();
    let the_loop = ControlLoop {
        clock: now_ms,
        collector: Box::new(Collector::new(instances.source.clone(), http.clone(), config.collect.timeout)),
        aligner: Aligner::new(settings.threshold_ms, session.started_ms),
        accounts: Accounts::default(),
        decide: Arc::new(Mutex::new(decide)),
        store: Arc::new(Mutex::new(store)),
        actor: Actor::new(&config, http, orchestrator, Some(synthetic.clone())),
        synthetic,
        live,
        metrics,
        session,
        recorded_floor,
        pending: Vec::new(),
        notes: Notes::default(),
        ticks: 0,
    };
    let (interval, stopped) = (config.collect.interval, stop.clone());
    let ticking = tokio::spawn(async move { the_loop.run(interval, stopped).await.withdraw().await });
    let ended = end(stop, ticking).await;
    served.abort();
    instances.end().await;
    ended
}

/// Waits for the signal, then for the loop's end. A loop that ends by itself is a defect.
async fn end(mut stop: watch::Receiver<Option<Ended>>, mut ticking: tokio::task::JoinHandle<()>) -> Result<Ended, AppError> {
    let why = tokio::select! {
        why = stop.wait_for(Option::is_some) => why.ok().and_then(|why| *why).unwrap_or(Ended::Terminated),
        ended = &mut ticking => return Err(AppError::Internal(format!("the control loop ended: {ended:?}"))),
    };
    tracing::info!("stopping");
    if tokio::time::timeout(LAST_TICK, &mut ticking).await.is_err() {
        ticking.abort();
        tracing::warn!("the last tick did not end in time and was cut off");
    }
    Ok(why)
}

/// Says which of SIGINT and SIGTERM came first.
fn stop_signals() -> Result<watch::Receiver<Option<Ended>>, AppError> {
    let handler = |kind| signal(kind).map_err(|e| AppError::Internal(e.to_string()));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        for first in [true, false] {
            let why = tokio::select! { _ = interrupt.recv() => Ended::Interrupted, _ = terminate.recv() => Ended::Terminated };
            if first {
                sender.send_replace(Some(why));
            }
        }
        std::process::exit(i32::from(crate::cli::INTERRUPTED));
    });
    Ok(receiver)
}

/// A brain fed with the newest recorded samples, and the session that says which.
async fn warm_brain(config: &Config, store: &mut Store) -> Result<(Decide, Session), AppError> {
    let now = now_ms();
    let past = store.recent(now.saturating_sub(WARM_MS), WARM_SAMPLES)?;
    let settings = config.workload.settings.clone();
    let session = Session {
        id: 0,
        started_ms: now,
        workload: config.workload.name.clone(),
        mode: config.workload.mode,
        settings: settings.clone(),
        warm_from_seq: 0,
        first_seq: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let session = store.begin_session(session, past.first().map(|(seq, _)| *seq))?;
    if !past.is_empty() {
        tracing::info!(samples = past.len(), "resuming with recorded history");
    }
    let warmed = tokio::task::spawn_blocking(move || {
        let mut mind = Mind::new(settings);
        past.iter().for_each(|(_, sample)| drop(mind.tick(sample)));
        mind
    });
    let mut mind = warmed.await.map_err(|e| AppError::Internal(format!("recorded history could not be learned from: {e}")))?;
    Ok((Box::new(move |sample| mind.tick(sample)), session))
}

/// The floor that an action leaves standing.
fn floor_of(kind: &ActionKind) -> Option<u32> {
    match kind {
        ActionKind::SetFloor { replicas, .. } | ActionKind::AdoptFloor { replicas } => Some(*replicas),
        ActionKind::WithdrawFloor { .. } => Some(0),
        _ => None,
    }
}

//! The control loop: one tick of one workload, on one screen.
//!
//! Started by `app`. Promises: a tick is looked at, decided, *recorded*, and only then acted on; what could not be recorded is not
//! acted on. The decision core and the database work off the async threads. Not here: what any stage means.

use crate::act::Actor;
use crate::hands::Eyes;
use crate::live::{Latest, Live, Point};
use crate::metrics::Metrics;
use crate::mind;
use crate::notes::{Note, Notes};
use crate::observe::accounts::Accounts;
use crate::observe::align::Aligner;
use crate::observe::look::Look;
use crate::record::{Action, ActionKind, Session};
use crate::store::{Store, StoreError};
use crate::synthetic::Synthetic;
use foreshadow_brain::{Decision, Sample};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// The decision core as the loop needs it: a sample in, a decision out.
pub type Decide = Box<dyn FnMut(&Sample) -> Decision + Send>;

/// Milliseconds since the Unix epoch.
pub type Clock = fn() -> u64;

/// Everything one workload's loop needs.
pub struct ControlLoop {
    /// Tells the time.
    pub clock: Clock,
    /// Looks.
    pub collector: Box<dyn Eyes>,
    /// Makes samples.
    pub aligner: Aligner,
    /// Keeps the account of copies.
    pub accounts: Accounts,
    /// Decides.
    pub decide: Arc<Mutex<Decide>>,
    /// Remembers.
    pub store: Arc<Mutex<Store>>,
    /// Acts.
    pub actor: Actor,
    /// Makes up what live traffic cannot give.
    pub synthetic: Synthetic,
    /// Shows.
    pub live: Live,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// This run.
    pub session: Session,
    /// The floor that an earlier run recorded setting last, until it has been looked for.
    pub recorded_floor: Option<u32>,
    /// What failed or happened since the last record.
    pub pending: Vec<Action>,
    /// What somebody beside the loop is about to do.
    pub notes: Notes,
    /// Ticks done.
    pub ticks: u64,
}

impl ControlLoop {
    /// Ticks every `interval` until `stop` says so.
    pub async fn run<Why: Send + Sync>(mut self, interval: Duration, mut stop: watch::Receiver<Option<Why>>) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let stopped = tokio::select! {
                _ = ticks.tick() => false,
                _ = stop.wait_for(Option::is_some) => true,
            };
            if stopped {
                break;
            }
            self.tick().await;
        }
        self
    }

    /// Withdraws our floor: nobody is left to judge whether it is still needed.
    pub async fn withdraw(mut self) {
        if let Err(why) = self.actor.withdraw().await {
            tracing::warn!(error = %why, "the floor could not be withdrawn; its time to live ends it");
        }
    }

    /// One tick.
    pub async fn tick(&mut self) {
        let began = tokio::time::Instant::now();
        let look = self.collector.look().await;
        let sample = Arc::new(self.align(&look));
        let decision = Arc::new(self.decide(&sample).await);
        let adopted = self.adopt(&look, sample.at_ms);
        let planned = self.actor.plan(&decision, &look);
        let mut actions = std::mem::take(&mut self.pending);
        let notes = self.notes.take();
        actions.extend(adopted.into_iter().chain(planned.actions.iter().cloned()).chain(notes.iter().map(|n| n.action.clone())));
        let recorded = self.record(&sample, &decision, &actions).await;
        match &recorded {
            Ok(()) => {
                notes.into_iter().for_each(Note::stands);
                self.pending = self.actor.apply(&planned).await;
            }
            Err(e) => tracing::error!(error = %e, "the tick could not be recorded: nothing is acted on"),
        }
        self.publish(&look, sample, decision, &actions, recorded.err());
        self.metrics.tick(began.elapsed());
    }

    fn align(&mut self, look: &Look) -> Sample {
        let answered = look.snapshots.iter().filter_map(|(admin, s)| Some((admin.as_str(), s.as_deref().ok()?)));
        let live: Vec<&str> = look.workload.replicas.iter().filter_map(|i| i.admin_url.as_deref()).collect();
        self.accounts.observe(answered, &live);
        self.synthetic.offer(look.snapshots.values().flatten().flat_map(|s| &s.recent_requests));
        let synthetic = self.synthetic.clone();
        self.aligner.align((self.clock)(), look, || synthetic.take())
    }

    /// Off the async threads: training may take a while.
    async fn decide(&self, sample: &Arc<Sample>) -> Decision {
        let (decide, sample, at_ms) = (self.decide.clone(), sample.clone(), sample.at_ms);
        let decided = tokio::task::spawn_blocking(move || (decide.lock().unwrap_or_else(PoisonError::into_inner))(&sample));
        let decision = decided.await.unwrap_or_else(|_| mind::failed(at_ms));
        if mind::has_failed(&decision) {
            tracing::error!(at_ms, "the decision core failed and begins anew; the floor is left to its time to live");
            self.metrics.brain_failures.inc();
        }
        decision
    }

    fn adopt(&mut self, look: &Look, at_ms: u64) -> Option<Action> {
        if look.source_error.is_some() {
            return None;
        }
        let recorded = self.recorded_floor.take()?;
        let kind = self.actor.adopt(look, Some(recorded))?;
        Some(Action { at_ms, kind, reason: "an earlier run set it and recorded that".into(), applied: true })
    }

    async fn record(&self, sample: &Arc<Sample>, decision: &Arc<Decision>, actions: &[Action]) -> Result<(), StoreError> {
        // What only waits in memory needs no other thread.
        if let Ok(mut store) = self.store.try_lock()
            && !store.waits_for_disk(actions)
        {
            return store.append(sample, decision, actions).map(|_| ());
        }
        let (store, sample, decision, actions) = (self.store.clone(), sample.clone(), decision.clone(), actions.to_vec());
        let append = move || store.lock().unwrap_or_else(PoisonError::into_inner).append(&sample, &decision, &actions).map(|_| ());
        tokio::task::spawn_blocking(append).await.unwrap_or_else(|e| Err(StoreError::Record(0, e.to_string())))
    }

    fn publish(&mut self, look: &Look, sample: Arc<Sample>, decision: Arc<Decision>, actions: &[Action], error: Option<StoreError>) {
        self.ticks += 1;
        let point = Point::new(&sample, &decision, self.session.settings.replica_start_s);
        let missing = look.snapshots.values().filter(|s| s.is_err()).count();
        let latest = Latest {
            session: Some(self.session.clone()),
            sample: Some(sample),
            decision: Some(decision),
            workload: look.workload.clone(),
            source_error: look.source_error.clone(),
            proxies: (look.snapshots.len(), missing),
            account: self.accounts.total(),
            account_mismatches: self.accounts.mismatches(),
            history_error: error.map(|e| e.to_string()),
            ticks: self.ticks,
        };
        self.metrics.publish(&latest, self.actor.held_back());
        actions.iter().for_each(tell);
        self.live.publish(latest, point, actions);
    }
}

/// Says in the log what a person wants to know.
fn tell(action: &Action) {
    let said = if action.applied { "" } else { " (said only)" };
    match &action.kind {
        ActionKind::SetFloor { from, replicas, renewal: false, .. } => {
            tracing::info!(from, to = replicas, reason = %action.reason, "floor set{said}");
        }
        ActionKind::WithdrawFloor { from } => tracing::info!(from, reason = %action.reason, "floor withdrawn{said}"),
        ActionKind::AdoptFloor { replicas } => tracing::info!(replicas, "floor of an earlier run adopted"),
        ActionKind::Resize { from, to } => tracing::info!(from, to, reason = %action.reason, "size{said}"),
        ActionKind::ChangeTemplate { from, to } => tracing::info!(from, to, reason = %action.reason, "template{said}"),
        ActionKind::SetShadow { profile } => tracing::info!(profile, reason = %action.reason, "shadow asked for"),
        kind => tracing::debug!(?kind, reason = %action.reason, "action"),
    }
}

//! Keeps Leases and what is held under them: for every ShadowScaler asks `lease::Claim` what to do, does it, starts and ends holdings.
//!
//! Run by the node role, one round a second. Promises: a workload is looked after only under its Lease, and acted on only while `may_act`
//! says so; an agent that goes lets its Leases go, so that the next one begins at once; a workload whose ShadowScaler is gone, or whose
//! mode no longer allows action, has its floor put back; Leases are read rarely: by the first three in a workload's order only.

use super::counts::Counts;
use super::holding::{Common, Holding, Shared, samples_of, shadow};
use super::order;
use super::settings;
use crate::config::model::Mode;
use crate::hands::Hands;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::hand::Fence;
use crate::kubernetes::lease::api::{LeaseError, Leases};
use crate::kubernetes::lease::{Claim, Contact, Move, Record};
use crate::kubernetes::watched::Watched;
use foreshadow_brain::Sample;
use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two readings of a Lease that is not ours, by place in the order; later ones do not read at all.
const READ_EVERY: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(30)];
/// Leases handled at once.
const AT_ONCE: usize = 16;
/// A failed start or call is tried again after this.
const AGAIN: Duration = Duration::from_secs(3);

/// Keeps.
pub struct Keeper {
    /// What holdings share.
    pub common: Common,
    /// The Leases.
    pub leases: Leases,
    /// The ShadowScalers, watched.
    pub scalers: Watched<ShadowScaler>,
    /// The agents, watched.
    pub agents: Watched<EndpointSlice>,
    /// Counts.
    pub counts: Arc<Counts>,
    /// What is held and was held, for whoever asks.
    pub held: Held,
    entries: BTreeMap<String, Entry>,
    began: Instant,
}

/// What is held now, and the histories of what was held lately.
#[derive(Clone, Default)]
pub struct Held {
    holdings: Arc<Mutex<BTreeMap<String, Arc<Holding>>>>,
    histories: Arc<Mutex<BTreeMap<String, Shared>>>,
}

/// One workload, as this agent stands to it.
struct Entry {
    claim: Arc<Mutex<Claim>>,
    record: Option<Record>,
    next: Instant,
}

impl Held {
    /// What is held now, by workload.
    pub fn all(&self) -> Vec<(String, Arc<Holding>)> {
        self.lock().iter().map(|(w, h)| (w.clone(), h.clone())).collect()
    }

    /// One of them.
    pub fn get(&self, workload: &str) -> Option<Arc<Holding>> {
        self.lock().get(workload).cloned()
    }

    /// Recorded samples of a workload that is held, or was until the agent began to end.
    pub fn samples(&self, workload: &str, since_ms: u64, most: usize) -> BoxFuture<'static, Vec<Sample>> {
        let held = self.get(workload);
        let past = self.histories.lock().unwrap_or_else(PoisonError::into_inner).get(workload).cloned();
        Box::pin(async move {
            let read: Box<dyn FnOnce() -> Vec<Sample> + Send> = match (held, past) {
                (Some(holding), _) => Box::new(holding.samples(since_ms, most)),
                (None, Some(store)) => Box::new(samples_of(store, since_ms, most)),
                (None, None) => return Vec::new(),
            };
            tokio::task::spawn_blocking(read).await.unwrap_or_default()
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Holding>>> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of the agents that are ready.
pub fn live_agents(slices: &Watched<EndpointSlice>) -> Vec<String> {
    let listed = slices.borrow();
    let endpoints = listed.objects.values().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|e| e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)));
    let mut names: Vec<String> = ready.filter_map(|e| e.target_ref.as_ref()?.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

impl Keeper {
    /// For one agent.
    pub fn new(
        common: Common,
        leases: Leases,
        (scalers, agents): (Watched<ShadowScaler>, Watched<EndpointSlice>),
        counts: Arc<Counts>,
        held: Held,
    ) -> Self {
        Self { common, leases, scalers, agents, counts, held, entries: BTreeMap::new(), began: Instant::now() }
    }

    /// One round over all workloads.
    pub async fn round(&mut self) {
        let scalers: BTreeMap<String, Arc<ShadowScaler>> = self.scalers.borrow().objects.clone();
        let complete = self.scalers.borrow().complete;
        let agents = live_agents(&self.agents);
        let due: Vec<(String, Entry)> = scalers.keys().filter_map(|w| self.take_if_due(w)).collect();
        let this = &*self;
        let handled: Vec<(String, Entry)> = futures::stream::iter(due)
            .map(|(workload, entry)| {
                let (scaler, agents) = (scalers[&workload].clone(), &agents);
                async move { (workload.clone(), this.handle(workload, &scaler, agents, entry).await) }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        self.entries.extend(handled);
        if complete {
            self.forget(&scalers).await;
        }
        self.counts.held.set(self.held.lock().len() as i64);
    }

    fn take_if_due(&mut self, workload: &str) -> Option<(String, Entry)> {
        if !self.entries.contains_key(workload) {
            let claim = Arc::new(Mutex::new(Claim::new(&self.common.me)));
            self.entries.insert(workload.to_owned(), Entry { claim, record: None, next: Instant::now() });
        }
        let due = self.entries.get(workload).is_some_and(|e| e.next <= Instant::now());
        if due { self.entries.remove_entry(workload) } else { None }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// What one workload needs now.
    async fn handle(&self, workload: String, scaler: &ShadowScaler, agents: &[String], mut entry: Entry) -> Entry {
        let rank = order::rank(&workload, agents, &self.common.me);
        let holding = self.held.get(&workload);
        let ours = entry.record.as_ref().is_some_and(|r| r.holder == self.common.me) && holding.is_some();
        if !ours {
            let Some(pause) = READ_EVERY.get(rank) else {
                entry.next = Instant::now() + READ_EVERY[2];
                return entry;
            };
            entry.next = Instant::now() + *pause;
            match self.leases.read(&workload).await {
                Ok(record) => entry.record = record,
                Err(e) => {
                    tracing::debug!(workload, error = %e, "a Lease could not be read");
                    return entry;
                }
            }
        }
        let now_ms = self.now_ms();
        let next = entry.claim.lock().unwrap_or_else(PoisonError::into_inner).decide(entry.record.as_ref(), rank, now_ms);
        self.make(next, &workload, scaler, &mut entry).await;
        if let Some(holding) = self.held.get(&workload) {
            entry.next = Instant::now();
            self.follow(&workload, scaler, &holding, &entry).await;
        }
        entry
    }

    async fn make(&self, next: Move, workload: &str, scaler: &ShadowScaler, entry: &mut Entry) {
        let began_ms = self.now_ms();
        let record = entry.record.clone().unwrap_or_default();
        let written = match next {
            Move::Wait => {
                if record.holder != self.common.me && self.held.get(workload).is_some() {
                    self.drop_holding(workload, "lost").await;
                }
                return;
            }
            Move::Create => self.leases.create(workload).await,
            Move::Take(term) => self.leases.hold(workload, &record, term).await,
            Move::Renew => self.leases.hold(workload, &record, record.term).await,
            Move::HandOver => {
                self.drop_holding(workload, "handed_over").await;
                self.leases.release(workload, &record).await
            }
        };
        match written {
            Ok(new) => {
                let ours = new.holder == self.common.me;
                let before = new.previous.clone();
                {
                    let mut claim = entry.claim.lock().unwrap_or_else(PoisonError::into_inner);
                    if ours { claim.wrote(new.term, began_ms) } else { claim.lost() }
                }
                entry.record = Some(new);
                if ours && next != Move::Renew {
                    self.counts.leases.with_label_values(&["won"]).inc();
                    self.start(workload, scaler, entry, &before).await;
                }
            }
            Err(LeaseError::Raced) => {
                // Read what stands there; whoever wrote it decides what we are.
                entry.record = None;
                entry.next = Instant::now();
                if let Ok(record) = self.leases.read(workload).await {
                    entry.record = record;
                }
                if entry.record.as_ref().is_none_or(|r| r.holder != self.common.me) {
                    entry.claim.lock().unwrap_or_else(PoisonError::into_inner).lost();
                    self.drop_holding(workload, "lost").await;
                }
            }
            Err(LeaseError::Api(e)) => {
                tracing::warn!(workload, error = %e, "the Lease could not be written; acting stops when it is not renewed in time");
                entry.next = Instant::now() + AGAIN;
            }
        }
    }

    /// The history of an earlier holding, when it is still open.
    fn kept(&self, workload: &str) -> Option<Shared> {
        self.held.histories.lock().unwrap_or_else(PoisonError::into_inner).remove(workload)
    }

    fn fence(&self, entry: &Entry) -> Fence {
        let (claim, began) = (entry.claim.clone(), self.began);
        Arc::new(move || claim.lock().unwrap_or_else(PoisonError::into_inner).may_act(began.elapsed().as_millis() as u64))
    }

    async fn start(&self, workload: &str, scaler: &ShadowScaler, entry: &mut Entry, before: &Contact) {
        self.drop_holding(workload, "restarted").await;
        match Holding::start(&self.common, scaler, self.fence(entry), before, self.kept(workload)).await {
            Ok(holding) => {
                tracing::info!(workload, term = entry.record.as_ref().map(|r| r.term), "workload held");
                self.held.lock().insert(workload.to_owned(), Arc::new(holding));
            }
            Err(e) => {
                tracing::error!(workload, error = %e, "workload cannot be held");
                if let Some(record) = &entry.record {
                    drop(self.leases.release(workload, record).await);
                }
                entry.claim.lock().unwrap_or_else(PoisonError::into_inner).lost();
                entry.record = None;
                entry.next = Instant::now() + 10 * AGAIN;
            }
        }
    }

    /// Follows changes of the spec; whatever the control loop was told holds for its whole life, so it begins anew.
    async fn follow(&self, workload: &str, scaler: &ShadowScaler, holding: &Arc<Holding>, entry: &Entry) {
        *holding.shadow.lock().unwrap_or_else(PoisonError::into_inner) = shadow(scaler);
        if holding.generation == scaler.meta().generation && !holding.is_over() {
            return;
        }
        if holding.mode == Mode::Act && settings::mode(&scaler.spec) != Mode::Act {
            self.put_back(workload, holding).await;
        }
        tracing::info!(workload, "the spec changed: beginning anew with what was recorded");
        self.drop_holding(workload, "restarted").await;
        match Holding::start(&self.common, scaler, self.fence(entry), &Contact::default(), self.kept(workload)).await {
            Ok(new) => drop(self.held.lock().insert(workload.to_owned(), Arc::new(new))),
            Err(e) => tracing::error!(workload, error = %e, "workload cannot be held"),
        }
    }

    async fn put_back(&self, workload: &str, holding: &Holding) {
        if let Err(why) = holding.hand.clear_floor().await {
            tracing::warn!(workload, error = %why, "the floor could not be put back; its time to live ends it");
        }
    }

    /// Ends what is held of one workload, leaving its floor; its history can still be asked for.
    async fn drop_holding(&self, workload: &str, change: &str) {
        let Some(holding) = self.held.lock().remove(workload) else { return };
        self.counts.leases.with_label_values(&[change]).inc();
        self.common.desk.close(workload);
        let store = holding.stop().await;
        self.held.histories.lock().unwrap_or_else(PoisonError::into_inner).insert(workload.to_owned(), store);
    }

    /// Ends what is held of workloads whose ShadowScaler is gone: the floor is put back, the Lease let go.
    async fn forget(&mut self, scalers: &BTreeMap<String, Arc<ShadowScaler>>) {
        let gone: Vec<String> = self.entries.keys().filter(|w| !scalers.contains_key(*w)).cloned().collect();
        for workload in gone {
            let Some(entry) = self.entries.remove(&workload) else { continue };
            if let Some(holding) = self.held.get(&workload) {
                self.put_back(&workload, &holding).await;
                drop(holding);
                self.drop_holding(&workload, "forgotten").await;
                self.held.histories.lock().unwrap_or_else(PoisonError::into_inner).remove(&workload);
                if let Some(record) = &entry.record {
                    drop(self.leases.remove(&workload, record).await);
                }
            }
        }
    }

    /// Lets everything go, for whoever comes next; floors are left to them.
    pub async fn end(mut self) {
        for (workload, entry) in std::mem::take(&mut self.entries) {
            if self.held.get(&workload).is_none() {
                continue;
            }
            self.drop_holding(&workload, "handed_over").await;
            if let Some(record) = &entry.record
                && let Err(e) = self.leases.release(&workload, record).await
            {
                tracing::warn!(workload, error = %e, "the Lease could not be let go; it expires");
            }
        }
    }
}

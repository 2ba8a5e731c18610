//! Once a second: what this node sees goes to the holder of each workload, and what the holders answer goes to the sidecars.
//!
//! Started by the node role. Promises: one report for each holder a second, however many workloads it holds; a holder that does not
//! answer delays no other; who holds what is read from the Leases when it is not known, was wrong, or is old, never more often than
//! every few seconds for each workload.

use super::desk::Desk;
use super::peer::{Peer, Token};
use super::pods::Local;
use super::scrape::Scraper;
use super::wire::{Orders, PodReport, Report};
use crate::act::copies::{self, Telling};
use crate::http::Http;
use crate::kubernetes::lease::api::Leases;
use crate::kubernetes::lease::{Contact, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// A holder that was read is trusted for this long.
const TRUSTED_FOR: Duration = Duration::from_secs(60);
/// Between two readings of one workload's Lease.
const READ_AGAIN: Duration = Duration::from_secs(3);
/// Most Leases read in one tick.
const MOST_READS: usize = 50;

/// What this node is looking after, kept up by the watchers.
pub type Pods = watch::Receiver<Arc<Vec<Arc<Local>>>>;

/// Reports.
pub struct Reporter {
    /// This node.
    pub node: String,
    /// This agent.
    pub me: String,
    /// Where this agent is reached: its own workloads do not go over the wire.
    pub contact: Contact,
    /// Its own boards.
    pub desk: Desk,
    /// Who holds what.
    pub leases: Leases,
    /// Our token.
    pub token: Token,
    /// Looks at the pods.
    pub scraper: Scraper,
    /// Talks to sidecars.
    pub http: Http,
    /// The pods.
    pub pods: Pods,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
    /// Counts.
    pub counts: Arc<super::counts::Counts>,
}

/// What is known of the holders.
#[derive(Default)]
struct Holders {
    by_workload: BTreeMap<String, (Instant, Option<Contact>)>,
    peers: BTreeMap<String, Peer>,
}

impl Reporter {
    /// Reports every second until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut holders = Holders::default();
        let mut sequence = 0;
        let mut before: Vec<String> = Vec::new();
        loop {
            ticks.tick().await;
            sequence += 1;
            let pods = self.pods.borrow().clone();
            let began = Instant::now();
            let mut seen = self.scraper.look(&pods).await;
            self.counts.looked(&seen, began.elapsed());
            let now: Vec<String> = seen.keys().cloned().collect();
            before.retain(|w| !seen.contains_key(w));
            before.into_iter().for_each(|gone| drop(seen.insert(gone, Vec::new())));
            before = now;
            self.learn(&mut holders, seen.keys()).await;
            let orders = self.send(&mut holders, seen, sequence).await;
            self.obey(&pods, orders).await;
        }
    }

    /// Reads who holds the workloads whose holder is not known.
    async fn learn(&self, holders: &mut Holders, workloads: impl Iterator<Item = &String>) {
        let now = Instant::now();
        let wanted: Vec<String> = workloads
            .filter(|w| match holders.by_workload.get(*w) {
                None => true,
                Some((at, Some(_))) => now.duration_since(*at) >= TRUSTED_FOR,
                Some((at, None)) => now.duration_since(*at) >= READ_AGAIN,
            })
            .take(MOST_READS)
            .cloned()
            .collect();
        let mut reads = JoinSet::new();
        for workload in wanted {
            let leases = self.leases.clone();
            reads.spawn(async move { (leases.read(&workload).await, workload) });
        }
        while let Some(done) = reads.join_next().await {
            let Ok((read, workload)) = done else { continue };
            let held = |r: Option<Record>| r.filter(|r| !r.holder.is_empty()).map(|r| r.contact);
            match read {
                Ok(record) => drop(holders.by_workload.insert(workload, (now, held(record)))),
                // The API server is away: the holder known so far is as good as ever.
                Err(_) => {
                    let known = holders.by_workload.get(&workload).and_then(|(_, c)| c.clone());
                    holders.by_workload.insert(workload, (now, known));
                }
            }
        }
        if holders.by_workload.len() > 1_000 {
            holders.by_workload.retain(|_, (at, _)| now.duration_since(*at) < 2 * TRUSTED_FOR);
        }
    }

    async fn send(&self, holders: &mut Holders, seen: BTreeMap<String, Vec<PodReport>>, sequence: u64) -> Vec<Orders> {
        let mut by_holder: BTreeMap<String, (Contact, BTreeMap<String, Vec<PodReport>>)> = BTreeMap::new();
        for (workload, pods) in seen {
            let Some((_, Some(contact))) = holders.by_workload.get(&workload) else { continue };
            let entry = by_holder.entry(contact.certificate.clone()).or_insert_with(|| (contact.clone(), BTreeMap::new()));
            entry.1.insert(workload, pods);
        }
        holders.peers.retain(|certificate, _| by_holder.contains_key(certificate));
        let mut calls = JoinSet::new();
        let mut answers = Vec::new();
        for (certificate, (contact, workloads)) in by_holder {
            let named: Vec<String> = workloads.keys().cloned().collect();
            let report = Report { node: self.node.clone(), agent: self.me.clone(), sequence, workloads };
            if contact == self.contact {
                answers.push((Ok(self.desk.report(report, (self.clock)())), named));
                continue;
            }
            if let std::collections::btree_map::Entry::Vacant(free) = holders.peers.entry(certificate.clone()) {
                match Peer::new(contact, self.token.clone()) {
                    Ok(peer) => drop(free.insert(peer)),
                    Err(e) => tracing::error!(error = %e, "no TLS to another agent"),
                }
            }
            let Some(peer) = holders.peers.get(&certificate).cloned() else { continue };
            calls.spawn(async move { (peer.report(&report).await, named) });
        }
        while let Some(done) = calls.join_next().await {
            answers.extend(done);
        }
        let mut orders = Vec::new();
        for (answer, named) in answers {
            self.counts.reported(answer.is_ok());
            let wrong = match answer {
                Ok(answer) => {
                    let wrong = answer.not_held.clone();
                    orders.push(answer);
                    wrong
                }
                Err(e) => {
                    tracing::debug!(error = %e, workloads = ?named, "a holder does not answer");
                    named
                }
            };
            wrong.iter().for_each(|w| drop(holders.by_workload.entry(w.clone()).and_modify(|known| known.1 = None)));
        }
        orders
    }

    /// Tells the sidecars of this node what the holders want.
    async fn obey(&self, pods: &[Arc<Local>], orders: Vec<Orders>) {
        let mut calls = JoinSet::new();
        for order in orders.into_iter().flat_map(|o| o.fractions) {
            let ttl = Duration::from_secs_f64(order.ttl_s.clamp(1.0, 3_600.0));
            for telling in order.tellings {
                // Only our own pods, whatever the order says.
                let own = |p: &&Arc<Local>| p.instance.admin_url.as_deref() == Some(telling.admin.as_str());
                let Some(uid) = pods.iter().find(own).map(|p| p.uid.clone()) else { continue };
                let url = copies::url(&Telling { admin: telling.admin, ..telling }, order.fraction, ttl);
                let http = self.http.clone();
                calls.spawn(async move { Scraper::tell(&http, &url, &uid).await });
            }
        }
        while let Some(done) = calls.join_next().await {
            if let Ok(Err(e)) = &done {
                tracing::debug!(error = %e, "a sidecar could not be told its share");
            }
            self.counts.told(matches!(done, Ok(Ok(()))));
        }
    }
}

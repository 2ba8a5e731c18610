//! The account of copies over all sidecars ever seen, since they started: eligible = completed + under way + dropped by reason.
//!
//! Fed with every snapshot, read by the server and the metrics. Promises: a sidecar that ended or restarted keeps its last numbers in
//! the account (what was under way then is `sidecar_ended`); every snapshot is checked to close, and one that does not is counted.

use foreshadow_snapshot::{MirrorSnapshot, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums of mirror accounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Requests that a mirror policy applied to.
    pub eligible_requests: u64,
    /// Copy opportunities.
    pub eligible: u64,
    /// Copies answered.
    pub completed: u64,
    /// Copies waiting or under way.
    pub in_flight: u64,
    /// Copies not made or not finished, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Pairs of answers with the same status class.
    pub status_match: u64,
    /// Pairs of answers with different ones.
    pub status_mismatch: u64,
    /// Bytes of bodies held for copies.
    pub buffered_bytes: u64,
}

impl Account {
    fn add(&mut self, m: &MirrorSnapshot) {
        self.eligible_requests += m.eligible_requests;
        self.eligible += m.eligible;
        self.completed += m.completed;
        self.in_flight += m.in_flight;
        m.dropped.iter().for_each(|(reason, n)| *self.dropped.entry(reason.clone()).or_default() += n);
        self.status_match += m.status_match;
        self.status_mismatch += m.status_mismatch;
        self.buffered_bytes += m.buffered_bytes;
    }

    fn end(&mut self) {
        if self.in_flight > 0 {
            *self.dropped.entry("sidecar_ended".into()).or_default() += self.in_flight;
            self.in_flight = 0;
        }
        self.buffered_bytes = 0;
    }

    /// Whether it closes.
    pub fn closes(&self) -> bool {
        self.eligible == self.completed + self.in_flight + self.dropped.values().sum::<u64>()
    }
}

/// The account of a whole workload.
#[derive(Debug, Default)]
pub struct Accounts {
    ended: Account,
    current: BTreeMap<String, (u64, Vec<MirrorSnapshot>)>,
    mismatches: u64,
}

impl Accounts {
    /// Takes what the sidecars now say; those not in `live` have ended.
    pub fn observe<'a>(&mut self, snapshots: impl Iterator<Item = (&'a str, &'a Snapshot)>, live: &[&str]) {
        for (admin, snapshot) in snapshots {
            self.mismatches += snapshot.mirrors.iter().filter(|m| !m.closes()).count() as u64;
            if self.current.get(admin).is_some_and(|(start, _)| *start != snapshot.start_time_unix_ms) {
                self.retire(admin);
            }
            self.current.insert(admin.to_owned(), (snapshot.start_time_unix_ms, snapshot.mirrors.clone()));
        }
        let gone: Vec<String> = self.current.keys().filter(|admin| !live.contains(&admin.as_str())).cloned().collect();
        gone.iter().for_each(|admin| self.retire(admin));
    }

    fn retire(&mut self, admin: &str) {
        if let Some((_, mirrors)) = self.current.remove(admin) {
            mirrors.iter().for_each(|m| self.ended.add(m));
            self.ended.end();
        }
    }

    /// The account now.
    pub fn total(&self) -> Account {
        let mut total = self.ended.clone();
        self.current.values().flat_map(|(_, mirrors)| mirrors).for_each(|m| total.add(m));
        total
    }

    /// Snapshots of mirror policies whose account did not close.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(start: u64, eligible: u64, completed: u64, in_flight: u64, sampled_out: u64) -> Snapshot {
        let dropped = [("sampled_out".to_owned(), sampled_out)].into();
        let mirror = MirrorSnapshot { eligible, completed, in_flight, dropped, ..MirrorSnapshot::default() };
        Snapshot { start_time_unix_ms: start, mirrors: vec![mirror], ..Snapshot::default() }
    }

    #[test]
    fn closes_over_restarts_and_endings() {
        let mut accounts = Accounts::default();
        accounts.observe([("a", &snapshot(1, 10, 5, 2, 3)), ("b", &snapshot(1, 4, 4, 0, 0))].into_iter(), &["a", "b"]);
        accounts.observe([("a", &snapshot(2, 1, 1, 0, 0))].into_iter(), &["a"]);
        let total = accounts.total();
        assert_eq!((total.eligible, total.completed, total.in_flight), (15, 10, 0));
        assert_eq!(total.dropped, [("sampled_out".to_owned(), 3), ("sidecar_ended".to_owned(), 2)].into());
        assert!(total.closes());
        assert_eq!(accounts.mismatches(), 0);
    }

    #[test]
    fn an_account_that_does_not_close_is_counted() {
        let mut accounts = Accounts::default();
        accounts.observe([("a", &snapshot(1, 10, 5, 2, 2))].into_iter(), &["a"]);
        assert_eq!(accounts.mismatches(), 1);
        assert!(!accounts.total().closes());
    }
}

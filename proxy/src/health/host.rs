//! One endpoint's health as all workers see it: counters, and two marks. Plain atomics, touched only for clusters with health settings.

use crate::config::model::Outlier;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tokio::sync::mpsc::UnboundedSender;

/// How a request to an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection or the stream broke.
    Reset,
}

/// Why an endpoint is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Failures in a row.
    Consecutive5xx,
    /// Gateway failures in a row.
    ConsecutiveGateway,
    /// Failures without an answer in a row.
    ConsecutiveLocal,
    /// A success rate far below the others'.
    SuccessRate,
    /// The same of failures without an answer.
    SuccessRateLocal,
    /// Too many failures.
    FailurePercentage,
    /// The same of failures without an answer.
    FailurePercentageLocal,
}

/// A worker's count is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The cluster.
    pub cluster: String,
    /// The endpoint.
    pub address: SocketAddr,
    /// Why.
    pub why: Suspicion,
}

/// Requests of an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Went well.
    pub good: u64,
    /// All.
    pub all: u64,
}

#[derive(Debug, Default)]
struct Counts {
    good: AtomicU64,
    all: AtomicU64,
}

impl Counts {
    fn add(&self, good: bool) {
        self.all.fetch_add(1, Ordering::Relaxed);
        if good {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Rate {
        Rate { good: self.good.swap(0, Ordering::Relaxed), all: self.all.swap(0, Ordering::Relaxed) }
    }
}

/// Failures in a row, of which so many are too many.
#[derive(Debug)]
struct Row {
    now: AtomicU32,
    most: AtomicU32,
}

impl Row {
    fn new() -> Self {
        Self { now: AtomicU32::new(0), most: AtomicU32::new(u32::MAX) }
    }

    /// Whether this one makes it full; it then begins anew.
    fn add(&self) -> bool {
        let full = self.now.fetch_add(1, Ordering::Relaxed) + 1 >= self.most.load(Ordering::Relaxed);
        if full {
            self.now.store(0, Ordering::Relaxed);
        }
        full
    }

    fn end(&self) {
        // Nearly always there is none: the line of memory is only read.
        if self.now.load(Ordering::Relaxed) != 0 {
            self.now.store(0, Ordering::Relaxed);
        }
    }
}

/// Health of one endpoint of one cluster.
#[derive(Debug)]
pub struct HostHealth {
    cluster: String,
    address: SocketAddr,
    server_errors: Row,
    gateway_errors: Row,
    local_errors: Row,
    split: AtomicBool,
    answers: Counts,
    locals: Counts,
    ejected: AtomicBool,
    failed_check: AtomicBool,
    reports: UnboundedSender<Report>,
}

impl HostHealth {
    /// Nothing is known yet.
    pub fn new(cluster: &str, address: SocketAddr, reports: UnboundedSender<Report>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            address,
            server_errors: Row::new(),
            gateway_errors: Row::new(),
            local_errors: Row::new(),
            split: AtomicBool::new(false),
            answers: Counts::default(),
            locals: Counts::default(),
            ejected: AtomicBool::new(false),
            failed_check: AtomicBool::new(false),
            reports,
        }
    }

    /// How much is too much.
    pub fn configure(&self, outlier: Option<&Outlier>) {
        let most = |of: Option<u32>| of.unwrap_or(u32::MAX);
        self.server_errors.most.store(most(outlier.map(|o| o.consecutive_5xx.most)), Ordering::Relaxed);
        self.gateway_errors.most.store(most(outlier.map(|o| o.consecutive_gateway.most)), Ordering::Relaxed);
        self.local_errors.most.store(most(outlier.map(|o| o.consecutive_local.most)), Ordering::Relaxed);
        self.split.store(outlier.is_some_and(|o| o.split), Ordering::Relaxed);
    }

    /// A request to it ended so.
    pub fn ended(&self, outcome: Outcome) {
        let split = self.split.load(Ordering::Relaxed);
        match outcome {
            Outcome::Status(status) => {
                if split {
                    self.locals.add(true);
                    self.local_errors.end();
                }
                self.answered(status);
            }
            _ if split => {
                self.locals.add(false);
                if self.local_errors.add() {
                    self.report(Suspicion::ConsecutiveLocal);
                }
            }
            // Counted like the answers that clients get.
            Outcome::Connect => self.answered(503),
            Outcome::Timeout => self.answered(504),
            Outcome::Reset => self.answered(500),
        }
    }

    fn answered(&self, status: u16) {
        self.answers.add(status < 500);
        if status < 500 {
            self.server_errors.end();
            self.gateway_errors.end();
            return;
        }
        if (502..=504).contains(&status) {
            if self.gateway_errors.add() {
                self.report(Suspicion::ConsecutiveGateway);
            }
        } else {
            self.gateway_errors.end();
        }
        if self.server_errors.add() {
            self.report(Suspicion::Consecutive5xx);
        }
    }

    fn report(&self, why: Suspicion) {
        // Nobody listens any more only when the process ends.
        let _ = self.reports.send(Report { cluster: self.cluster.clone(), address: self.address, why });
    }

    /// The numbers since this was last asked: of answers, and of failures without one.
    pub fn take_rates(&self) -> (Rate, Rate) {
        (self.answers.take(), self.locals.take())
    }

    /// Whether nothing speaks against it.
    pub fn is_well(&self) -> bool {
        !self.is_ejected() && !self.has_failed_check()
    }

    /// Whether it is ejected.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Whether it fails its health checks.
    pub fn has_failed_check(&self) -> bool {
        self.failed_check.load(Ordering::Relaxed)
    }

    /// Ejects it or lets it back.
    pub fn set_ejected(&self, ejected: bool) {
        self.ejected.store(ejected, Ordering::Relaxed);
    }

    /// Its health checks fail, or do not any more.
    pub fn set_failed_check(&self, failed: bool) {
        self.failed_check.store(failed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn failures_in_a_row_are_reported_once_they_are_too_many() {
        let (reports, mut inbox) = unbounded_channel();
        let host = HostHealth::new("c", "10.0.0.1:80".parse().unwrap(), reports);
        let mut after = |outcomes: &[Outcome]| {
            outcomes.iter().for_each(|o| host.ended(*o));
            std::iter::from_fn(|| inbox.try_recv().ok()).map(|r| r.why).collect::<Vec<_>>()
        };
        use Outcome::{Connect, Reset, Status, Timeout};
        assert_eq!(after(&[Status(500); 100]), [], "nothing is too much before it is configured");
        let settings = Outlier { consecutive_gateway: crate::config::model::Rule { most: 2, enforcing: 0 }, ..Outlier::default() };
        host.configure(Some(&settings));
        host.ended(Status(200));
        assert_eq!(after(&[Status(500), Reset, Status(500), Status(500)]), []);
        assert_eq!(after(&[Status(500)]), [Suspicion::Consecutive5xx]);
        assert_eq!(after(&[Connect, Timeout]), [Suspicion::ConsecutiveGateway]);
        assert_eq!(after(&[Status(499), Status(500), Status(500), Status(500), Status(500)]), []);
        host.take_rates();
        host.configure(Some(&Outlier { split: true, ..settings }));
        assert_eq!(after(&[Status(200), Connect, Timeout, Reset, Connect]), []);
        assert_eq!(after(&[Connect]), [Suspicion::ConsecutiveLocal]);
        assert_eq!(host.take_rates(), (Rate { good: 1, all: 1 }, Rate { good: 1, all: 6 }));
    }
}

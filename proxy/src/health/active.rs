//! Active health: one endpoint is checked again and again; so many failures in a row make it unhealthy, so many successes healthy again. One task for
//! each check of each endpoint in the whole process, started and ended by [`super::keeper`].

use super::probe::{self, Finding};
use crate::config::model::HealthCheck;
use crate::tls::client::Client;
use rand::RngExt as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the findings come to. The first one decides at once; before it an endpoint counts as healthy.
#[derive(Debug, Default)]
pub struct Progress {
    seen: bool,
    unhealthy: bool,
    row: u32,
}

impl Progress {
    /// Takes in a finding; `Some(unhealthy)` when the verdict changes.
    pub fn take(&mut self, finding: Finding, check: &HealthCheck) -> Option<bool> {
        let bad = finding != Finding::Well;
        let first = !std::mem::replace(&mut self.seen, true);
        if bad == self.unhealthy {
            self.row = 0;
            return None;
        }
        self.row += 1;
        let enough = if bad { check.unhealthy_threshold } else { check.healthy_threshold };
        if self.row < enough && !first && finding != Finding::Refused {
            return None;
        }
        (self.unhealthy, self.row) = (bad, 0);
        Some(bad)
    }

    /// Time until the next check.
    fn pause(&self, check: &HealthCheck) -> Duration {
        let interval = if self.unhealthy { check.unhealthy_interval } else { check.interval };
        interval + check.jitter.mul_f64(rand::rng().random_range(0.0..1.0))
    }
}

/// Checks until the task is ended; `tls` gives the context of now, `told` hears every finding and, when it changed, the verdict.
pub async fn run(
    check: HealthCheck,
    cluster: String,
    address: SocketAddr,
    tls: impl Fn() -> Option<Arc<Client>>,
    told: impl Fn(Finding, Option<bool>),
) {
    let mut progress = Progress::default();
    loop {
        let finding = probe::ask(&check.probe, &cluster, address, tls(), check.timeout).await;
        let change = progress.take(finding, &check);
        told(finding, change);
        tokio::time::sleep(progress.pause(&check)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Probe;

    #[test]
    fn thresholds() {
        let check = HealthCheck {
            timeout: Duration::ZERO,
            interval: Duration::from_secs(5),
            jitter: Duration::ZERO,
            unhealthy_interval: Duration::from_secs(1),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            probe: Probe::Tcp { send: Vec::new(), receive: Vec::new() },
        };
        let take = |findings: &[Finding]| {
            let mut progress = Progress::default();
            findings.iter().map(|f| progress.take(*f, &check)).collect::<Vec<_>>()
        };
        use Finding::{Failed, Refused, Well};
        assert_eq!(take(&[Well, Failed, Failed, Well, Failed, Failed, Failed]), [None, None, None, None, None, None, Some(true)]);
        assert_eq!(take(&[Failed, Well, Failed, Well, Well]), [Some(true), None, None, None, Some(false)], "the first decides at once");
        assert_eq!(take(&[Well, Refused, Well, Well]), [None, Some(true), None, Some(false)]);
        let mut progress = Progress::default();
        assert_eq!(progress.pause(&check).as_secs(), 5);
        progress.take(Failed, &check);
        assert_eq!(progress.pause(&check).as_secs(), 1);
    }
}

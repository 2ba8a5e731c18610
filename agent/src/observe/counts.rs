//! What one path did between two snapshots, as counts that can be added over proxies.
//!
//! Made here from cluster snapshots (and by the synthetic stream), added and turned into a `PathSample` by `align`.

use foreshadow_brain::latency::Latencies;
use foreshadow_brain::sample::PathSample;
use foreshadow_snapshot::{ClusterSnapshot, LatencyHistogram};

/// Endings that are nobody's failure: the client went away, or the proxy itself was told to stop.
const NOBODYS: [&str; 2] = ["client_cancelled", "shutdown"];

/// Counts of one path over an interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Requests that ended (clients that went away are left out).
    pub requests: u64,
    /// Bad among them.
    pub bad: u64,
    /// Failed among the bad.
    pub failed: u64,
    /// Requests that started.
    pub arrivals: u64,
    /// Latencies of those that did not fail.
    pub latency: Latencies,
    /// Under way at the end.
    pub in_flight: u64,
    /// Bytes of bodies, both ways.
    pub bytes: u64,
    /// Sum and number of known round trip times, microseconds.
    pub rtt_us: (u64, u64),
}

impl Counts {
    /// What a cluster did since `old` (since its beginning when `None`); `None` when `old` is not an earlier state of it.
    pub fn between(old: Option<&ClusterSnapshot>, new: &ClusterSnapshot, threshold_us: u64) -> Option<Self> {
        let nothing = ClusterSnapshot::default();
        let old = old.unwrap_or(&nothing);
        let timed = if old.total_us.is_empty() { new.total_us.clone() } else { new.total_us.since(&old.total_us)? };
        let responses = sum(&new.responses).checked_sub(sum(&old.responses))?;
        let errors = new.responses[4].checked_sub(old.responses[4])?;
        let failures = failures(new).checked_sub(failures(old))?;
        Some(Self {
            requests: responses + failures,
            bad: timed.count_above(threshold_us) + errors + failures,
            failed: errors + failures,
            arrivals: new.requests.checked_sub(old.requests)?,
            latency: latencies(&timed),
            in_flight: new.in_flight,
            bytes: (new.bytes_sent + new.bytes_received).checked_sub(old.bytes_sent + old.bytes_received)?,
            rtt_us: if new.rtt_us == 0 { (0, 0) } else { (new.rtt_us, 1) },
        })
    }

    /// Adds another path's counts.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bad += other.bad;
        self.failed += other.failed;
        self.arrivals += other.arrivals;
        self.latency.merge(&other.latency);
        self.in_flight += other.in_flight;
        self.bytes += other.bytes;
        self.rtt_us = (self.rtt_us.0 + other.rtt_us.0, self.rtt_us.1 + other.rtt_us.1);
    }

    /// The sample these counts make, resources not yet known.
    pub fn into_path(self) -> PathSample {
        PathSample {
            requests: self.requests,
            bad: self.bad.min(self.requests),
            failed: self.failed,
            arrivals: self.arrivals,
            latency: self.latency,
            in_flight: self.in_flight as f64,
            rtt_us: (self.rtt_us.1 > 0).then(|| self.rtt_us.0 as f64 / self.rtt_us.1 as f64),
            bytes: self.bytes,
            ..PathSample::default()
        }
    }
}

fn sum(counts: &[u64; 5]) -> u64 {
    counts.iter().sum()
}

fn failures(cluster: &ClusterSnapshot) -> u64 {
    cluster.failures.iter().filter(|(reason, _)| !NOBODYS.contains(&reason.as_str())).map(|(_, n)| n).sum()
}

fn latencies(histogram: &LatencyHistogram) -> Latencies {
    let mut out = Latencies::default();
    for bucket in histogram.iter_recorded() {
        let us = histogram.median_equivalent(bucket.value_iterated_to());
        out.add(us, u32::try_from(bucket.count_at_value()).unwrap_or(u32::MAX));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(fast: u64, slow: u64, errors: u64, failures: &[(&str, u64)]) -> ClusterSnapshot {
        let mut c =
            ClusterSnapshot { requests: fast + slow + errors, responses: [0, fast + slow, 0, 0, errors], ..ClusterSnapshot::default() };
        (0..fast).for_each(|_| c.total_us.record_us(10_000));
        (0..slow).for_each(|_| c.total_us.record_us(400_000));
        c.failures = failures.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect();
        c.requests += failures.iter().map(|f| f.1).sum::<u64>();
        c
    }

    #[test]
    fn bad_is_slow_or_failed_and_a_client_that_left_is_neither() {
        let old = cluster(10, 0, 0, &[]);
        let new = cluster(15, 2, 1, &[("timeout", 3), ("client_cancelled", 4)]);
        let c = Counts::between(Some(&old), &new, 150_000).unwrap();
        assert_eq!((c.requests, c.bad, c.failed, c.arrivals), (11, 6, 4, 15));
        assert_eq!(c.latency.count(), 7);
    }

    #[test]
    fn a_later_state_is_not_an_earlier_one() {
        assert_eq!(Counts::between(Some(&cluster(10, 0, 0, &[])), &cluster(5, 0, 0, &[]), 150_000), None);
    }

    #[test]
    fn from_the_beginning_everything_counts() {
        let c = Counts::between(None, &cluster(5, 5, 0, &[]), 150_000).unwrap();
        assert_eq!((c.requests, c.bad, c.arrivals), (10, 5, 10));
    }
}

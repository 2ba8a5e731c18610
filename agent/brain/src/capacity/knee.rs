//! The latencies seen at the edge: which latency a chosen share of requests exceeds there.
//!
//! Bad requests at the edge are one in a hundred, so a second holds next to none of them; requests slower than *this* cut are one in six,
//! and their number moves well before bad requests appear. The cut is learned where capacity is already known, so the objective's
//! own bad requests stay the anchor. Called by [`super::edge`].

use crate::latency::Latencies;

const BUCKETS: usize = 256;
/// Memory per interval once filled.
const KEEP: f64 = 0.992;
/// Requests needed before the cut is used.
const ENOUGH: f64 = 150.0;

/// Decayed histogram of latencies at the edge.
#[derive(Debug, Clone)]
pub struct Knee {
    counts: Vec<f64>,
    total: f64,
    bad: f64,
}

impl Default for Knee {
    fn default() -> Self {
        Self { counts: vec![0.0; BUCKETS], total: 0.0, bad: 0.0 }
    }
}

impl Knee {
    /// Adds an interval spent at the edge.
    pub fn learn(&mut self, latency: &Latencies, bad: f64, failed: f64) {
        let had = self.total;
        let keep = if had > 4.0 * ENOUGH { KEEP } else { 1.0 };
        self.counts.iter_mut().for_each(|c| *c *= keep);
        for (bucket, count) in latency.buckets() {
            self.counts[usize::from(bucket).min(BUCKETS - 1)] += f64::from(count);
        }
        self.counts[BUCKETS - 1] += failed;
        self.bad = self.bad * keep + bad;
        self.total = self.counts.iter().sum();
    }

    /// Bucket that about `share` of the requests at the edge exceed, with the exact share; None until enough was seen.
    pub fn cut(&self, share: f64) -> Option<(u16, f64)> {
        if self.total < ENOUGH {
            return None;
        }
        let mut above = 0.0;
        for (bucket, count) in self.counts.iter().enumerate().rev() {
            if above + count > share * self.total {
                return (above >= 0.25 * share * self.total).then_some((bucket as u16, above / self.total));
            }
            above += count;
        }
        None
    }

    /// Share of bad requests over the same time, starting from `expected`.
    pub fn bad_share(&self, expected: f64) -> f64 {
        (self.bad + ENOUGH * expected) / (self.total + ENOUGH)
    }

    /// How many of an interval's requests were slower than the bucket of a cut.
    pub fn above(latency: &Latencies, cut: u16) -> f64 {
        latency.buckets().filter(|b| b.0 > cut).map(|b| f64::from(b.1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_leaves_the_share_above_it() {
        let (mut knee, mut latency) = (Knee::default(), Latencies::default());
        (1..=1_000u64).for_each(|i| latency.add(i * 100, 1));
        assert!(knee.cut(0.15).is_none());
        knee.learn(&latency, 50.0, 0.0);
        assert!((knee.bad_share(0.05) - 0.05).abs() < 1e-9);
        let (cut, share) = knee.cut(0.15).expect("enough");
        assert!(share <= 0.15 && share > 0.08, "{share}");
        assert_eq!(Knee::above(&latency, cut), share * 1_000.0);
    }
}

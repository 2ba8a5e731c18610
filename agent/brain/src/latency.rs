//! A small mergeable latency histogram: eight log-spaced buckets an octave (9 % wide), sparse.
//!
//! The shell makes one from the merged HdrHistograms of an interval; the brain adds them over time. Percentiles are
//! always read from merged counts, never averaged.

use serde::{Deserialize, Serialize};

/// Buckets per doubling.
const PER_OCTAVE: f64 = 8.0;

/// Where the buckets of an octave end, as multiples of its begin: 2 to the power of 1/16, 3/16, ...
const ENDS: [f64; 8] = [
    1.0442737824274138,
    1.1387886347566916,
    1.241857812073484,
    1.3542555469368927,
    1.4768261459394993,
    1.6104903319492543,
    1.7562521603732995,
    1.9152065613971474,
];
const MANTISSA: u64 = (1 << 52) - 1;
const EXPONENT_OF_ONE: u64 = 1_023;

/// Sparse counts by bucket, ascending.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies(Vec<(u16, u32)>);

impl Latencies {
    /// Bucket of a latency in microseconds: eight times its binary logarithm, rounded. Taken for every request of a simulation, so from the bits.
    pub fn bucket_of(us: u64) -> u16 {
        let bits = (us.max(1) as f64).to_bits();
        let octave = (bits >> 52) - EXPONENT_OF_ONE;
        let within = f64::from_bits((bits & MANTISSA) | (EXPONENT_OF_ONE << 52));
        octave as u16 * PER_OCTAVE as u16 + ENDS.iter().map(|end| u16::from(within >= *end)).sum::<u16>()
    }

    /// Geometric middle of a bucket, in microseconds.
    pub fn bucket_us(bucket: u16) -> f64 {
        (f64::from(bucket) / PER_OCTAVE).exp2()
    }

    /// Adds `count` latencies of `us` microseconds.
    pub fn add(&mut self, us: u64, count: u32) {
        self.add_bucket(Self::bucket_of(us), count);
    }

    fn add_bucket(&mut self, bucket: u16, count: u32) {
        match self.0.binary_search_by_key(&bucket, |b| b.0) {
            Ok(i) => self.0[i].1 = self.0[i].1.saturating_add(count),
            Err(i) => self.0.insert(i, (bucket, count)),
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.0 {
            self.add_bucket(bucket, count);
        }
    }

    /// How many latencies are held.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|b| u64::from(b.1)).sum()
    }

    /// The `q` quantile (0..=1) in microseconds; None when empty.
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        let total = self.count();
        let rank = (q.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.0.iter().find_map(|&(bucket, count)| {
            seen += u64::from(count);
            (seen >= rank).then(|| Self::bucket_us(bucket))
        })
    }

    /// Mean in microseconds (of bucket middles); None when empty.
    pub fn mean_us(&self) -> Option<f64> {
        let total = self.count();
        (total > 0).then(|| self.0.iter().map(|&(b, c)| Self::bucket_us(b) * f64::from(c)).sum::<f64>() / total as f64)
    }

    /// The buckets, ascending, with their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_rounded_logarithm() {
        let formula = |us: u64| ((us as f64).log2() * PER_OCTAVE).round() as u16;
        let many = (1..200_000).chain((0..60).map(|i| (1u64 << i) + 12_345 * i));
        many.for_each(|us| assert_eq!(Latencies::bucket_of(us), formula(us), "{us}"));
        assert_eq!(Latencies::bucket_of(0), 0);
        assert_eq!(Latencies::bucket_of(u64::MAX), 512);
    }

    #[test]
    fn quantiles_come_from_merged_counts() {
        let (mut a, mut b) = (Latencies::default(), Latencies::default());
        a.add(1_000, 99);
        b.add(100_000, 1);
        a.merge(&b);
        assert_eq!(a.count(), 100);
        assert!((a.quantile_us(0.5).expect("not empty") / 1_000.0 - 1.0).abs() < 0.05);
        assert!((a.quantile_us(1.0).expect("not empty") / 100_000.0 - 1.0).abs() < 0.05);
        assert_eq!(Latencies::default().quantile_us(0.5), None);
    }
}

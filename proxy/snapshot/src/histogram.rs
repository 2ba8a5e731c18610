//! A latency histogram that serialises itself as HdrHistogram V2, base64.
//!
//! All histograms of the product share one shape (1 us to 1 hour, 2 significant digits: an error below 1 %, 26 KiB), so that any two can be
//! added or subtracted. Values above the range are clamped, never lost. One in which nothing was recorded takes no memory of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

/// Longest latency told apart: one hour, in microseconds.
pub const HIGHEST_US: u64 = 3_600_000_000;

/// Why a histogram could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not an HdrHistogram V2 payload.
    #[error("histogram is not an HdrHistogram V2 payload: {0:?}")]
    Payload(hdrhistogram::serialization::DeserializeError),
}

/// A histogram of latencies in microseconds.
#[derive(Clone, Debug, Default)]
pub struct LatencyHistogram(Option<Histogram<u64>>);

/// What every histogram is read as in which nothing was recorded.
static EMPTY: LazyLock<Histogram<u64>> = LazyLock::new(new_histogram);

/// An empty histogram with the product's one shape.
pub fn new_histogram() -> Histogram<u64> {
    let mut h = Histogram::new_with_bounds(1, HIGHEST_US, 2).expect("constant bounds are valid");
    h.auto(false);
    h
}

impl PartialEq for LatencyHistogram {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl LatencyHistogram {
    /// Records one latency in microseconds; values outside the range are clamped to it.
    pub fn record_us(&mut self, us: u64) {
        self.saturating_record(us.max(1));
    }

    /// Base64 of the V2 encoding.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(self, &mut bytes).expect("writing to memory does not fail");
        STANDARD.encode(bytes)
    }

    /// The reverse of [`LatencyHistogram::encode`].
    pub fn decode(text: &str) -> Result<Self, HistogramError> {
        let bytes = STANDARD.decode(text)?;
        let h: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(HistogramError::Payload)?;
        Ok(Self((!h.is_empty()).then_some(h)))
    }

    /// What was recorded since `earlier`, or None when `earlier` is not an earlier state of this histogram.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut diff = self.clone();
        if !earlier.is_empty() {
            diff.subtract(&**earlier).ok()?;
        }
        Some(diff)
    }

    /// How many values are above `us`, to the histogram's resolution.
    pub fn count_above(&self, us: u64) -> u64 {
        let within = if us >= HIGHEST_US { self.len() } else { self.count_between(0, us) };
        self.len() - within
    }
}

impl From<Histogram<u64>> for LatencyHistogram {
    fn from(h: Histogram<u64>) -> Self {
        Self(Some(h))
    }
}

impl Deref for LatencyHistogram {
    type Target = Histogram<u64>;
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for LatencyHistogram {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.get_or_insert_with(new_histogram)
    }
}

impl Serialize for LatencyHistogram {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for LatencyHistogram {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::decode(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip() {
        let mut h = LatencyHistogram::default();
        for us in [1, 10, 1_000, 250_000, HIGHEST_US] {
            h.record_us(us);
        }
        assert_eq!(LatencyHistogram::decode(&h.encode()).expect("own encoding"), h);
    }

    #[test]
    fn clamps_instead_of_losing() {
        let mut h = LatencyHistogram::default();
        h.record_us(0);
        h.record_us(u64::MAX);
        assert_eq!(h.len(), 2);
    }

    #[test]
    fn difference_is_what_came_since() {
        let mut h = LatencyHistogram::default();
        h.record_us(100);
        let earlier = h.clone();
        h.record_us(5_000);
        let diff = h.since(&earlier).expect("a later state");
        assert_eq!((diff.len(), diff.count_above(4_000), diff.count_above(5_000)), (1, 1, 0));
        assert!(earlier.since(&h).is_none(), "time does not run backwards");
    }
}

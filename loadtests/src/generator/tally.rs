//! Counts and histograms of a run.
//!
//! Called by the engine, once when a request is due and once when it has ended. Promises: both are counted exactly once, in the second and in
//! the whole; memory does not grow with the run. Pure apart from the processor clock in the summary.

use crate::generator::line::{Failure, Second, Share, Summary};
use crate::generator::plan::Plan;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest latency told apart, in microseconds: ten minutes and some.
const LARGEST_US: u64 = 700_000_000;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A complete answer with this status.
    Answer(u16),
    /// No complete answer.
    Failed(Failure),
}

/// The figures of a run.
#[derive(Debug)]
pub struct Tally {
    threshold: Duration,
    names: Vec<String>,
    second: Part,
    whole: Part,
    shares: Vec<Share>,
    in_flight: u64,
}

#[derive(Debug)]
struct Part {
    sent: u64,
    done: u64,
    bad: u64,
    client_errors: u64,
    failed: [u64; Failure::ALL.len()],
    latency_us: Histogram<u64>,
    lag_us: Histogram<u64>,
}

impl Part {
    fn new(digits: u8) -> Result<Self, hdrhistogram::CreationError> {
        let histogram = || Histogram::new_with_bounds(1, LARGEST_US, digits);
        let failed = [0; Failure::ALL.len()];
        Ok(Self { sent: 0, done: 0, bad: 0, client_errors: 0, failed, latency_us: histogram()?, lag_us: histogram()? })
    }

    fn clear(&mut self) {
        (self.sent, self.done, self.bad, self.client_errors) = (0, 0, 0, 0);
        self.failed = Default::default();
        self.latency_us.reset();
        self.lag_us.reset();
    }

    fn failures(&self) -> BTreeMap<Failure, u64> {
        Failure::ALL.into_iter().map(|f| (f, self.failed[f as usize])).filter(|(_, n)| *n > 0).collect()
    }

    fn latency_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latency_us.is_empty()).then(|| self.latency_us.value_at_quantile(quantile) as f64 / 1e3)
    }

    fn lag_ms(&self, quantile: f64) -> f64 {
        if self.lag_us.is_empty() { 0.0 } else { self.lag_us.value_at_quantile(quantile) as f64 / 1e3 }
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX).clamp(1, LARGEST_US)
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// Never with the bounds used here; the histogram's constructor is fallible.
    pub fn new(plan: &Plan) -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            threshold: Duration::from_secs_f64(plan.threshold_ms / 1e3),
            names: plan.requests.iter().map(|r| r.name.clone()).collect(),
            // Two digits are plenty for a line a second, and quick to clear.
            second: Part::new(2)?,
            whole: Part::new(3)?,
            shares: vec![Share::default(); plan.requests.len()],
            in_flight: 0,
        })
    }

    /// A request is due; `lag` is how late the generator is with it.
    pub fn due(&mut self, lag: Duration) {
        self.in_flight += 1;
        for part in [&mut self.second, &mut self.whole] {
            part.sent += 1;
            part.lag_us.saturating_record(micros(lag));
        }
    }

    /// A request has ended, `latency` after it was due.
    pub fn ended(&mut self, request: usize, ending: Ending, latency: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let failure = match ending {
            Ending::Answer(status) if status >= 500 => Some(Failure::ServerError),
            Ending::Answer(_) => None,
            Ending::Failed(failure) => Some(failure),
        };
        let bad = failure.is_some() || latency > self.threshold;
        // A refusal is quick and a broken connection has no latency; a timeout is at least this slow.
        let timed = matches!(failure, None | Some(Failure::Timeout));
        for part in [&mut self.second, &mut self.whole] {
            part.done += 1;
            part.bad += u64::from(bad);
            part.client_errors += u64::from(matches!(ending, Ending::Answer(400..=499)));
            if let Some(failure) = failure {
                part.failed[failure as usize] += 1;
            }
            if timed {
                part.latency_us.saturating_record(micros(latency));
            }
        }
        if let Some(share) = self.shares.get_mut(request) {
            share.done += 1;
            share.bad += u64::from(bad);
        }
    }

    /// Requests due and not ended.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Whether nothing has happened in this second.
    pub fn second_is_empty(&self) -> bool {
        self.second.sent == 0 && self.second.done == 0
    }

    /// Ends a second and begins the next.
    pub fn take_second(&mut self, t_s: f64, offered_rps: f64) -> Second {
        let part = &self.second;
        let second = Second {
            t_s,
            offered_rps,
            sent: part.sent,
            done: part.done,
            bad: part.bad,
            failed: part.failures(),
            client_errors: part.client_errors,
            p50_ms: part.latency_ms(0.5),
            p90_ms: part.latency_ms(0.9),
            p99_ms: part.latency_ms(0.99),
            in_flight: self.in_flight,
            send_lag_ms_p99: part.lag_ms(0.99),
        };
        self.second.clear();
        second
    }

    /// The whole. What only the engine knows (seed, length, connections, processor time) is left for it to fill in.
    pub fn summary(&self) -> Summary {
        let part = &self.whole;
        let mut bytes = Vec::new();
        // Writing into memory does not fail for a histogram whose counts fit its own type.
        let histogram_us = match V2Serializer::new().serialize(&part.latency_us, &mut bytes) {
            Ok(_) => STANDARD.encode(&bytes),
            Err(_) => String::new(),
        };
        Summary {
            sent: part.sent,
            done: part.done,
            bad: part.bad,
            failed: part.failures(),
            client_errors: part.client_errors,
            threshold_ms: self.threshold.as_secs_f64() * 1e3,
            by_request: self.names.iter().cloned().zip(self.shares.iter().copied()).collect(),
            p50_ms: part.latency_ms(0.5),
            p90_ms: part.latency_ms(0.9),
            p95_ms: part.latency_ms(0.95),
            p99_ms: part.latency_ms(0.99),
            p999_ms: part.latency_ms(0.999),
            max_ms: part.latency_ms(1.0),
            send_lag_ms_p99: part.lag_ms(0.99),
            send_lag_ms_max: part.lag_ms(1.0),
            histogram_us,
            ..Summary::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;

    #[test]
    fn every_request_is_counted_once_under_what_became_of_it() {
        let plan = Plan::constant("http://x/", 1.0, 1.0).unwrap();
        let mut tally = Tally::new(&plan).unwrap();
        let ms = Duration::from_millis;
        let endings = [
            (Ending::Answer(200), ms(10)),
            (Ending::Answer(200), ms(151)),
            (Ending::Answer(404), ms(5)),
            (Ending::Answer(503), ms(1)),
            (Ending::Failed(Failure::Timeout), ms(2_000)),
            (Ending::Failed(Failure::Overflow), ms(0)),
        ];
        for (i, _) in endings.iter().enumerate() {
            tally.due(ms(i as u64));
        }
        for (ending, latency) in endings {
            tally.ended(0, ending, latency);
        }
        let second = tally.take_second(4.0, 6.0);
        assert_eq!((second.sent, second.done, second.bad, second.client_errors, second.in_flight), (6, 6, 4, 1, 0));
        assert_eq!(second.failed, [(Failure::Timeout, 1), (Failure::ServerError, 1), (Failure::Overflow, 1)].into());
        assert!((second.p99_ms.unwrap() - 2_000.0).abs() < 20.0 && (second.send_lag_ms_p99 - 5.0).abs() < 0.1);
        assert!(tally.second_is_empty());
        assert_eq!(tally.take_second(5.0, 0.0), Second { t_s: 5.0, ..Second::default() });
        let summary = tally.summary();
        assert_eq!(summary.by_request["default"], Share { done: 6, bad: 4 });
        let bytes = STANDARD.decode(&summary.histogram_us).unwrap();
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(histogram.len(), 4);
    }
}

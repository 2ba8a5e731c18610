//! What the generator says: one line of JSON a second, then a summary. Written by the tally, read by the demo and by people's scripts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection.
    Connect,
    /// No complete answer in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Reset,
    /// A status of 500 or more.
    ServerError,
    /// Not sent: too many were under way already.
    Overflow,
}

impl Failure {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Timeout, Self::Reset, Self::ServerError, Self::Overflow];
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// A second.
    Second(Second),
    /// The end.
    Summary(Summary),
}

/// One second. Requests are counted under `sent` in the second they were due and under everything else in the second they ended, so that
/// over a run the sum of `sent` is the sum of `done`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    /// Seconds from the begin of the run to the begin of this second.
    pub t_s: f64,
    /// Rate of the plan in the middle of this second.
    pub offered_rps: f64,
    /// Requests due, sent or not.
    pub sent: u64,
    /// Requests that ended, well or not.
    pub done: u64,
    /// Of those, failed or slower than the threshold.
    pub bad: u64,
    /// Of those, failed, by reason; reasons that did not occur are left out.
    pub failed: BTreeMap<Failure, u64>,
    /// Answers with a status of 400 to 499: not bad, but perhaps not what was meant.
    pub client_errors: u64,
    /// Latency quantiles from the intended moment, of complete answers and timeouts; None without any.
    pub p50_ms: Option<f64>,
    /// 90 %.
    pub p90_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// Requests under way at the end of the second.
    pub in_flight: u64,
    /// How late the generator itself sent, 99 % quantile.
    pub send_lag_ms_p99: f64,
}

impl Second {
    /// Failed requests of every reason.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// The whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Seed of the plan.
    pub seed: u64,
    /// Length of the plan, or how far it got.
    pub duration_s: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Requests due.
    pub sent: u64,
    /// Requests that ended; the same as `sent`.
    pub done: u64,
    /// Failed or slower than the threshold.
    pub bad: u64,
    /// Failed, by reason.
    pub failed: BTreeMap<Failure, u64>,
    /// Answers with a status of 400 to 499.
    pub client_errors: u64,
    /// What a slower answer than is bad, in milliseconds.
    pub threshold_ms: f64,
    /// Ended and bad by name of the request.
    pub by_request: BTreeMap<String, Share>,
    /// Latency quantiles from the intended moment, of complete answers and timeouts; None without any.
    pub p50_ms: Option<f64>,
    /// 90 %.
    pub p90_ms: Option<f64>,
    /// 95 %.
    pub p95_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// 99.9 %.
    pub p999_ms: Option<f64>,
    /// The slowest.
    pub max_ms: Option<f64>,
    /// How late the generator itself sent, 99 % quantile.
    pub send_lag_ms_p99: f64,
    /// The same at worst.
    pub send_lag_ms_max: f64,
    /// Connections that were opened.
    pub connections: u64,
    /// Processor time of the whole process per request in microseconds; the generator's own when it is the only thing in its process.
    pub cpu_us_per_request: f64,
    /// The latency histogram in microseconds, HdrHistogram V2, base64.
    pub histogram_us: String,
}

/// Counts of one kind of request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Ended.
    pub done: u64,
    /// Failed or too slow.
    pub bad: u64,
}

//! What is known of endpoints' health, and how it is found out. Part of [`super`], which re-exports it.

use std::time::Duration;

/// Passive health: what answers say. Percentages are 0 to 100; an enforcing percentage is how often a finding leads to an ejection.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlier {
    /// Failures in a row (5xx, and what is counted like them).
    pub consecutive_5xx: Rule,
    /// Gateway failures in a row (502, 503, 504).
    pub consecutive_gateway: Rule,
    /// Failures in a row that come from no answer; only with `split`.
    pub consecutive_local: Rule,
    /// Failures to connect, timeouts and resets count apart from answers.
    pub split: bool,
    /// How often rates are looked at and endpoints come back (default 10 s).
    pub interval: Duration,
    /// First ejection (default 30 s); each further one is longer by this.
    pub base_ejection: Duration,
    /// Longest ejection (default 300 s).
    pub max_ejection: Duration,
    /// Ejections are longer by up to this, at random.
    pub jitter: Duration,
    /// Most of the endpoints that are ejected at once (default 10).
    pub max_percent: u32,
    /// One may be ejected whatever `max_percent` says.
    pub always_one: bool,
    /// Success rates far below the others'.
    pub success_rate: RateRule,
    /// So many thousandths of the standard deviation below the mean is far (default 1,900).
    pub stdev_factor: u32,
    /// Too many failures.
    pub failure_percentage: RateRule,
    /// So many are too many (default 85).
    pub failure_threshold: u32,
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// So many (default 5).
    pub most: u32,
    /// Percent.
    pub enforcing: u32,
}

/// Rates over an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Percent.
    pub enforcing: u32,
    /// The same for failures that come from no answer; only with `split`.
    pub enforcing_local: u32,
    /// So many endpoints must have enough requests (default 5).
    pub hosts: u32,
    /// So many requests are enough (default 100, or 50).
    pub volume: u64,
}

impl Default for Outlier {
    fn default() -> Self {
        let rule = |enforcing| Rule { most: 5, enforcing };
        Self {
            consecutive_5xx: rule(100),
            consecutive_gateway: rule(0),
            consecutive_local: rule(100),
            split: false,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            jitter: Duration::ZERO,
            max_percent: 10,
            always_one: false,
            success_rate: RateRule { enforcing: 100, enforcing_local: 100, hosts: 5, volume: 100 },
            stdev_factor: 1900,
            failure_percentage: RateRule { enforcing: 0, enforcing_local: 0, hosts: 5, volume: 50 },
            failure_threshold: 85,
        }
    }
}

/// An active health check.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Time for an answer.
    pub timeout: Duration,
    /// Between checks of a healthy endpoint.
    pub interval: Duration,
    /// Longer by up to this, at random.
    pub jitter: Duration,
    /// Between checks of one that is not healthy.
    pub unhealthy_interval: Duration,
    /// Failures in a row that make an endpoint unhealthy.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make it healthy again.
    pub healthy_threshold: u32,
    /// What is asked.
    pub probe: Probe,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// An HTTP request.
    Http {
        /// Host; empty = the cluster's name.
        host: String,
        /// Path and query.
        path: String,
        /// Method.
        method: http::Method,
        /// Over HTTP/2.
        http2: bool,
        /// Statuses that are well (from, to below); empty = 200.
        expected: Vec<(u16, u16)>,
        /// Statuses that count as a failure among others; any further one makes an endpoint unhealthy at once.
        retriable: Vec<(u16, u16)>,
    },
    /// A connection; bytes sent, and bytes that must come back in this order. Nothing to send = a connection is enough.
    Tcp {
        /// Sent.
        send: Vec<u8>,
        /// Expected, each somewhere after the one before.
        receive: Vec<Vec<u8>>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Service asked for; empty = the server as a whole.
        service: String,
        /// `:authority`; empty = the cluster's name.
        authority: String,
    },
}

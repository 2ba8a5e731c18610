//! Retries as a route asks for them. Part of [`super`], which re-exports it.

use super::HeaderMatch;
use std::time::Duration;

/// A retry policy.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// What is tried again.
    pub on: RetryOn,
    /// At most so many times (default 1).
    pub retries: u32,
    /// Time for one try.
    pub per_try_timeout: Option<Duration>,
    /// Time in which nothing of a try's answer may move.
    pub per_try_idle_timeout: Option<Duration>,
    /// Statuses for [`RetryOn::STATUS_CODES`].
    pub statuses: Vec<u16>,
    /// Of the answer, for [`RetryOn::HEADERS`]: one that matches is enough.
    pub headers: Vec<HeaderMatch>,
    /// Of the request: only when one of them matches; empty = always.
    pub request_headers: Vec<HeaderMatch>,
    /// Longest first wait (default 25 ms); each further one may be twice as long. Every wait is drawn from 0 to its longest.
    pub base_interval: Duration,
    /// Longest wait of all (default ten times the first).
    pub max_interval: Duration,
    /// How often another endpoint is looked for when one was chosen that had failed; 0 = the balancer's choice stands.
    pub avoid_tried: u32,
}

impl RetryPolicy {
    /// The policy of a route that has none, for requests that bring theirs in headers.
    pub const fn none() -> Self {
        Self {
            on: RetryOn::NOTHING,
            retries: 1,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            statuses: Vec::new(),
            headers: Vec::new(),
            request_headers: Vec::new(),
            base_interval: Duration::from_millis(25),
            max_interval: Duration::from_millis(250),
            avoid_tried: 0,
        }
    }
}

/// A set of conditions, by Envoy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn(u32);

/// Envoy's words for the conditions.
const WORDS: [(&str, RetryOn); 11] = [
    ("5xx", RetryOn::SERVER_ERROR),
    ("gateway-error", RetryOn::GATEWAY_ERROR),
    ("reset", RetryOn::RESET),
    ("reset-before-request", RetryOn::RESET_BEFORE_REQUEST),
    ("connect-failure", RetryOn::CONNECT_FAILURE),
    ("envoy-ratelimited", RetryOn::RATE_LIMITED),
    ("retriable-4xx", RetryOn::CONFLICT),
    ("refused-stream", RetryOn::REFUSED_STREAM),
    ("retriable-status-codes", RetryOn::STATUS_CODES),
    ("retriable-headers", RetryOn::HEADERS),
    // HTTP/3 is not spoken here: nothing to do.
    ("http3-post-connect-failure", RetryOn::NOTHING),
];

/// The words for gRPC statuses, with the status.
const GRPC_WORDS: [(&str, u32); 5] =
    [("cancelled", 1), ("deadline-exceeded", 4), ("resource-exhausted", 8), ("internal", 13), ("unavailable", 14)];

impl RetryOn {
    /// None.
    pub const NOTHING: Self = Self(0);
    /// A status of 500 or above, or no answer at all.
    pub const SERVER_ERROR: Self = Self(1);
    /// 502, 503, 504, or no answer at all.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// No answer at all.
    pub const RESET: Self = Self(1 << 2);
    /// The connection broke before the request was sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    /// No connection.
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    /// `x-envoy-ratelimited` in the answer.
    pub const RATE_LIMITED: Self = Self(1 << 5);
    /// 409.
    pub const CONFLICT: Self = Self(1 << 6);
    /// HTTP/2's REFUSED_STREAM.
    pub const REFUSED_STREAM: Self = Self(1 << 7);
    /// One of the statuses named.
    pub const STATUS_CODES: Self = Self(1 << 8);
    /// One of the headers named.
    pub const HEADERS: Self = Self(1 << 9);

    /// All words that mean something, for messages.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|w| w.0).chain(GRPC_WORDS.iter().map(|w| w.0))
    }

    /// A condition on answers by Envoy's word for it.
    pub fn word(word: &str) -> Option<Self> {
        WORDS.iter().find(|w| w.0 == word).map(|w| w.1)
    }

    /// A gRPC status by the word for it.
    pub fn grpc_word(word: &str) -> Option<Self> {
        GRPC_WORDS.iter().find(|w| w.0 == word).map(|w| Self::grpc(w.1))
    }

    /// An answer with this gRPC status.
    pub const fn grpc(status: u32) -> Self {
        Self(if status < 20 { 1 << (10 + status) } else { 0 })
    }

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have something in common.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

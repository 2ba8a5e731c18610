//! The telemetry snapshot: the one contract between proxy and agent.
//!
//! A proxy serves it at `GET /telemetry` on its admin listener; the agent polls it. Everything that counts is
//! *cumulative since `start_time_unix_ms`*, so that a missed poll loses nothing: a reader subtracts two snapshots of the
//! same `(proxy_id, start_time_unix_ms)`. Histograms travel whole, in HdrHistogram's V2 encoding (base64), so that they
//! can be merged over proxies and subtracted over time; percentiles are never averaged.
//!
//! Promises: the format only grows. Readers ignore unknown fields and default missing ones; writers never change the
//! meaning or unit of a field. `tests/golden.rs` of this crate pins one document.
//!
//! Not here: transport, polling, any judgement of what a number means.

mod histogram;

pub use histogram::{HistogramError, LatencyHistogram, new_histogram};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the document. Raised only when a reader must know; growing the document does not raise it.
pub const VERSION: u32 = 1;

/// One poll of one proxy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Who wrote it: `--service-node` when given, else `host:pid`.
    pub proxy_id: String,
    /// When the counters began, in milliseconds since the Unix epoch. A change means the proxy restarted.
    pub start_time_unix_ms: u64,
    /// When this snapshot was taken, in milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// Rises by one with every snapshot taken.
    pub sequence: u64,
    /// Upstream clusters, one entry each: production's and the mirrors'.
    pub clusters: Vec<ClusterSnapshot>,
    /// Mirror policies, one entry each.
    pub mirrors: Vec<MirrorSnapshot>,
    /// Named routes, one entry for each and each cluster that it sent to; bounded.
    pub routes: Vec<RouteSnapshot>,
    /// Shapes of recently seen requests (method, path without query values, a few headers), newest first; bounded.
    /// From these the agent makes the synthetic stream when there is no live traffic. No bodies, no credentials.
    pub recent_requests: Vec<RequestShape>,
    /// Downstream side of the proxy.
    pub downstream: DownstreamSnapshot,
    /// Listeners, one entry each.
    pub listeners: Vec<ListenerSnapshot>,
    /// Times that certificates were read anew because their files changed.
    pub certificates_renewed: u64,
    /// Times that changed files of certificates could not be used, and the ones before stayed.
    pub certificates_refused: u64,
    /// Configuration generation now serving: rises with every accepted reload.
    pub config_generation: u64,
    /// Whether the last reload was refused (the one before keeps serving).
    pub config_last_reload_failed: bool,
}

/// What a cluster is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRole {
    /// Answers go back to clients.
    #[default]
    Production,
    /// Only ever the target of a mirror policy: answers are measured and thrown away.
    Mirror,
}

/// Cumulative numbers of one upstream cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSnapshot {
    /// Name as configured.
    pub name: String,
    /// What the cluster is for.
    pub role: ClusterRole,
    /// Requests started towards it.
    pub requests: u64,
    /// Requests whose answer arrived whole, by status class: index 0 is 1xx, index 4 is 5xx.
    pub responses: [u64; 5],
    /// Answers that the proxy made itself because none came from the cluster, by status class; the requests are in `failures`.
    pub own_responses: [u64; 5],
    /// Requests that ended without a whole answer, by reason: `connect`, `timeout`, `reset`, `overflow`, `no_healthy_upstream`, ...
    /// A client that went away (`client_cancelled`) is counted here too, but is nobody's failure.
    pub failures: BTreeMap<String, u64>,
    /// What happened besides, by Envoy's names of such counters without their prefix: `upstream_rq_retry`, `upstream_rq_retry_overflow`, ...
    pub events: BTreeMap<String, u64>,
    /// Requests under way now.
    pub in_flight: u64,
    /// Time from the request's arrival (for a copy: from its sending) to the end of the answer, in microseconds.
    /// Only answers below 500 that arrived whole are recorded here: failures are counted, not timed.
    pub total_us: LatencyHistogram,
    /// The same, to the first byte of the answer.
    pub first_byte_us: LatencyHistogram,
    /// Time to establish an upstream connection, in microseconds.
    pub connect_us: LatencyHistogram,
    /// Bytes sent upstream: bodies.
    pub bytes_sent: u64,
    /// Bytes received from upstream: bodies.
    pub bytes_received: u64,
    /// Smoothed TCP round trip time of upstream connections when sampled, mean over connections, in microseconds; 0 when unknown.
    pub rtt_us: u64,
    /// Smoothed TCP round trip times of upstream connections, in microseconds: looked at after one answer in 64.
    pub tcp_rtt_us: LatencyHistogram,
    /// Endpoints now in rotation.
    pub endpoints: Vec<String>,
    /// Endpoints known, whatever their health.
    pub endpoints_total: u64,
    /// Endpoints that outlier detection has ejected now.
    pub endpoints_ejected: u64,
}

/// Cumulative numbers of one named route towards one cluster: production's, or a mirror's for the copies of the route's requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteSnapshot {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the route; `(other)` stands for all beyond a bound.
    pub route: String,
    /// Requests sent.
    pub requests: u64,
    /// Whole answers by status class: index 0 is 1xx, index 4 is 5xx.
    pub responses: [u64; 5],
    /// Requests that ended without a whole answer.
    pub failures: u64,
    /// Arrival (for a copy: sending) to the end of the answer, in microseconds; only whole answers below 500.
    pub total_us: LatencyHistogram,
    /// The same, to the first byte of the answer.
    pub first_byte_us: LatencyHistogram,
}

impl ClusterSnapshot {
    /// What clients were answered, by status class, as Envoy counts it: by the cluster or for want of its answer.
    pub fn answered(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.responses[class] + self.own_responses[class])
    }
}

impl Snapshot {
    /// The entry of a route and a cluster, made when it is not there.
    pub fn route(&mut self, cluster: &str, route: &str) -> &mut RouteSnapshot {
        let at = self.routes.iter().position(|r| r.cluster == cluster && r.route == route).unwrap_or_else(|| {
            self.routes.push(RouteSnapshot { cluster: cluster.into(), route: route.into(), ..RouteSnapshot::default() });
            self.routes.len() - 1
        });
        &mut self.routes[at]
    }
}

/// Cumulative numbers of one mirror policy.
///
/// The account closes exactly in every snapshot:
/// `eligible == completed + in_flight + sum(dropped)`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorSnapshot {
    /// Stable name of the policy: runtime key when it has one, else `<route or virtual host>/<cluster>`.
    pub policy: String,
    /// Mirror cluster.
    pub cluster: String,
    /// Runtime key by which the fraction can be set, empty when there is none.
    pub runtime_key: String,
    /// Copies wished per eligible request, now in force: 0.25 is one in four, 2.5 is two or three each.
    pub fraction: f64,
    /// `file` or `runtime`.
    pub fraction_source: String,
    /// When a run-time value falls back to the file's, in milliseconds since the Unix epoch; 0 = never.
    pub fraction_expires_unix_ms: u64,
    /// Requests that the policy applied to.
    pub eligible_requests: u64,
    /// Copy opportunities: one for every eligible request, plus one for every additional copy above 100 %.
    pub eligible: u64,
    /// Copies whose answer (of any status) arrived whole.
    pub completed: u64,
    /// Copies waiting or under way now.
    pub in_flight: u64,
    /// Copies not made or not finished, by reason: `sampled_out`, `method`, `marked`, `overflow_count`, `overflow_bytes`,
    /// `rate`, `body_too_large`, `timeout`, `connect`, `reset`, `no_cluster`, `no_healthy_upstream`, `client_cancelled`, `not_accepted`, `shutdown`, ...
    pub dropped: BTreeMap<String, u64>,
    /// Bytes of bodies held for copies now.
    pub buffered_bytes: u64,
    /// Pairs whose two answers both arrived and had the same status class.
    pub status_match: u64,
    /// Pairs whose two answers both arrived and had different status classes.
    pub status_mismatch: u64,
    /// Pairs whose two bodies were both complete and the same; counted where bodies are compared (`compare_bodies`).
    pub body_match: u64,
    /// Pairs whose two bodies were both complete and differed.
    pub body_mismatch: u64,
    /// By how much the copy's first byte came later than production's, in microseconds; each from the sending of its own request.
    pub slower_us: LatencyHistogram,
    /// By how much it came sooner, for the pairs in which it did.
    pub faster_us: LatencyHistogram,
    /// Probability with which an eligible request is copied now: the fraction, at most 1.
    pub inclusion_probability: f64,
    /// Eligible requests that the copies drawn so far stand for: the sum of 1 / fraction over them, each with the fraction at its time
    /// (the estimator of Horvitz and Thompson). Counts of copies are made unbiased with it when the fraction changes. Copies that were drawn and then
    /// dropped for a bound are in it.
    pub represented: f64,
}

impl MirrorSnapshot {
    /// Whether the account closes: every eligible copy is completed, under way, or dropped for a named reason.
    pub fn closes(&self) -> bool {
        self.eligible == self.completed + self.in_flight + self.dropped.values().sum::<u64>()
    }
}

/// The shape of a request, for synthetic streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestShape {
    /// Method, always a safe one (GET, HEAD, OPTIONS).
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Host header.
    pub host: String,
}

/// Cumulative numbers of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerSnapshot {
    /// Name as configured.
    pub name: String,
    /// Where it listens, as `127.0.0.1:80`; empty when it does not by itself.
    pub address: String,
    /// What happened to connections, by Envoy's names below `listener.<address>.`: `ssl.handshake`, `no_filter_chain_match`, ...
    pub events: BTreeMap<String, u64>,
}

/// Cumulative numbers of the downstream side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DownstreamSnapshot {
    /// Requests received whole (head) on all listeners.
    pub requests: u64,
    /// Connections open now.
    pub connections: u64,
    /// Of these, connections on which nothing happens, so that they hold no buffers.
    pub connections_resting: u64,
    /// Connections accepted.
    pub connections_total: u64,
    /// Requests refused before routing, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What happened besides, by Envoy's names of such counters: `downstream_cx_protocol_error`, `downstream_rq_header_timeout`, ...
    pub events: BTreeMap<String, u64>,
    /// Answers by status class, those made by the proxy included: index 0 is 1xx, index 4 is 5xx.
    pub responses: [u64; 5],
    /// Lines of access logs written.
    pub access_log_written: u64,
    /// Lines of access logs dropped, because the disk did not keep up.
    pub access_log_dropped: u64,
}

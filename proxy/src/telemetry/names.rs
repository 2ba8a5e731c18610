//! All metric names. They are an API: Envoy's where Envoy has them, ours beside them.

/// Requests to a cluster. Label `envoy_cluster_name`.
pub const UPSTREAM_RQ_TOTAL: &str = "envoy_cluster_upstream_rq_total";
/// Answers by class. Labels `envoy_cluster_name`, `envoy_response_code_class`.
pub const UPSTREAM_RQ_XX: &str = "envoy_cluster_upstream_rq_xx";
/// Requests under way. Label `envoy_cluster_name`.
pub const UPSTREAM_RQ_ACTIVE: &str = "envoy_cluster_upstream_rq_active";
/// Time to the end of the answer, milliseconds, histogram. Label `envoy_cluster_name`.
pub const UPSTREAM_RQ_TIME: &str = "envoy_cluster_upstream_rq_time";
/// Time to connect, milliseconds, histogram. Label `envoy_cluster_name`.
pub const UPSTREAM_CX_CONNECT_MS: &str = "envoy_cluster_upstream_cx_connect_ms";
/// Endpoints in rotation. Label `envoy_cluster_name`.
pub const MEMBERSHIP_HEALTHY: &str = "envoy_cluster_membership_healthy";
/// Body bytes sent. Label `envoy_cluster_name`.
pub const UPSTREAM_TX_BYTES: &str = "envoy_cluster_upstream_cx_tx_bytes_total";
/// Body bytes received. Label `envoy_cluster_name`.
pub const UPSTREAM_RX_BYTES: &str = "envoy_cluster_upstream_cx_rx_bytes_total";
/// Connections made. Label `envoy_cluster_name`.
pub const UPSTREAM_CX_TOTAL: &str = "envoy_cluster_upstream_cx_total";
/// Smoothed TCP round trip times of connections, milliseconds, histogram. Label `envoy_cluster_name`.
pub const TCP_RTT: &str = "foreshadow_cluster_tcp_rtt";
/// Answers by class. Labels `envoy_cluster_name`, `route`, `envoy_response_code_class`.
pub const ROUTE_RQ_XX: &str = "foreshadow_route_rq_xx";
/// Requests that ended without a whole answer. Labels `envoy_cluster_name`, `route`.
pub const ROUTE_FAILURES: &str = "foreshadow_route_failures_total";
/// Time to the end of the answer, milliseconds, histogram. Labels `envoy_cluster_name`, `route`.
pub const ROUTE_RQ_TIME: &str = "foreshadow_route_rq_time";
/// Time to the first byte of the answer, milliseconds, histogram. Labels `envoy_cluster_name`, `route`.
pub const ROUTE_FIRST_BYTE_TIME: &str = "foreshadow_route_first_byte_time";
/// Answers by class. Label `envoy_response_code_class`.
pub const DOWNSTREAM_RQ_XX: &str = "envoy_http_downstream_rq_xx";
/// Requests received.
pub const DOWNSTREAM_RQ_TOTAL: &str = "envoy_http_downstream_rq_total";
/// Client connections open.
pub const DOWNSTREAM_CX_ACTIVE: &str = "envoy_http_downstream_cx_active";
/// Client connections accepted.
pub const DOWNSTREAM_CX_TOTAL: &str = "envoy_http_downstream_cx_total";
/// 1 when serving.
pub const SERVER_LIVE: &str = "envoy_server_live";
/// Time to the first byte of the answer, milliseconds, histogram. Label `envoy_cluster_name`.
pub const FIRST_BYTE_TIME: &str = "foreshadow_cluster_first_byte_time";
/// Requests that ended without a whole answer. Labels `envoy_cluster_name`, `reason`.
pub const UPSTREAM_FAILURES: &str = "foreshadow_cluster_failures_total";
/// Requests refused before routing. Label `reason`.
pub const REFUSED: &str = "foreshadow_downstream_refused_total";
/// Lines of access logs. Label `outcome` (`written`, `dropped`).
pub const ACCESS_LOG_LINES: &str = "foreshadow_access_log_lines_total";
/// Requests that a mirror policy applied to. Label `policy`.
pub const MIRROR_ELIGIBLE_REQUESTS: &str = "foreshadow_mirror_eligible_requests_total";
/// Copy opportunities. Label `policy`.
pub const MIRROR_ELIGIBLE: &str = "foreshadow_mirror_eligible_total";
/// Copies answered whole. Label `policy`.
pub const MIRROR_COMPLETED: &str = "foreshadow_mirror_completed_total";
/// Copies waiting or under way. Label `policy`.
pub const MIRROR_IN_FLIGHT: &str = "foreshadow_mirror_in_flight";
/// Copies not made or not finished. Labels `policy`, `reason`.
pub const MIRROR_DROPPED: &str = "foreshadow_mirror_dropped_total";
/// Copies wished per eligible request. Label `policy`.
pub const MIRROR_FRACTION: &str = "foreshadow_mirror_fraction";
/// Body bytes held for copies. Label `policy`.
pub const MIRROR_BUFFERED: &str = "foreshadow_mirror_buffered_bytes";
/// Pairs compared. Labels `policy`, `status` (`match`, `mismatch`).
pub const MIRROR_PAIRS: &str = "foreshadow_mirror_pairs_total";
/// Pairs whose bodies were compared. Labels `policy`, `body` (`match`, `mismatch`).
pub const MIRROR_BODIES: &str = "foreshadow_mirror_bodies_total";
/// By how much copies' first bytes came later, milliseconds, histogram. Label `policy`.
pub const MIRROR_SLOWER: &str = "foreshadow_mirror_slower_time";
/// By how much copies' first bytes came sooner, milliseconds, histogram. Label `policy`.
pub const MIRROR_FASTER: &str = "foreshadow_mirror_faster_time";
/// Probability with which a request is copied now. Label `policy`.
pub const MIRROR_PROBABILITY: &str = "foreshadow_mirror_inclusion_probability";
/// Eligible requests that the copies drawn so far stand for. Label `policy`.
pub const MIRROR_REPRESENTED: &str = "foreshadow_mirror_represented_total";
/// Reloads. Label `outcome` (`applied`, `refused`).
pub const RELOADS: &str = "foreshadow_config_reloads_total";
/// 1 when the last reload was refused and the configuration before it serves.
pub const RELOAD_REFUSED: &str = "foreshadow_config_last_reload_refused";
/// Generation of the configuration in force.
pub const GENERATION: &str = "foreshadow_config_generation";

/// Counters of a cluster that are counted by name: the event, the metric, its help. Label `envoy_cluster_name`.
pub const CLUSTER_EVENTS: [(&str, &str, &str); 6] = [
    ("upstream_rq_retry", "envoy_cluster_upstream_rq_retry", "Requests tried again"),
    ("upstream_rq_retry_success", "envoy_cluster_upstream_rq_retry_success", "Retries that helped"),
    ("upstream_rq_retry_overflow", "envoy_cluster_upstream_rq_retry_overflow", "Retries not made: too many at once"),
    ("upstream_rq_retry_limit_exceeded", "envoy_cluster_upstream_rq_retry_limit_exceeded", "Retries not made: none left"),
    ("upstream_rq_retry_backoff_exponential", "envoy_cluster_upstream_rq_retry_backoff_exponential", "Waits before a retry"),
    ("retry_or_shadow_abandoned", "envoy_cluster_retry_or_shadow_abandoned", "Bodies too large to be kept for a retry"),
];

/// Counters of a cluster that are failures by reason: the reason, the metric, its help. Label `envoy_cluster_name`.
pub const CLUSTER_FAILURES: [(&str, &str, &str); 5] = [
    ("timeout", "envoy_cluster_upstream_rq_timeout", "Requests that took longer than their route allows"),
    ("per_try_timeout", "envoy_cluster_upstream_rq_per_try_timeout", "Tries that took longer than their route allows"),
    ("overflow", "envoy_cluster_upstream_rq_pending_overflow", "Requests refused by a circuit breaker"),
    ("no_healthy_upstream", "envoy_cluster_upstream_cx_none_healthy", "Requests that found no endpoint"),
    ("connect", "envoy_cluster_upstream_cx_connect_fail", "Requests for which no connection could be made"),
];

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
/// Endpoints known. Label `envoy_cluster_name`.
pub const MEMBERSHIP_TOTAL: &str = "envoy_cluster_membership_total";
/// Endpoints ejected by outlier detection. Label `envoy_cluster_name`.
pub const EJECTIONS_ACTIVE: &str = "envoy_cluster_outlier_detection_ejections_active";
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
/// Client connections on which nothing happens, so that they hold no buffers.
pub const DOWNSTREAM_CX_RESTING: &str = "foreshadow_downstream_cx_resting";
/// Reloads. Label `outcome` (`applied`, `refused`).
pub const RELOADS: &str = "foreshadow_config_reloads_total";
/// 1 when the last reload was refused and the configuration before it serves.
pub const RELOAD_REFUSED: &str = "foreshadow_config_last_reload_refused";
/// Generation of the configuration in force.
pub const GENERATION: &str = "foreshadow_config_generation";

/// Counters of a cluster that are counted by name: the event, the metric, its help. Label `envoy_cluster_name`.
pub const CLUSTER_EVENTS: [(&str, &str, &str); 27] = [
    ("idle_overflow", "foreshadow_cluster_idle_overflow_total", "Connections closed after use: as many as may be were idle already"),
    ("upstream_rq_retry", "envoy_cluster_upstream_rq_retry", "Requests tried again"),
    ("upstream_rq_retry_success", "envoy_cluster_upstream_rq_retry_success", "Retries that helped"),
    ("upstream_rq_retry_overflow", "envoy_cluster_upstream_rq_retry_overflow", "Retries not made: too many at once"),
    ("upstream_rq_retry_limit_exceeded", "envoy_cluster_upstream_rq_retry_limit_exceeded", "Retries not made: none left"),
    ("upstream_rq_retry_backoff_exponential", "envoy_cluster_upstream_rq_retry_backoff_exponential", "Waits before a retry"),
    ("lb_healthy_panic", "envoy_cluster_lb_healthy_panic", "Endpoints chosen without regard to health: too few were healthy"),
    ("retry_or_shadow_abandoned", "envoy_cluster_retry_or_shadow_abandoned", "Bodies too large to be kept for a retry"),
    ("outlier_detection_ejections_enforced_total", "envoy_cluster_outlier_detection_ejections_enforced_total", "Endpoints ejected"),
    (
        "outlier_detection_ejections_overflow",
        "envoy_cluster_outlier_detection_ejections_overflow",
        "Ejections not made: too many endpoints are ejected already",
    ),
    (
        "outlier_detection_ejections_detected_consecutive_5xx",
        "envoy_cluster_outlier_detection_ejections_detected_consecutive_5xx",
        "Endpoints suspected for failures in a row",
    ),
    (
        "outlier_detection_ejections_enforced_consecutive_5xx",
        "envoy_cluster_outlier_detection_ejections_enforced_consecutive_5xx",
        "Endpoints ejected for failures in a row",
    ),
    (
        "outlier_detection_ejections_detected_consecutive_gateway_failure",
        "envoy_cluster_outlier_detection_ejections_detected_consecutive_gateway_failure",
        "Endpoints suspected for gateway failures in a row",
    ),
    (
        "outlier_detection_ejections_enforced_consecutive_gateway_failure",
        "envoy_cluster_outlier_detection_ejections_enforced_consecutive_gateway_failure",
        "Endpoints ejected for gateway failures in a row",
    ),
    (
        "outlier_detection_ejections_detected_consecutive_local_origin_failure",
        "envoy_cluster_outlier_detection_ejections_detected_consecutive_local_origin_failure",
        "Endpoints suspected for failures without an answer in a row",
    ),
    (
        "outlier_detection_ejections_enforced_consecutive_local_origin_failure",
        "envoy_cluster_outlier_detection_ejections_enforced_consecutive_local_origin_failure",
        "Endpoints ejected for failures without an answer in a row",
    ),
    (
        "outlier_detection_ejections_detected_success_rate",
        "envoy_cluster_outlier_detection_ejections_detected_success_rate",
        "Endpoints suspected for a success rate far below the others'",
    ),
    (
        "outlier_detection_ejections_enforced_success_rate",
        "envoy_cluster_outlier_detection_ejections_enforced_success_rate",
        "Endpoints ejected for a success rate far below the others'",
    ),
    (
        "outlier_detection_ejections_detected_local_origin_success_rate",
        "envoy_cluster_outlier_detection_ejections_detected_local_origin_success_rate",
        "Endpoints suspected for a rate of answers far below the others'",
    ),
    (
        "outlier_detection_ejections_enforced_local_origin_success_rate",
        "envoy_cluster_outlier_detection_ejections_enforced_local_origin_success_rate",
        "Endpoints ejected for a rate of answers far below the others'",
    ),
    (
        "outlier_detection_ejections_detected_failure_percentage",
        "envoy_cluster_outlier_detection_ejections_detected_failure_percentage",
        "Endpoints suspected for too many failures",
    ),
    (
        "outlier_detection_ejections_enforced_failure_percentage",
        "envoy_cluster_outlier_detection_ejections_enforced_failure_percentage",
        "Endpoints ejected for too many failures",
    ),
    (
        "outlier_detection_ejections_detected_local_origin_failure_percentage",
        "envoy_cluster_outlier_detection_ejections_detected_local_origin_failure_percentage",
        "Endpoints suspected for too many failures without an answer",
    ),
    (
        "outlier_detection_ejections_enforced_local_origin_failure_percentage",
        "envoy_cluster_outlier_detection_ejections_enforced_local_origin_failure_percentage",
        "Endpoints ejected for too many failures without an answer",
    ),
    ("health_check_attempt", "envoy_cluster_health_check_attempt", "Health checks made"),
    ("health_check_success", "envoy_cluster_health_check_success", "Health checks that went well"),
    ("health_check_failure", "envoy_cluster_health_check_failure", "Health checks that did not"),
];

/// Counters of a cluster that are failures by reason: the reason, the metric, its help. Label `envoy_cluster_name`.
pub const CLUSTER_FAILURES: [(&str, &str, &str); 6] = [
    ("timeout", "envoy_cluster_upstream_rq_timeout", "Requests that took longer than their route allows"),
    ("per_try_timeout", "envoy_cluster_upstream_rq_per_try_timeout", "Tries that took longer than their route allows"),
    ("per_try_idle_timeout", "envoy_cluster_upstream_rq_per_try_idle_timeout", "Tries that stood still for longer than their route allows"),
    ("overflow", "envoy_cluster_upstream_rq_pending_overflow", "Requests refused by a circuit breaker"),
    ("no_healthy_upstream", "envoy_cluster_upstream_cx_none_healthy", "Requests that found no endpoint"),
    ("connect", "envoy_cluster_upstream_cx_connect_fail", "Requests for which no connection could be made"),
];

/// Times that certificates were read anew. Label `outcome` (`renewed`, `refused`).
pub const CERTIFICATES: &str = "foreshadow_certificates_read_total";

/// Counters of handshakes: the event, the metric of listeners (label `envoy_listener_address`), that of clusters (label `envoy_cluster_name`), the help.
pub const TLS_EVENTS: [(&str, &str, &str, &str); 8] = [
    ("ssl.handshake", "envoy_listener_ssl_handshake", "envoy_cluster_ssl_handshake", "TLS handshakes"),
    ("ssl.session_reused", "envoy_listener_ssl_session_reused", "envoy_cluster_ssl_session_reused", "TLS sessions taken up again"),
    (
        "ssl.no_certificate",
        "envoy_listener_ssl_no_certificate",
        "envoy_cluster_ssl_no_certificate",
        "Handshakes without the peer's certificate",
    ),
    ("ssl.connection_error", "envoy_listener_ssl_connection_error", "envoy_cluster_ssl_connection_error", "Handshakes that failed"),
    (
        "ssl.fail_verify_no_cert",
        "envoy_listener_ssl_fail_verify_no_cert",
        "envoy_cluster_ssl_fail_verify_no_cert",
        "Peers without a certificate",
    ),
    ("ssl.fail_verify_error", "envoy_listener_ssl_fail_verify_error", "envoy_cluster_ssl_fail_verify_error", "Certificates not trusted"),
    ("ssl.fail_verify_san", "envoy_listener_ssl_fail_verify_san", "envoy_cluster_ssl_fail_verify_san", "Certificates for other names"),
    (
        "ssl.fail_verify_cert_hash",
        "envoy_listener_ssl_fail_verify_cert_hash",
        "envoy_cluster_ssl_fail_verify_cert_hash",
        "Certificates not pinned",
    ),
];

/// Counters of what handshakes settled: how the event begins, the metrics of listeners and of clusters, the label, the help.
pub const TLS_KINDS: [(&str, &str, &str, &str, &str); 3] = [
    ("ssl.versions.", "envoy_listener_ssl_versions", "envoy_cluster_ssl_versions", "envoy_ssl_version", "Handshakes by version"),
    ("ssl.ciphers.", "envoy_listener_ssl_ciphers", "envoy_cluster_ssl_ciphers", "envoy_ssl_cipher", "Handshakes by cipher suite"),
    ("ssl.curves.", "envoy_listener_ssl_curves", "envoy_cluster_ssl_curves", "envoy_ssl_curve", "Handshakes by key exchange group"),
];

/// Other counters of a listener: the event, the metric, its help. Label `envoy_listener_address`.
pub const LISTENER_EVENTS: [(&str, &str, &str); 4] = [
    (
        "downstream_global_cx_overflow",
        "envoy_listener_downstream_global_cx_overflow",
        "Connections closed at once: too many in the whole process",
    ),
    ("no_filter_chain_match", "envoy_listener_no_filter_chain_match", "Connections that no filter chain matched"),
    ("downstream_pre_cx_timeout", "envoy_listener_downstream_pre_cx_timeout", "Connections that said nothing in time"),
    ("downstream_cx_overflow", "envoy_listener_downstream_cx_overflow", "Connections refused: too many at once"),
];

/// Other counters of the downstream side: the event, the metric, its help.
pub const DOWNSTREAM_EVENTS: [(&str, &str, &str); 2] = [
    ("downstream_cx_protocol_error", "envoy_http_downstream_cx_protocol_error", "Connections that did not keep to the protocol"),
    ("downstream_rq_header_timeout", "envoy_http_downstream_rq_header_timeout", "Requests whose head did not arrive in time"),
];

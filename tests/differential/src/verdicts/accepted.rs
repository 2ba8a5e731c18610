//! Configurations that Envoy accepts.

use super::Case;
use super::bases::{
    Base, cluster, endpoints, with_action, with_cluster, with_hosts, with_http, with_listener, with_match, with_mirror, with_routes,
    with_top,
};

const PROTOCOL: &str = "typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { \"@type\": \
    type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ";

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![Base::default().case("the base")];
    all.extend(tops());
    all.extend(managers());
    all.extend(matches());
    all.extend(actions());
    all.extend(clusters());
    all
}

fn tops() -> Vec<Case> {
    vec![
        with_top("an admin address", "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }"),
        with_top("a node", "node: { id: n, cluster: c, metadata: { a: [1, { b: c }] } }"),
        with_top(
            "runtime layers",
            "layered_runtime: { layers: [{ name: s, static_layer: { a: { b: 3 }, c: true } }, { name: ad, admin_layer: {} }] }",
        ),
        with_top("camel case", "layeredRuntime: { layers: [{ name: s, staticLayer: { a: 1 } }] }"),
        with_top("an explicit null", "layered_runtime: ~"),
        with_top("a comment and a document start", "# words\n---"),
        with_listener("an IPv6 listener beside", "bind_to_port: true"),
        with_listener("listener options", "enable_reuse_port: true, per_connection_buffer_limit_bytes: 32768"),
        with_listener("a traffic direction", "traffic_direction: INBOUND"),
        with_listener("a single filter given as a list is a list", "listener_filters: []"),
        with_listener(
            "a TLS inspector",
            "listener_filters: [{ name: t, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector } }]",
        ),
        with_listener(
            "an original destination filter",
            "listener_filters: [{ name: o, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst } }]",
        ),
    ]
}

fn managers() -> Vec<Case> {
    vec![
        with_http(
            "timeouts of the manager",
            "stream_idle_timeout: 0s, request_timeout: 5.5s, request_headers_timeout: 1s, drain_timeout: 3s",
        ),
        with_http("a duration with nine digits", "stream_idle_timeout: 1.123456789s"),
        with_http("common options", "common_http_protocol_options: { idle_timeout: 10s, max_headers_count: 50 }"),
        with_http(
            "more common options",
            "common_http_protocol_options: { max_connection_duration: 10s, max_requests_per_connection: 5, max_stream_duration: 9s }",
        ),
        with_http("a codec by name", "codec_type: HTTP1"),
        with_http("a codec in small letters", "codec_type: http2"),
        with_http("a codec by number", "codec_type: 0"),
        with_http("address options", "use_remote_address: true, xff_num_trusted_hops: 2, skip_xff_append: true"),
        with_http("a wrapper written out", "use_remote_address: { value: true }"),
        with_http(
            "request id options",
            "generate_request_id: false, preserve_external_request_id: true, always_set_request_id_in_response: true",
        ),
        with_http("a number as a string", "xff_num_trusted_hops: \"2\""),
        with_http("paths normalised", "normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: REJECT_REQUEST"),
        with_http("HTTP/1 options", "http_protocol_options: { accept_http_10: true, default_host_for_http_10: h, enable_trailers: true }"),
        with_http("HTTP/2 options", "http2_protocol_options: { max_concurrent_streams: 100, initial_stream_window_size: 65536 }"),
        with_http("WebSocket upgrades", "upgrade_configs: [{ upgrade_type: websocket }]"),
        with_http("a server name", "server_name: s, via: v, server_header_transformation: PASS_THROUGH"),
        with_http(
            "an access log in text",
            "access_log: [{ name: f, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null, \
             log_format: { text_format_source: { inline_string: '%START_TIME% %REQ(:METHOD)% %RESPONSE_CODE%' } } } }]",
        ),
        with_http(
            "an access log in JSON",
            "access_log: [{ name: o, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, \
             log_format: { json_format: { a: '%RESPONSE_CODE%', b: { c: '%PROTOCOL%' } } } } }]",
        ),
        with_http(
            "a local reply map",
            "local_reply_config: { mappers: [{ filter: { status_code_filter: { comparison: { op: EQ, value: { default_value: 503, runtime_key: k } } } }, status_code: 504 }] }",
        ),
        with_http("hosts stripped", "strip_any_host_port: true, strip_trailing_host_dot: true"),
    ]
}

fn matches() -> Vec<Case> {
    vec![
        with_match("an exact path, configured", "path: /a"),
        with_match("a separated prefix, configured", "path_separated_prefix: /a"),
        with_match("a regex", "safe_regex: { regex: '/a[0-9]+(b|c)?' }"),
        with_match("a regex with the old engine field", "safe_regex: { google_re2: {}, regex: '/.*' }"),
        with_match("without regard to case", "prefix: /A, case_sensitive: false"),
        with_match(
            "header matchers",
            "prefix: /, headers: [{ name: a, string_match: { exact: b } }, { name: ':method', string_match: { prefix: G } }, { name: c, present_match: true, invert_match: true }]",
        ),
        with_match("a range", "prefix: /, headers: [{ name: a, range_match: { start: 1, end: 10 } }]"),
        with_match(
            "query parameters",
            "prefix: /, query_parameters: [{ name: q, string_match: { exact: v } }, { name: r, present_match: true }]",
        ),
        with_match("gRPC only", "prefix: /, grpc: {}"),
        with_match(
            "a runtime fraction",
            "prefix: /, runtime_fraction: { default_value: { numerator: 5, denominator: MILLION }, runtime_key: k }",
        ),
        with_hosts(
            "a single route instead of a list",
            "{ name: h, domains: ['*'], routes: { match: { prefix: / }, route: { cluster: a } } }",
        ),
        with_hosts("domains of all kinds", "{ name: h, domains: [a.example, '*.example', 'b.*', 'c.example:80'], routes: [] }"),
        with_hosts("two hosts, configured", "{ name: h, domains: [a] }, { name: i, domains: ['*'] }"),
        with_hosts(
            "a host's own options",
            "{ name: h, domains: ['*'], require_tls: EXTERNAL_ONLY, retry_policy: { retry_on: 5xx }, include_request_attempt_count: true }",
        ),
    ]
}

fn actions() -> Vec<Case> {
    vec![
        with_action("weighted clusters", "weighted_clusters: { clusters: [{ name: a, weight: 1 }, { name: a, weight: 0 }] }"),
        with_action("a cluster from a header", "cluster_header: x-c"),
        with_action("a prefix rewrite", "cluster: a, prefix_rewrite: /b"),
        with_action("a regex rewrite", "cluster: a, regex_rewrite: { pattern: { regex: '^/a/(.*)' }, substitution: '/\\1' }"),
        with_action("a host rewrite", "cluster: a, host_rewrite_literal: h"),
        with_action("a host from a header, configured", "cluster: a, host_rewrite_header: x-h"),
        with_action("timeouts of a route", "cluster: a, timeout: 0s, idle_timeout: 1s, max_stream_duration: { max_stream_duration: 3s }"),
        with_action(
            "a retry policy",
            "cluster: a, retry_policy: { retry_on: '5xx,reset', num_retries: 3, per_try_timeout: 1s, retry_back_off: { base_interval: 0.1s, max_interval: 1s }, retriable_status_codes: [418] }",
        ),
        with_action(
            "hash policies",
            "cluster: a, hash_policy: [{ header: { header_name: x } }, { cookie: { name: c, ttl: 5s } }, { connection_properties: { source_ip: true } }, { query_parameter: { name: q }, terminal: true }]",
        ),
        with_action("upgrades of a route", "cluster: a, upgrade_configs: [{ upgrade_type: websocket, enabled: false }]"),
        with_mirror("a mirror policy", "cluster: a"),
        with_mirror(
            "a mirror fraction",
            "cluster: a, runtime_fraction: { default_value: { numerator: 10, denominator: TEN_THOUSAND }, runtime_key: k }",
        ),
        with_mirror("a mirror fraction above its denominator", "cluster: a, runtime_fraction: { default_value: { numerator: 200 } }"),
        with_mirror("a mirror host", "cluster: a, host_rewrite_literal: h, disable_shadow_host_suffix_append: true"),
        with_mirror(
            "mirror mutations",
            "cluster: a, request_headers_mutations: [{ remove: x }, { append: { header: { key: y, value: z } } }]",
        ),
        with_mirror("a mirror cluster from a header", "cluster_header: x-m"),
        with_routes(
            "a direct response, configured",
            "{ match: { prefix: / }, direct_response: { status: 503, body: { inline_string: down } } }",
        ),
        with_routes("a redirect", "{ match: { prefix: / }, redirect: { https_redirect: true, host_redirect: h, response_code: FOUND } }"),
        with_routes(
            "header additions",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: x, value: '%DOWNSTREAM_REMOTE_ADDRESS%' }, append_action: ADD_IF_ABSENT }], response_headers_to_remove: [y] }",
        ),
        with_routes(
            "route metadata",
            "{ match: { prefix: / }, route: { cluster: a }, name: r, metadata: { filter_metadata: { some.filter: { a: 1 } } } }",
        ),
    ]
}

fn clusters() -> Vec<Case> {
    let dns = |kind: &str| format!("{{ name: a, type: {kind}, {} }}", endpoints("a", "localhost"));
    vec![
        with_cluster("a connect timeout", "connect_timeout: 0.25s"),
        with_cluster("least request", "lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 3 }"),
        with_cluster("random", "lb_policy: random"),
        with_cluster("a ring hash", "lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 64, maximum_ring_size: 1024 }"),
        with_cluster("Maglev", "lb_policy: MAGLEV"),
        with_cluster("circuit breakers", "circuit_breakers: { thresholds: [{ priority: DEFAULT, max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4 }] }"),
        with_cluster("a retry budget", "circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: 25 }, min_retry_concurrency: 10 } }] }"),
        with_cluster("outlier detection", "outlier_detection: { consecutive_5xx: 3, interval: 5s, base_ejection_time: 10s, max_ejection_percent: 50 }"),
        with_cluster("an HTTP health check", "health_checks: [{ timeout: 1s, interval: 5s, healthy_threshold: 1, unhealthy_threshold: 2, http_health_check: { path: /h } }]"),
        with_cluster("a TCP health check", "health_checks: [{ timeout: 1s, interval: 5s, healthy_threshold: 1, unhealthy_threshold: 2, tcp_health_check: {} }]"),
        Base { cluster: dns("STRICT_DNS"), ..Base::default() }.case("strict DNS"),
        Base { cluster: dns("LOGICAL_DNS"), ..Base::default() }.case("logical DNS"),
        Base { cluster: "{ name: a, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }".into(), ..Base::default() }.case("original destinations"),
        Base { cluster: cluster("a", &format!("{PROTOCOL}explicit_http_config: {{ http2_protocol_options: {{}} }} }} }}")), ..Base::default() }.case("HTTP/2 upstream"),
        Base { cluster: cluster("a", &format!("{PROTOCOL}use_downstream_protocol_config: {{ http2_protocol_options: {{}} }} }} }}")), ..Base::default() }.case("the client's protocol upstream"),
        Base { cluster: cluster("a", &format!("{PROTOCOL}upstream_http_protocol_options: {{ auto_sni: true, auto_san_validation: true }}, explicit_http_config: {{ http2_protocol_options: {{ allow_connect: true }} }} }} }}")), ..Base::default() }.case("names of endpoints from requests"),
        Base { more: "  - { name: b, type: STATIC }", ..Base::default() }.case("a cluster without endpoints"),
        with_cluster("TLS upstream", "transport_socket: { name: t, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: s } }"),
        with_cluster("a hexadecimal number", "per_connection_buffer_limit_bytes: 0x8000"),
        Base {
            cluster: "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ locality: { zone: z }, load_balancing_weight: 2, priority: 0, lb_endpoints: [{ health_status: DRAINING, load_balancing_weight: 3, endpoint: { address: { socket_address: { address: '::1', port_value: 9 } } } }] }, { priority: 1, lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9 } } } }] }] } }".into(),
            ..Base::default()
        }
        .case("localities, weights, priorities"),
    ]
}

//! Configurations that Envoy refuses.

use super::Case;
use super::bases::{
    Base, ROUTER, cluster, endpoints, with_action, with_cluster, with_hosts, with_http, with_listener, with_match, with_mirror,
    with_routes, with_top,
};

pub(super) fn cases() -> Vec<Case> {
    let mut all = texts();
    all.extend(managers());
    all.extend(routes());
    all.extend(mirrors());
    all.extend(clusters());
    all
}

fn whole(name: &'static str, text: &str) -> Case {
    Case { name, group: "", text: text.into() }
}

fn texts() -> Vec<Case> {
    vec![
        whole("no YAML", "a: [b"),
        whole("a list at the top", "- a\n- b\n"),
        whole("a word at the top", "word\n"),
        whole("a tab as indentation", "static_resources:\n\tlisteners: []\n"),
        with_top("an unknown field", "no_such_field: 1"),
        with_top("a misspelt field", "layered_runtimes: {}"),
        with_top("a merge key", "node: { <<: { id: a } }"),
        with_top("a list where a message is", "node: [a]"),
        with_top("a message where a string is", "node: { id: { a: b } }"),
        with_top("two layers of one name", "layered_runtime: { layers: [{ name: a, static_layer: {} }, { name: a, static_layer: {} }] }"),
        with_top("a layer without a name", "layered_runtime: { layers: [{ static_layer: {} }] }"),
        with_top("two admin layers", "layered_runtime: { layers: [{ name: a, admin_layer: {} }, { name: b, admin_layer: {} }] }"),
        with_top("an admin address that is none", "admin: { address: { socket_address: { address: nowhere, port_value: 0 } } }"),
    ]
}

fn managers() -> Vec<Case> {
    vec![
        with_http("a duration in milliseconds", "stream_idle_timeout: 250ms"),
        with_http("a duration in minutes", "stream_idle_timeout: 5m"),
        with_http("a bare duration", "stream_idle_timeout: 5"),
        with_http("a duration without a whole part", "stream_idle_timeout: .5s"),
        with_http("a duration with an exponent", "stream_idle_timeout: 1e1s"),
        with_http("a string where a flag is", "use_remote_address: maybe"),
        with_http("a flag where a string is", "server_name: true"),
        with_http("a number where a string is", "server_name: 123"),
        with_http("a negative number", "xff_num_trusted_hops: -1"),
        with_http("a fraction where a number is", "xff_num_trusted_hops: 1.5"),
        with_http("an unknown codec", "codec_type: HTTP9"),
        with_http("a codec number too high", "codec_type: 99"),
        with_http("head limit of nothing", "max_request_headers_kb: 0"),
        with_http("head limit too large", "max_request_headers_kb: 9000"),
        with_http("no headers allowed", "common_http_protocol_options: { max_headers_count: 0 }"),
        with_http("an unknown field of the manager", "steam_idle_timeout: 5s"),
        with_http("two sources of routes", "rds: { route_config_name: r, config_source: { ads: {} } }"),
        with_http("an upgrade twice", "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: websocket }]"),
        Base { filters: String::new(), ..Base::default() }.case("no filters"),
        Base { filters: format!("{ROUTER}, {{ name: r2, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}"), ..Base::default() }
            .case("the router twice"),
        Base { filters: "{ name: x, typed_config: { \"@type\": type.googleapis.com/no.such.Type } }".into(), ..Base::default() }.case("an unknown type"),
        Base { filters: "{ name: router }".into(), ..Base::default() }.case("a filter without a configuration"),
        with_listener("an unknown direction", "traffic_direction: UPWARDS"),
        with_listener("an unknown listener field", "port: 80"),
        with_http(
            "an access log with a command that does not exist",
            "access_log: [{ name: o, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, \
             log_format: { text_format_source: { inline_string: '%NO_SUCH_COMMAND%' } } } }]",
        ),
    ]
}

fn routes() -> Vec<Case> {
    let r = "{ match: { prefix: / }, route: { cluster: a } }";
    vec![
        with_action("an unknown cluster", "cluster: b"),
        with_action("no cluster", "timeout: 1s"),
        with_action("two kinds of clusters", "cluster: a, cluster_header: x"),
        with_action("an empty cluster", "cluster: ''"),
        with_action("no weights", "weighted_clusters: { clusters: [] }"),
        with_action("weights that add up to nothing", "weighted_clusters: { clusters: [{ name: a, weight: 0 }] }"),
        with_action("an unknown weighted cluster", "weighted_clusters: { clusters: [{ name: b, weight: 1 }] }"),
        with_action("two rewrites", "cluster: a, prefix_rewrite: /b, regex_rewrite: { pattern: { regex: a }, substitution: b }"),
        with_action("two host rewrites", "cluster: a, host_rewrite_literal: h, auto_host_rewrite: true"),
        with_action("a bad pattern to rewrite", "cluster: a, regex_rewrite: { pattern: { regex: '(' }, substitution: b }"),
        with_action(
            "a substitution with a group that is not there",
            "cluster: a, regex_rewrite: { pattern: { regex: a }, substitution: '\\3' }",
        ),
        with_action("a negative timeout", "cluster: a, timeout: -1s"),
        with_action("an empty hash policy", "cluster: a, hash_policy: [{}]"),
        with_action("a retry back-off of nothing", "cluster: a, retry_policy: { retry_on: 5xx, retry_back_off: { base_interval: 0s } }"),
        with_action(
            "a retry back-off upside down",
            "cluster: a, retry_policy: { retry_on: 5xx, retry_back_off: { base_interval: 2s, max_interval: 1s } }",
        ),
        with_match("no path, configured", "headers: [{ name: a, present_match: true }]"),
        with_match("two paths", "prefix: /, path: /a"),
        with_match("a bad regex", "safe_regex: { regex: '(' }"),
        with_match("an empty regex", "safe_regex: { regex: '' }"),
        with_match("a separated prefix with a slash at its end", "path_separated_prefix: /a/"),
        with_match("a header matcher without a name", "prefix: /, headers: [{ present_match: true }]"),
        with_match("a header matcher of two kinds", "prefix: /, headers: [{ name: a, present_match: true, string_match: { exact: b } }]"),
        with_match("an empty contains", "prefix: /, headers: [{ name: a, string_match: { contains: '' } }]"),
        with_match("a query parameter without a name", "prefix: /, query_parameters: [{ present_match: true }]"),
        with_routes("no match", "{ route: { cluster: a } }"),
        with_routes("no action", "{ match: { prefix: / } }"),
        with_routes("two actions", "{ match: { prefix: / }, route: { cluster: a }, direct_response: { status: 200 } }"),
        with_routes("a direct response without a status", "{ match: { prefix: / }, direct_response: { body: { inline_string: a } } }"),
        with_routes("a direct response with a status that is none", "{ match: { prefix: / }, direct_response: { status: 20 } }"),
        with_routes("a redirect of path and prefix", "{ match: { prefix: / }, redirect: { path_redirect: /a, prefix_rewrite: /b } }"),
        with_routes(
            "a redirect with a scheme twice",
            "{ match: { prefix: / }, redirect: { https_redirect: true, scheme_redirect: http } }",
        ),
        with_routes(
            "a header without a key",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { value: v } }] }",
        ),
        with_routes(
            "a pseudo header added",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: ':path', value: v } }] }",
        ),
        with_routes(
            "the host added",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: host, value: v } }] }",
        ),
        with_routes("the host removed", "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_remove: [host] }"),
        with_routes(
            "a header value with a line end",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: a, value: \"b\\nc\" } }] }",
        ),
        with_routes(
            "an unknown command in a header",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: a, value: '%NO_SUCH%' } }] }",
        ),
        with_routes(
            "a command that does not end",
            "{ match: { prefix: / }, route: { cluster: a }, request_headers_to_add: [{ header: { key: a, value: '%PROTOCOL' } }] }",
        ),
        with_hosts("no domains", &format!("{{ name: h, routes: [{r}] }}")),
        with_hosts("a host without a name", &format!("{{ domains: ['*'], routes: [{r}] }}")),
        with_hosts("a domain twice in one host", "{ name: h, domains: [a, a] }"),
        with_hosts("a domain twice", "{ name: h, domains: [a] }, { name: i, domains: [a] }"),
        with_hosts("two hosts for everything", "{ name: h, domains: ['*'] }, { name: i, domains: ['*'] }"),
        with_hosts("a host's name twice", "{ name: h, domains: [a] }, { name: h, domains: [b] }"),
        with_hosts("a star in the middle", "{ name: h, domains: ['a.*.b'] }"),
        with_hosts("an unknown word for TLS", "{ name: h, domains: ['*'], require_tls: PERHAPS }"),
    ]
}

fn mirrors() -> Vec<Case> {
    vec![
        with_mirror("a mirror to an unknown cluster", "cluster: b"),
        with_mirror("a mirror to nowhere", "runtime_fraction: { default_value: { numerator: 1 } }"),
        with_mirror("a mirror to both", "cluster: a, cluster_header: x"),
        with_mirror("a mirror fraction without a default", "cluster: a, runtime_fraction: { runtime_key: k }"),
        with_mirror("an unknown denominator", "cluster: a, runtime_fraction: { default_value: { numerator: 1, denominator: BILLION } }"),
        with_mirror(
            "a mirror mutation of the host",
            "cluster: a, request_headers_mutations: [{ append: { header: { key: ':authority', value: z } } }]",
        ),
        with_mirror("an empty mirror mutation", "cluster: a, request_headers_mutations: [{}]"),
        with_mirror("an unknown field of a mirror", "cluster: a, fraction: 5"),
    ]
}

fn clusters() -> Vec<Case> {
    let with = |name: &'static str, cluster: &str| Base { cluster: cluster.into(), ..Base::default() }.case(name);
    vec![
        with("a cluster without a name", &format!("{{ {} }}", endpoints("a", "127.0.0.1"))),
        with("an unknown cluster type", &cluster("a", "type: DYNAMIC")),
        with("a name in a static cluster", &format!("{{ name: a, type: STATIC, {} }}", endpoints("a", "localhost"))),
        with(
            "logical DNS with two endpoints",
            "{ name: a, type: LOGICAL_DNS, load_assignment: { cluster_name: a, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: a.invalid, port_value: 9 } } } }, { endpoint: { address: { socket_address: { address: b.invalid, port_value: 9 } } } }] }] } }",
        ),
        with("EDS without a configuration", "{ name: a, type: EDS }"),
        with(
            "original destinations with endpoints",
            &format!("{{ name: a, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, {} }}", endpoints("a", "127.0.0.1")),
        ),
        with("original destinations in turn", "{ name: a, type: ORIGINAL_DST, lb_policy: ROUND_ROBIN }"),
        with_cluster("a connect timeout of nothing", "connect_timeout: 0s"),
        with_cluster("an unknown policy", "lb_policy: FASTEST"),
        with_cluster("an unknown field of a cluster", "endpoints: []"),
        with_cluster("a ring upside down", "lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 1024, maximum_ring_size: 64 }"),
        with_cluster("too few choices", "lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 1 }"),
        with_cluster(
            "a health check without an interval",
            "health_checks: [{ timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1, tcp_health_check: {} }]",
        ),
        with_cluster(
            "a health check of no kind",
            "health_checks: [{ timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1 }]",
        ),
        with_cluster(
            "an HTTP health check without a path",
            "health_checks: [{ timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, http_health_check: {} }]",
        ),
        with_cluster("ejecting more than all", "outlier_detection: { max_ejection_percent: 101 }"),
        with_cluster("ejecting at intervals of nothing", "outlier_detection: { interval: 0s }"),
        with_cluster(
            "TLS with an unknown transport",
            "transport_socket: { name: t, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: { tls_certificates: [{ certificate_chain: { filename: /does/not/exist }, private_key: { filename: /does/not/exist } }] } } }",
        ),
        Base { more: "  - { name: a, type: STATIC }", ..Base::default() }.case("a cluster twice"),
        with(
            "a port too high",
            "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 70000 } } } }] }] } }",
        ),
        with(
            "an endpoint without an address",
            "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ lb_endpoints: [{ endpoint: {} }] }] } }",
        ),
        with("endpoints without a cluster's name", "{ name: a, load_assignment: { endpoints: [] } }"),
        with(
            "an endpoint's weight of nothing",
            "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ lb_endpoints: [{ load_balancing_weight: 0, endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9 } } } }] }] } }",
        ),
        with("a priority too high", "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ priority: 200, lb_endpoints: [] }] } }"),
        with("a skipped priority", "{ name: a, load_assignment: { cluster_name: a, endpoints: [{ priority: 2, lb_endpoints: [] }] } }"),
    ]
}

//! How Envoy's messages are written in YAML, as a table: each row changes one thing in a small file and says who accepts it.
//! The same table is put to the real Envoy, so that "as Envoy does" stays true.

use foreshadow_proxy::config::{Source, load};

use crate::envoy;

/// Who accepts a file.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    /// Envoy and Foreshadow.
    Both,
    /// Neither.
    Neither,
    /// Envoy only: Foreshadow refuses what is surely a mistake, or what it does not support.
    EnvoyOnly,
}
use Verdict::{Both, EnvoyOnly, Neither};

const FILE: &str = include_str!("mapping.yaml");

const ROUTE: &str = "route: { cluster: c }";
const MATCH: &str = "match: { prefix: / }";
const MANAGER: &str = "stat_prefix: in\n";
const CLUSTER: &str = "- name: c\n";
const TIMEOUT: &str = "route: { cluster: c, timeout: @ }";
const PORT: &str = "port_value: 1 }";
const MIRROR: &str = "route: { cluster: c, request_mirror_policies: [@] }";
const OPTION: &str = "stat_prefix: in\n          @\n";
const CLUSTER_FIELD: &str = "- name: c\n    @\n";
const DOMAINS: &str = "domains: [\"*\"]";
const ADD: &str = "route: { cluster: c }\n                request_headers_to_add: [@]";

/// What is replaced, by what (`@` = the third column), and who accepts the result.
const TABLE: &[(&str, &str, &str, Verdict)] = &[
    // Durations.
    (ROUTE, TIMEOUT, "0.25s", Both),
    (ROUTE, TIMEOUT, "0s", Both),
    (ROUTE, TIMEOUT, "\"5s\"", Both),
    (ROUTE, TIMEOUT, "{ seconds: 5 }", Both),
    (ROUTE, TIMEOUT, "250ms", Neither),
    (ROUTE, TIMEOUT, "5m", Neither),
    (ROUTE, TIMEOUT, "5", Neither),
    (ROUTE, TIMEOUT, ".5s", Neither),
    (ROUTE, TIMEOUT, "5.s", Neither),
    (ROUTE, TIMEOUT, "1e1s", Neither),
    (ROUTE, TIMEOUT, "-1s", Neither),
    (ROUTE, TIMEOUT, "1.0000000001s", Neither),
    // Integers.
    (PORT, "port_value: @ }", "\"18011\"", Both),
    (PORT, "port_value: @ }", "0x10", Both),
    (PORT, "port_value: @ }", "\"0x10\"", Both),
    (PORT, "port_value: @ }", "+5", Both),
    (PORT, "port_value: @ }", "1.0", Both),
    (PORT, "port_value: @ }", "1e3", Both),
    (PORT, "port_value: @ }", "5.5", Neither),
    (PORT, "port_value: @ }", "-1", Neither),
    (PORT, "port_value: @ }", "1_000", Neither),
    (PORT, "port_value: @ }", "65536", Neither),
    (PORT, "port_value: @ }", "true", Neither),
    (PORT, "port_value: @ }", "{ value: 1 }", Neither),
    (PORT, "port_value: @ }", "010", EnvoyOnly),
    (PORT, "port_value: @ }", "0", EnvoyOnly),
    // Wrappers, truth values, null.
    (MANAGER, OPTION, "common_http_protocol_options: { max_headers_count: { value: 1 } }", Both),
    (MANAGER, OPTION, "common_http_protocol_options: { max_headers_count: null }", Both),
    (MANAGER, OPTION, "common_http_protocol_options: { max_headers_count: 0 }", Neither),
    (MANAGER, OPTION, "use_remote_address: { value: true }", Both),
    (MANAGER, OPTION, "use_remote_address: on", Both),
    (MANAGER, OPTION, "use_remote_address: tRUE", Both),
    (MANAGER, OPTION, "use_remote_address: \"yes\"", Both),
    (MANAGER, OPTION, "use_remote_address: 1", Neither),
    (MANAGER, OPTION, "preserve_external_request_id: { value: true }", Neither),
    // Strings.
    (MANAGER, "stat_prefix: @\n", "1.5", Both),
    (MANAGER, "stat_prefix: @\n", "089", Both),
    (MANAGER, "stat_prefix: @\n", "12345678901234567890", Both),
    (MANAGER, "stat_prefix: @\n", "on", Neither),
    (MANAGER, "stat_prefix: @\n", "y", Neither),
    (MANAGER, "stat_prefix: @\n", "123", Neither),
    (MANAGER, "stat_prefix: @\n", "0x1F", Neither),
    (MANAGER, "stat_prefix: @\n", "!!str 123", Neither),
    (MANAGER, "stat_prefix: @\n", "~", Neither),
    (MANAGER, "stat_prefix: @\n", "''", Neither),
    // Enums.
    (MANAGER, OPTION, "codec_type: Http1", Both),
    (MANAGER, OPTION, "codec_type: 1", Both),
    (MANAGER, OPTION, "codecType: \"2\"", Both),
    (MANAGER, OPTION, "codec_type: 99", Neither),
    (MANAGER, OPTION, "codec_type: nope", Neither),
    // Keys, lists, documents.
    (MANAGER, OPTION, "streamIdleTimeout: 5s", Both),
    (MANAGER, OPTION, "stat_prefix: twice", EnvoyOnly),
    (MANAGER, OPTION, "statPrefix: twice", EnvoyOnly),
    (DOMAINS, "domains: @", "\"*\"", Both),
    (DOMAINS, "domains: @", "[]", Neither),
    (DOMAINS, "domains: @", "[a, A]", Neither),
    (DOMAINS, "domains: @", "[\"*\", \"*\"]", Neither),
    (DOMAINS, "domains: @", "[\"*-a.b\"]", Both),
    (DOMAINS, "domains: @", "[\"a*b\"]", EnvoyOnly),
    (ROUTE, "route: { <<: { cluster: c } }", "", Neither),
    ("admin:", "!ignore anchors: &x { a: 1 }\nadmin:", "", Both),
    ("- match: { prefix: / }", "  match: { prefix: / }", "", Both),
    ("static_resources", "---\nstatic_resources", "", EnvoyOnly),
    // Oneofs and requirements.
    (MATCH, "match: @", "{ prefix: /, path: /a }", Neither),
    (MATCH, "match: @", "{}", Neither),
    (MATCH, "match: @", "{ prefix: '' }", Both),
    (MATCH, "match: @", "{ path_separated_prefix: /a/ }", Neither),
    (MATCH, "match: @", "{ safe_regex: { google_re2: {}, regex: /a } }", Both),
    (MATCH, "match: @", "{ safe_regex: { regex: 'a)(b' } }", Neither),
    (MATCH, "match: @", "{ prefix: /, headers: [{ name: a }] }", Both),
    (MATCH, "match: @", "{ prefix: /, headers: [{ exact_match: a }] }", Neither),
    (MATCH, "match: @", "{ prefix: /, headers: [{ name: a, string_match: { safe_regex: { regex: a }, ignore_case: true } }] }", Neither),
    (MATCH, "match: @", "{ prefix: /A, case_sensitive: false }", Both),
    (MATCH, "match: @", "{ path: /A, case_sensitive: { value: false } }", Both),
    (ROUTE, "direct_response: { status: @ }", "199", Neither),
    (ROUTE, "direct_response: { status: @ }", "599", Both),
    (ROUTE, "route: { weighted_clusters: { clusters: [{ name: c, weight: 0 }] } }", "", Neither),
    (ROUTE, "route: { weighted_clusters: { clusters: [{ name: c }] } }", "", Neither),
    (ROUTE, "route: { cluster: nobody }", "", Neither),
    // Mirror policies.
    (ROUTE, MIRROR, "{ cluster: c }", Both),
    (ROUTE, MIRROR, "{ cluster: nobody }", Neither),
    (ROUTE, MIRROR, "{}", Neither),
    (ROUTE, MIRROR, "{ cluster: c, runtime_fraction: { runtime_key: a } }", Neither),
    (ROUTE, MIRROR, "{ cluster: c, runtime_fraction: { default_value: { numerator: 200 } } }", Both),
    (ROUTE, MIRROR, "{ cluster: c, request_headers_mutations: [{ append: { header: { key: host, value: a } } }] }", Neither),
    (ROUTE, MIRROR, "{ cluster: c, trace_sampled: true }", Both),
    // Headers.
    (ROUTE, ADD, "{ header: { key: a, value: '100%%' } }", Both),
    (ROUTE, ADD, "{ header: { key: a, value: '100%' } }", Neither),
    (ROUTE, ADD, "{ header: { key: host, value: a } }", Neither),
    (ROUTE, ADD, "{ header: { key: a, value: b }, append: false, append_action: ADD_IF_ABSENT }", Neither),
    // Clusters.
    (CLUSTER, CLUSTER_FIELD, "connect_timeout: 0s", Neither),
    (CLUSTER, CLUSTER_FIELD, "http2_protocol_options: {}", Both),
    (CLUSTER, CLUSTER_FIELD, "dns_refresh_rate: 0.001s\n    type: STRICT_DNS", Neither),
    (CLUSTER, CLUSTER_FIELD, "eds_cluster_config: { eds_config: { path_config_source: { path: x } } }", Neither),
    ("address: 127.0.0.1, port_value: 1 }", "address: localhost, port_value: 1 }", "", Neither),
    ("load_assignment: { cluster_name: c,", "load_assignment: {", "", Neither),
    ("endpoints: [{ lb", "endpoints: [{ locality: { zone: z }, load_balancing_weight: 2, lb", "", Both),
    ("admin:", "node: { id: a, cluster: b, metadata: { role: x } }\nadmin:", "", Both),
    // Any.
    ("type.googleapis.com/envoy.extensions.filters.http", "example.com/envoy.extensions.filters.http", "", Both),
    ("type.googleapis.com/envoy.extensions.filters.http", "envoy.extensions.filters.http", "", Neither),
];

fn text(row: &(&str, &str, &str, Verdict)) -> String {
    let (from, to, with, _) = row;
    assert!(FILE.contains(from), "the file has no {from:?}");
    FILE.replacen(from, &to.replace('@', with), 1)
}

#[test]
fn the_table_holds_here() {
    for row in TABLE {
        let loaded = load(&Source::text(text(row)));
        let refused = loaded.as_ref().err().map(ToString::to_string);
        assert_eq!(loaded.is_ok(), row.3 == Both, "{} with {:?}: {refused:?}", row.1, row.2);
    }
}

#[test]
fn the_table_holds_for_envoy() {
    let Some(envoy) = envoy::binary() else { return };
    let directory = tempfile::tempdir().unwrap();
    let check = |nth: usize| {
        let row = &TABLE[nth];
        let file = directory.path().join(format!("{nth}.yaml"));
        std::fs::write(&file, text(row)).unwrap();
        assert_eq!(envoy::accepts(&envoy, &file), row.3 != Neither, "{} with {:?}", row.1, row.2);
    };
    let check_row = &check;
    std::thread::scope(|scope| {
        for lane in 0..4 {
            scope.spawn(move || (lane..TABLE.len()).step_by(4).for_each(check_row));
        }
    });
}

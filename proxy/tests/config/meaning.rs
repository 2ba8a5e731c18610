//! What a configuration comes to: which mirror policy is in force, in which order header operations run, how texts merge.

use foreshadow_proxy::config::model::{Config, HeaderOps};
use foreshadow_proxy::config::{Source, load, parse_eds_text};

use crate::support::{forward, root, routes};

/// A file with the given fields at the route table, at the virtual host, in the route and in its action, and at the cluster `c`.
fn file(table: &str, host: &str, route: &str, action: &str, cluster: &str) -> String {
    let block = |indent: usize, text: &str| text.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect::<String>();
    let targets: String = ["m1", "m2", "m3", "m4"].iter().map(|name| format!("  - name: {name}\n")).collect();
    include_str!("mapping.yaml")
        .replacen("            virtual_hosts:\n", &format!("{}            virtual_hosts:\n", block(12, table)), 1)
        .replacen("              routes:\n", &format!("{}              routes:\n", block(14, host)), 1)
        .replacen("route: { cluster: c }\n", &format!("route: {{ cluster: c, {action} }}\n{}", block(16, route)), 1)
        .replacen("  - name: c\n", &format!("{targets}  - name: c\n{}", block(4, cluster)), 1)
}

fn config(text: String) -> Config {
    load(&Source::text(text.clone())).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn mirrors(config: &Config) -> Vec<&str> {
    let all = routes(config);
    forward(all[0]).mirrors.iter().map(|m| config.clusters[m.cluster.expect("it is named")].name.as_str()).collect()
}

const OPTIONS: &str = "typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http_protocol_options: {} }
    request_mirror_policies: [{ cluster: m4 }]";

#[test]
fn the_most_specific_mirror_list_wins_whole_and_a_clusters_list_overrides() {
    let table = "request_mirror_policies: [{ cluster: m1 }, { cluster: m2 }]";
    let host = "request_mirror_policies: [{ cluster: m2 }]";
    let action = "request_mirror_policies: [{ cluster: m3 }]";
    assert_eq!(mirrors(&config(file(table, "", "", "", ""))), ["m1", "m2"]);
    assert_eq!(mirrors(&config(file(table, host, "", "", ""))), ["m2"]);
    assert_eq!(mirrors(&config(file(table, host, "", action, ""))), ["m3"]);
    assert_eq!(mirrors(&config(file(table, host, "", "request_mirror_policies: []", ""))), ["m2"]);
    let all = config(file(table, host, "", action, OPTIONS));
    assert_eq!(mirrors(&all), ["m4"]);
    assert_eq!(all.clusters[4].mirrors.len(), 1);
    assert!(all.clusters[3].mirror_only && !all.clusters[4].mirror_only);
}

#[test]
fn levels_that_change_nothing_share_their_policies_and_so_their_bounds() {
    let two = file("", "request_mirror_policies: [{ cluster: m1 }]", "", "", "").replacen(
        "              routes:\n",
        "              routes:\n              - match: { path: /a }\n                route: { cluster: c }\n",
        1,
    );
    let config = config(two);
    let all = routes(&config);
    assert!(std::sync::Arc::ptr_eq(&forward(all[0]).mirrors[0], &forward(all[1]).mirrors[0]));
}

#[test]
fn foreshadow_settings_combine_from_the_table_to_the_route() {
    let settings = |text: &str| format!("metadata: {{ filter_metadata: {{ other: [1, 2], foreshadow: {{ mirror: {text} }} }} }}");
    let table =
        format!("request_mirror_policies: [{{ cluster: m1 }}, {{ cluster: m2 }}]\n{}", settings("{ percent: 50, max_in_flight: 3 }"));
    let host = settings("{ percent: 150.5, per_cluster: { m2: { percent: 1 } } }");
    let config = config(file(&table, &host, &settings("{ max_in_flight: 4, key: source_ip }"), "", ""));
    let all = routes(&config);
    let found = &forward(all[0]).mirrors;
    assert_eq!(found.iter().map(|m| (m.fraction, m.limits.max_in_flight)).collect::<Vec<_>>(), [(1.505, 4), (0.01, 4)]);
}

fn shown(ops: &HeaderOps) -> (Vec<String>, Vec<String>) {
    let set = ops
        .set
        .iter()
        .map(|set| format!("{}={}", set.name, String::from_utf8_lossy(set.value.fixed().expect("it is always the same").as_bytes())))
        .collect();
    (ops.remove.iter().map(ToString::to_string).collect(), set)
}

#[test]
fn header_operations_of_the_levels_run_as_in_envoy() {
    let add = |value: &str| format!("request_headers_to_add: [{{ header: {{ key: x-level, value: {value} }} }}]");
    let remove = "request_headers_to_remove: [x-level]";
    let last_wins = |table: &str| {
        let config = config(file(&format!("{}\n{table}", add("table")), &add("host"), &add("route"), "", ""));
        shown(&routes(&config)[0].request_headers).1
    };
    assert_eq!(last_wins(""), ["x-level=route", "x-level=host", "x-level=table"]);
    assert_eq!(last_wins("most_specific_header_mutations_wins: true"), ["x-level=table", "x-level=host", "x-level=route"]);
    let config = config(file(&add("table"), remove, &add("route"), "", ""));
    let expected = (vec!["x-level".to_owned()], vec!["x-level=table".to_owned()]);
    assert_eq!(shown(&routes(&config)[0].request_headers), expected, "the host removes what the route has added, the table adds again");
}

#[test]
fn inline_text_is_merged_over_the_file_as_envoy_does() {
    root();
    let inline = "
admin: { address: { socketAddress: { portValue: 7 } } }
staticResources: { clusters: { name: more } }
";
    let source = Source { path: Some("proxy/tests/config/mapping.yaml".into()), inline: Some(inline.to_owned()), ..Source::default() };
    let config = load(&source).unwrap();
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:7");
    assert_eq!(config.clusters.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c", "more"]);
    assert_eq!(config.listeners.len(), 1);
    let wrong = Source { inline: Some("static_resources: { clusters: [{ name: c }] }".to_owned()), ..source };
    let said = load(&wrong).unwrap_err().to_string();
    assert!(
        said.starts_with(
            "--config-yaml:1:32: static_resources.clusters[1]: a cluster named `c` stands on proxy/tests/config/mapping.yaml:23"
        ),
        "{said}"
    );
}

#[test]
fn an_endpoint_text_gives_addresses_weights_and_health() {
    let text = r#"{"resources": {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "clusterName": "a", "endpoints": [
        {"locality": {"zone": "z"}, "lbEndpoints": [
            {"endpoint": {"address": {"socketAddress": {"address": "::1", "portValue": 1}}}, "loadBalancingWeight": 3},
            {"endpoint": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 2}}}, "healthStatus": "unhealthy"}]}]}}"#;
    let found = parse_eds_text("x.json", text, "a").unwrap();
    let found: Vec<_> = found.iter().map(|e| (e.address.to_string(), e.weight, e.healthy)).collect();
    assert_eq!(found, [("[::1]:1".to_owned(), 3, true), ("10.0.0.1:2".to_owned(), 1, false)]);
    let empty = text.replace("\"a\"", "\"b\"");
    assert!(parse_eds_text("x.json", &empty, "a").unwrap_err().to_string().contains("it has: b"));
}

#[test]
fn nothing_to_load_is_a_problem() {
    assert!(load(&Source::default()).unwrap_err().to_string().contains("there is no configuration"));
}

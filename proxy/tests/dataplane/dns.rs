//! Clusters whose endpoints are names. Only `localhost` is sure to resolve everywhere.

use super::backend::Backend;
use super::client::{Client, eventually};
use super::program::{Proxy, config};

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

fn named(kind: &str, name: &str, app: &Backend, more: &str) -> String {
    let endpoint =
        format!("{{ endpoint: {{ address: {{ socket_address: {{ address: {name}, port_value: {} }} }} }} }}", app.address.port());
    format!(
        "  - name: app\n    type: {kind}\n{more}    load_assignment: {{ cluster_name: app, endpoints: [{{ lb_endpoints: [{endpoint}] }}] }}\n"
    )
}

#[tokio::test]
async fn names_are_resolved_before_serving_and_by_family() {
    let app = Backend::start("app").await;
    for kind in ["STRICT_DNS", "LOGICAL_DNS"] {
        let more = "    dns_lookup_family: V4_ONLY\n    dns_refresh_rate: 0.3s\n";
        let proxy = Proxy::start(&config("", ALL, &named(kind, "localhost", &app, more))).await;
        assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
        assert_eq!(proxy.cluster("app").await.endpoints, [app.address.to_string()]);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_tried_again_and_said_so() {
    let app = Backend::start("app").await;
    let more = "    dns_failure_refresh_rate: { base_interval: 0.3s, max_interval: 0.6s }\n    dns_refresh_rate: 60s\n";
    let proxy = Proxy::start(&config("", ALL, &named("STRICT_DNS", "no-such-name.invalid", &app, more))).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 503);
    let told = || proxy.log().matches("the name cannot be resolved").count();
    eventually("it is looked up again, not only after a minute", || async { told() >= 3 }).await;
}

//! Numbers of both paths: by named route, by class, and what the kernel says of connections.

use super::backend::Backend;
use super::client::{Client, eventually};
use super::program::{Proxy, cluster, config};

#[tokio::test]
async fn named_routes_have_numbers_of_their_own_on_both_paths() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let mirror =
        "request_mirror_policies: [{ cluster: shadow, runtime_fraction: { default_value: { numerator: 100 }, runtime_key: copies } }]";
    let routes = format!(
        "              - {{ match: {{ prefix: /status/ }}, name: codes, route: {{ cluster: app, {mirror} }} }}
              - {{ match: {{ prefix: /wait/ }}, name: slow, route: {{ cluster: app, timeout: 0.1s }} }}
              - {{ match: {{ prefix: / }}, route: {{ cluster: app }} }}
"
    );
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    let proxy = Proxy::start(&config("", &routes, &clusters)).await;
    let mut client = Client::h1(proxy.address).await;
    for path in ["/status/200", "/status/404", "/status/500", "/wait/2000", "/nameless"] {
        client.get(path).await;
    }
    proxy.settled().await;
    let mut seen = proxy.telemetry().await;
    let names: Vec<_> = seen.routes.iter().map(|r| (r.cluster.clone(), r.route.clone())).collect();
    assert_eq!(names.len(), 3, "only named routes are there: {names:?}");
    let codes = seen.route("app", "codes").clone();
    assert_eq!((codes.requests, codes.responses, codes.failures), (3, [0, 1, 0, 1, 1], 0));
    assert_eq!((codes.total_us.len(), codes.first_byte_us.len()), (2, 2));
    let copies = seen.route("shadow", "codes").clone();
    assert_eq!((copies.requests, copies.responses, copies.total_us.len()), (3, [0, 1, 0, 1, 1], 2));
    let slow = seen.route("app", "slow").clone();
    assert_eq!((slow.requests, slow.responses, slow.failures), (1, [0; 5], 1));
    assert_eq!(seen.downstream.responses, [0, 2, 0, 1, 2], "the proxy's own 504 is in it");
    let (_, text) = proxy.call("GET", "/stats/prometheus").await;
    for line in [
        "foreshadow_route_rq_xx{envoy_cluster_name=\"shadow\",route=\"codes\",envoy_response_code_class=\"4\"} 1",
        "foreshadow_route_failures_total{envoy_cluster_name=\"app\",route=\"slow\"} 1",
        "foreshadow_route_rq_time_count{envoy_cluster_name=\"app\",route=\"codes\"} 2",
        "envoy_http_downstream_rq_xx{envoy_response_code_class=\"5\"} 2",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn round_trip_times_are_looked_at_now_and_then() {
    let app = Backend::start("app").await;
    let routes = "              - { match: { prefix: / }, route: { cluster: app } }\n";
    let proxy = Proxy::start_with(&config("", routes, &cluster("app", &[app.address], "")), &["--concurrency", "1"]).await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..130 {
        client.get("/bytes/100").await;
    }
    eventually("all answers are over", || async { proxy.cluster("app").await.in_flight == 0 }).await;
    let seen = proxy.cluster("app").await;
    assert_eq!(seen.tcp_rtt_us.len(), 3, "one in 64 of 130");
    assert!(seen.rtt_us > 0 && seen.rtt_us < 5_000_000, "{}", seen.rtt_us);
}

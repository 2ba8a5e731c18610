//! Tries, timeouts and what gRPC clients are told, as with the real Envoy (observed on 1.40).

use super::backend::Backend;
use super::client::{Answer, Client, empty, eventually, full};
use super::program::{Proxy, cluster, config};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A route of everything to `app` with these fields.
fn route(fields: &str) -> String {
    format!("              - {{ match: {{ prefix: / }}, route: {{ cluster: app, {fields} }} }}\n")
}

async fn start(routes: &str, addresses: &[SocketAddr], more: &str) -> Proxy {
    Proxy::start_with(&config("", routes, &cluster("app", addresses, more)), &["--concurrency", "1"]).await
}

async fn before(app: &Backend, fields: &str) -> Proxy {
    start(&route(fields), &[app.address], "").await
}

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Events of the cluster by name, without those of waits.
async fn events(proxy: &Proxy) -> Vec<(String, u64)> {
    proxy.cluster("app").await.events.into_iter().filter(|(name, _)| name != "upstream_rq_retry_backoff_exponential").collect()
}

async fn get(proxy: &Proxy, path: &str) -> Answer {
    Client::h1(proxy.address).await.get(path).await
}

const FAST: &str = "retry_back_off: { base_interval: 0.001s }";

#[tokio::test]
async fn what_fails_is_tried_again_until_it_does_not() {
    let app = Backend::start("app").await;
    let proxy = before(&app, &format!("retry_policy: {{ retry_on: '5xx,reset', num_retries: 3, {FAST} }}")).await;
    assert_eq!(get(&proxy, "/flaky/2").await.status, 200);
    assert_eq!(app.count(), 3);
    assert_eq!(events(&proxy).await, [("upstream_rq_retry".into(), 2), ("upstream_rq_retry_success".into(), 1)]);
    // The connections of answers that were not passed on are kept.
    assert_eq!(app.connections(), 1);
    assert_eq!(Client::h1(proxy.address).await.post("/reset/1", "").await.status, 200);
    let cluster = proxy.cluster("app").await;
    assert_eq!((cluster.requests, cluster.responses[1], cluster.responses[4], cluster.in_flight), (5, 2, 2, 0));
    assert_eq!(cluster.failures.get("reset"), Some(&1));
    let (_, text) = proxy.call("GET", "/stats/prometheus").await;
    assert!(text.contains("envoy_cluster_upstream_rq_retry{envoy_cluster_name=\"app\"} 3\n"), "{text}");
}

#[tokio::test]
async fn retries_end_and_the_last_answer_is_passed_on() {
    let app = Backend::start("app").await;
    let proxy = before(&app, &format!("retry_policy: {{ retry_on: 5xx, num_retries: 2, {FAST} }}")).await;
    let answer = get(&proxy, "/flaky/9").await;
    assert_eq!((answer.status, answer.text(), app.count()), (503, "not yet", 3));
    assert_eq!(events(&proxy).await, [("upstream_rq_retry".into(), 2), ("upstream_rq_retry_limit_exceeded".into(), 1)]);
    // What no condition names is nobody's reason to try again.
    assert_eq!(get(&proxy, "/status/404").await.status, 404);
    assert_eq!(app.count(), 4);
}

#[tokio::test]
async fn a_body_is_sent_again_within_a_bound() {
    let app = Backend::start("app").await;
    let fields =
        format!("retry_policy: {{ retry_on: 5xx, num_retries: 2, {FAST} }} }}, per_request_buffer_limit_bytes: 1000, metadata: {{ ");
    let proxy = before(&app, &fields).await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let (path, body) = (format!("/flaky/1?{}", app.count()), vec![b'x'; 1000]);
        assert_eq!(client.post(&path, body.clone()).await.status, 200);
        let seen = app.seen();
        assert!(seen.iter().rev().take(2).all(|s| s.body == body), "{seen:?}");
    }
    let mut client = Client::h1(proxy.address).await;
    let (before, answer) = (app.count(), client.post("/flaky/5", vec![b'x'; 1001]).await);
    assert_eq!((answer.status, app.count() - before), (503, 1));
    assert!(events(&proxy).await.contains(&("retry_or_shadow_abandoned".into(), 1)));
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up() {
    let app = Backend::start("app").await;
    let proxy = before(&app, &format!("retry_policy: {{ retry_on: 5xx, per_try_timeout: 0.3s, {FAST} }}")).await;
    assert_eq!(get(&proxy, "/stall/1").await.status, 200);
    assert_eq!(proxy.cluster("app").await.failures.get("per_try_timeout"), Some(&1));
    assert_eq!(get(&proxy, "/stall/9").await.status, 504);
    // The same for a try in which nothing moves.
    let app = Backend::start("app").await;
    let proxy = before(&app, &format!("retry_policy: {{ retry_on: 5xx, per_try_idle_timeout: 0.2s, {FAST} }}")).await;
    assert_eq!(get(&proxy, "/stall/1").await.status, 200);
    assert_eq!(proxy.cluster("app").await.failures.get("per_try_idle_timeout"), Some(&1));
    assert_eq!(get(&proxy, "/stall/99").await.status, 504);
    // Once the answer has begun, only the whole has a bound.
    let app = Backend::start("app").await;
    let proxy =
        before(&app, "timeout: 0.3s, retry_policy: { retry_on: 5xx, num_retries: 100, retry_back_off: { base_interval: 0.1s } }").await;
    let answer = get(&proxy, "/flaky/1000").await;
    assert_eq!((answer.status, answer.text()), (504, "upstream request timeout"));
    assert!(app.count() < 100);
}

#[tokio::test]
async fn another_endpoint_is_tried_when_asked_for() {
    let (good, bad) = (Backend::start("good").await, Backend::start("bad").await);
    let policy = format!(
        "retry_policy: {{ retry_on: 'connect-failure,5xx', num_retries: 3, retry_host_predicate: [{{ name: envoy.retry_host_predicates.previous_hosts }}], host_selection_retry_max_attempts: 5, {FAST} }}"
    );
    let proxy = start(&route(&policy), &[nobody().await, good.address], "").await;
    for _ in 0..10 {
        assert_eq!(get(&proxy, "/").await.status, 200);
    }
    // In turn: the first try of each finds nobody, the second finds the other; the very first may be the other's turn.
    assert!((9..=10).contains(&proxy.cluster("app").await.failures["connect"]));
    // One that answers badly is left alone, too.
    let proxy = start(&route(&policy), &[good.address, bad.address], "").await;
    for _ in 0..4 {
        get(&proxy, "/flaky/1").await;
    }
    let of = |b: &Backend| b.seen().iter().filter(|s| s.path == "/flaky/1").count();
    assert!(of(&good) >= 2 && of(&bad) >= 2);
    // Nobody there: every try is told of.
    let proxy = start(&route(&policy), &[nobody().await], "").await;
    let answer = get(&proxy, "/").await;
    assert!(answer.status == 503 && answer.text().contains("retried and the latest reset reason: "), "{}", answer.text());
    assert_eq!(proxy.cluster("app").await.failures.get("connect"), Some(&4));
}

#[tokio::test]
async fn a_breaker_bounds_retries() {
    let app = Backend::start("app").await;
    let breaker = "    circuit_breakers: { thresholds: [{ max_retries: 0 }] }\n";
    let proxy = start(&route("retry_policy: { retry_on: 5xx }"), &[app.address], breaker).await;
    assert_eq!((get(&proxy, "/flaky/1").await.status, app.count()), (503, 1));
    assert_eq!(events(&proxy).await, [("upstream_rq_retry_overflow".into(), 1)]);
    let budget = "    circuit_breakers: { thresholds: [{ max_retries: 0, retry_budget: { budget_percent: { value: 10 }, min_retry_concurrency: 1 } }] }\n";
    let proxy = start(&route("retry_policy: { retry_on: 5xx }"), &[app.address], budget).await;
    assert_eq!(get(&proxy, "/flaky/1?budget").await.status, 200);
}

#[tokio::test]
async fn copies_are_never_sent_again() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let fields = format!(
        "retry_policy: {{ retry_on: 5xx, num_retries: 5, {FAST} }}, request_mirror_policies: [{{ cluster: shadow, runtime_fraction: {{ default_value: {{ numerator: 100 }}, runtime_key: copies }} }}]"
    );
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    let proxy = Proxy::start(&config("", &route(&fields), &clusters)).await;
    assert_eq!(Client::h1(proxy.address).await.post("/flaky/3", "a body").await.status, 200);
    eventually("the copy has arrived", || async { shadow.count() == 1 }).await;
    assert_eq!(proxy.settled().await.completed, 1);
    assert_eq!((app.count(), shadow.count(), shadow.seen()[0].body.as_ref()), (4, 1, &b"a body"[..]));
}

#[tokio::test]
async fn a_request_from_inside_may_bring_its_own_terms() {
    let app = Backend::start("app").await;
    let manager = "          internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";
    let text = config(manager, &route("timeout: 15s"), &cluster("app", &[app.address], ""));
    let proxy = Proxy::start(&text).await;
    let ask = async |path: &str, from: &str| {
        let mut client = Client::h1(proxy.address).await;
        let headers = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3"), ("x-forwarded-for", from)];
        let request = headers.iter().fold(client.request("GET", path), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
        client.send(request).await.unwrap().status
    };
    assert_eq!((ask("/flaky/2", "127.0.0.1").await, app.count()), (200, 3));
    assert!(app.seen().iter().all(|s| s.header("x-envoy-retry-on").is_empty()));
    assert_eq!((ask("/flaky/9", "9.9.9.9").await, app.count()), (503, 4));
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("GET", "/wait/5000").header("x-forwarded-for", "127.0.0.1");
    let answer = client.send(request.header("x-envoy-upstream-rq-timeout-ms", "200").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status, 504);
}

#[tokio::test]
async fn streams_have_bounds_of_their_own() {
    let app = Backend::start("app").await;
    let routes =
        "              - { match: { prefix: /wait/5001 }, route: { cluster: app, max_stream_duration: { max_stream_duration: 0.2s } } }
              - { match: { prefix: /wait/5002 }, route: { cluster: app, idle_timeout: 0.2s } }
              - { match: { prefix: / }, route: { cluster: app, max_stream_duration: { grpc_timeout_header_max: 10s } } }
";
    let proxy = start(routes, &[app.address], "").await;
    let longest = get(&proxy, "/wait/5001").await;
    assert_eq!((longest.status, longest.text()), (504, "downstream duration timeout"));
    let idle = get(&proxy, "/wait/5002").await;
    assert_eq!((idle.status, idle.text()), (504, "stream timeout"));
    let mut client = Client::h2(proxy.address).await;
    let request = client.request("POST", "/wait/5003").header("content-type", "application/grpc").header("grpc-timeout", "200m");
    let answer = client.send(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.header("grpc-status"), answer.header("grpc-message")), (200, "4", "downstream duration timeout"));
    assert_eq!(app.seen().last().unwrap().header("grpc-timeout"), "200m");
}

#[tokio::test]
async fn grpc_clients_are_told_in_their_own_way() {
    let app = Backend::start("app").await;
    let routes = "              - { match: { path: /direct }, direct_response: { status: 403, body: { inline_string: \"no 100 %\" } } }
              - { match: { prefix: /gone }, route: { cluster_header: x-none } }
              - { match: { prefix: /app }, route: { cluster: app } }
";
    let proxy = start(routes, &[nobody().await], "").await;
    let mut client = Client::h2(proxy.address).await;
    for (path, status, message) in [
        ("/direct", "7", "no 100 %25"),
        ("/gone", "14", ""),
        ("/nowhere", "12", ""),
        ("/app", "14", "upstream connect error or disconnect/reset before headers. reset reason: "),
    ] {
        let request = client.request("POST", path).header("content-type", "application/grpc+proto").body(full("x")).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!((answer.status, answer.header("content-type"), answer.text()), (200, "application/grpc", ""), "{path}");
        assert_eq!(answer.header("grpc-status"), status, "{path}");
        assert!(answer.header("grpc-message").starts_with(message), "{path}: {}", answer.header("grpc-message"));
    }
    assert_eq!(app.count(), 0);
}

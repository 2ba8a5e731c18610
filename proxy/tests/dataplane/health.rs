//! Endpoints that are not well leave the rotation and come back: by what becomes of requests, and by asking them.

use super::backend::Backend;
use super::client::{Client, eventually};
use super::program::{HTTP2, Proxy, cluster, config};
use super::secure::{self, Authority};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::net::TcpListener;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app, timeout: 5s } }\n";

async fn before(addresses: &[SocketAddr], more: &str, workers: &str) -> Proxy {
    Proxy::start_with(&config("", ALL, &cluster("app", addresses, more)), &["--concurrency", workers]).await
}

async fn healthy(proxy: &Proxy) -> usize {
    proxy.cluster("app").await.endpoints.len()
}

async fn event(proxy: &Proxy, name: &str) -> u64 {
    proxy.cluster("app").await.events.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn an_endpoint_that_fails_again_and_again_is_ejected_for_all_workers_and_comes_back() {
    let (good, bad) = (Backend::start("good").await, Backend::start("bad").await);
    let outlier = "    outlier_detection: { consecutive_5xx: 3, interval: 0.2s, base_ejection_time: 0.5s, max_ejection_percent: 50 }\n";
    let proxy = before(&[good.address, bad.address], outlier, "2").await;
    // Both endpoints answer this with 503 for ever, so that both are suspected; only half of them may go.
    let mut clients = [Client::h1(proxy.address).await, Client::h1(proxy.address).await, Client::h1(proxy.address).await];
    for _ in 0..5 {
        for client in &mut clients {
            assert_eq!(client.get("/status/503").await.status, 503);
        }
    }
    eventually("one is ejected", || async { healthy(&proxy).await == 1 }).await;
    assert_eq!(event(&proxy, "outlier_detection_ejections_enforced_total").await, 1);
    assert!(event(&proxy, "outlier_detection_ejections_detected_consecutive_5xx").await >= 1);
    let (_, text) = proxy.call("GET", "/stats/prometheus").await;
    for line in ["envoy_cluster_membership_total{envoy_cluster_name=\"app\"} 2\n", "ejections_active{envoy_cluster_name=\"app\"} 1\n"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    eventually("it comes back", || async { healthy(&proxy).await == 2 }).await;
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_ejected_too_and_then_costs_nothing() {
    let good = Backend::start("good").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outlier = "    outlier_detection: { consecutive_5xx: 2, base_ejection_time: 60s, max_ejection_percent: 50 }\n";
    let proxy = before(&[good.address, nobody], outlier, "1").await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.status, 200);
    }
    eventually("it is ejected", || async { proxy.cluster("app").await.endpoints == [good.address.to_string()] }).await;
    let connects = || async { proxy.cluster("app").await.connect_us.len() };
    let before = connects().await;
    for _ in 0..10 {
        client.get("/").await;
    }
    assert_eq!(connects().await, before);
    // A reload changes nothing about that.
    assert_eq!(proxy.call("POST", "/reload").await.0, 200);
    assert_eq!(healthy(&proxy).await, 1);
}

#[tokio::test]
async fn endpoints_are_asked_once_a_process_and_leave_while_they_do_not_answer_well() {
    let (good, bad) = (Backend::start("good").await, Backend::start("bad").await);
    let check = "    health_checks: [{ timeout: 5s, interval: 0.1s, unhealthy_threshold: 2, healthy_threshold: 2, http_health_check: { host: check.test, path: /flaky/5, expected_statuses: [{ start: 200, end: 300 }], retriable_statuses: [{ start: 500, end: 600 }] } }]\n";
    let proxy = before(&[good.address, bad.address], check, "2").await;
    // The first five checks of each are answered 503: both are unhealthy, and then both are used.
    eventually("both fail", || async { healthy(&proxy).await == 0 }).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 200);
    assert!(event(&proxy, "lb_healthy_panic").await >= 1);
    eventually("both are well again", || async { healthy(&proxy).await == 2 }).await;
    let seen = good.seen();
    let checks: Vec<_> = seen.iter().filter(|s| s.path == "/flaky/5").collect();
    assert!(checks.len() >= 7 && checks.iter().all(|s| s.authority == "check.test" && s.header("user-agent") == "Foreshadow/HC"));
    assert!(event(&proxy, "health_check_failure").await >= 10 && event(&proxy, "health_check_success").await >= 4);
    drop(bad);
    eventually("one that is gone leaves", || async { healthy(&proxy).await == 1 }).await;
    for _ in 0..4 {
        assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "good");
    }
}

#[tokio::test]
async fn checks_by_connection_bytes_and_grpc() {
    let app = Backend::start("app").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let times = "timeout: 5s, interval: 0.1s, unhealthy_threshold: 1, healthy_threshold: 1";
    // GET / in hexadecimal, and the beginning of what comes back.
    let bytes = "tcp_health_check: { send: { text: \"474554202f20485454502f312e310d0a686f73743a20610d0a0d0a\" }, receive: [{ text: \"485454502f312e3120\" }, { text: \"617070\" }] }";
    let check = || app.seen().into_iter().find(|s| s.path == "/grpc.health.v1.Health/Check");
    for probe in ["tcp_health_check: {}", bytes, "grpc_health_check: { service_name: shop }"] {
        let checks = format!("    health_checks: [{{ {times}, {probe} }}]\n{HTTP2}");
        let proxy = before(&[app.address, nobody], &checks, "1").await;
        eventually(probe, || async { proxy.cluster("app").await.endpoints == [app.address.to_string()] }).await;
        if probe.starts_with("grpc") {
            eventually("the application is asked", || async { check().is_some() }).await;
        }
    }
    let asked = check().unwrap();
    assert_eq!((asked.method.as_str(), asked.header("content-type"), asked.header("te")), ("POST", "application/grpc", "trailers"));
    assert_eq!(&asked.body[..], b"\0\0\0\0\x06\x0a\x04shop");
}

#[tokio::test]
async fn endpoints_with_tls_are_asked_inside_it() {
    let (dir, ca) = (TempDir::new().unwrap(), Authority::new());
    let identity = ca.issue(&["up.test"]);
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let app = secure::backend("up", ca.server(&identity, false, &["http/1.1"])).await;
    let plain = Backend::start("plain").await;
    let trusted = format!("validation_context: {{ trusted_ca: {{ filename: {}/ca.pem }} }}", dir.path().display());
    let check = "    health_checks: [{ timeout: 5s, interval: 0.1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /well } }]\n";
    let proxy = before(&[app.address, plain.address], &(secure::upstream(&trusted, "sni: up.test") + check), "1").await;
    eventually("only the one with TLS is well", || async { proxy.cluster("app").await.endpoints == [app.address.to_string()] }).await;
    eventually("it was asked", || async { app.seen().iter().any(|s| s.path == "/well") }).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "up");
    assert_eq!(plain.count(), 0);
}

//! Start, reload, discovery, drain, and what the admin endpoints say on the way.

use super::backend::Backend;
use super::client::{Client, empty, eventually};
use super::program::{Proxy, cluster, config, mirrored, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

fn plain(app: &Backend) -> String {
    config("", ALL, &cluster("app", &[app.address], ""))
}

#[test]
fn exit_codes() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("c.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, config("", ALL, "  - { name: app }\n")).unwrap();
    assert_eq!(run(&["--mode", "validate", "-c", file]), (0, format!("configuration '{file}' OK\n"), String::new()));
    std::fs::write(file, config("", ALL, "  - { name: other }\n")).unwrap();
    let (code, _, problems) = run(&["--mode", "validate", "-c", file]);
    assert!(code == 78 && problems.contains(&format!("{file}:")), "{code} {problems}");
    assert_eq!(run(&["-c", file]).0, 78);
    assert_eq!((run(&[]).0, run(&["--nonsense"]).0, run(&["-c", file, "--mode", "nonsense"]).0), (64, 64, 64));
    let (code, version, _) = run(&["--version"]);
    assert!(code == 0 && version.contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn envoys_flags_are_accepted() {
    let app = Backend::start("app").await;
    let flags = ["--disable-hot-restart", "--base-id", "7", "--service-cluster", "c", "--service-node", "node-1", "--drain-time-s", "1"];
    let proxy = Proxy::start_with(&plain(&app), &flags).await;
    assert_eq!(proxy.telemetry().await.proxy_id, "node-1");
}

#[tokio::test]
async fn a_broken_file_leaves_the_last_good_one_serving() {
    let app = Backend::start("app").await;
    let other = Backend::start("other").await;
    let proxy = Proxy::start(&plain(&app)).await;
    let mut client = Client::h1(proxy.address).await;
    assert_eq!(client.get("/").await.text(), "app");
    proxy.rewrite("static_resources: { nonsense: 1 }");
    eventually("the reload is refused", || async { proxy.telemetry().await.config_last_reload_failed }).await;
    assert_eq!(client.get("/").await.text(), "app");
    let (status, ready) = proxy.call("GET", "/ready").await;
    assert!(status == 200 && ready.starts_with("LIVE") && ready.contains("nonsense"), "{ready}");
    assert!(proxy.log().contains("reload refused"));
    let (_, metrics) = proxy.call("GET", "/metrics").await;
    assert!(
        metrics.contains("foreshadow_config_last_reload_refused 1") && metrics.contains("reloads_total{outcome=\"refused\"} 1"),
        "{metrics}"
    );
    proxy.rewrite(&plain(&other));
    eventually("the next one is applied", || async { proxy.generation().await == 2 }).await;
    assert!(!proxy.telemetry().await.config_last_reload_failed);
    // The same connection is served by the new configuration.
    assert_eq!(client.get("/").await.text(), "other");
    assert_eq!(proxy.call("GET", "/ready").await, (200, "LIVE\n".into()));
    // Numbers outlive a reload.
    assert_eq!(proxy.cluster("app").await.responses[1], 3);
}

#[tokio::test]
async fn listeners_come_and_go_with_a_reload() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&plain(&app)).await;
    let mut kept = Client::h1(proxy.address).await;
    kept.get("/").await;
    // A new name at the address that is bound already.
    let renamed = plain(&app).replace("name: inbound", "name: renamed").replacen("port_value: 0", "port_value: ADMIN", 1);
    let renamed = renamed
        .replacen("port_value: 0", &format!("port_value: {}", proxy.address.port()), 1)
        .replace("port_value: ADMIN", "port_value: 0");
    proxy.rewrite(&renamed);
    eventually("the reload is applied", || async { proxy.generation().await == 2 }).await;
    assert_eq!(proxy.listener("renamed").await, proxy.address);
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
    // An address that cannot be bound leaves everything as it was.
    proxy.rewrite(&renamed.replace(&format!("port_value: {}", proxy.address.port()), &format!("port_value: {}", app.address.port())));
    proxy.signal("HUP");
    eventually("the reload is refused", || async { proxy.telemetry().await.config_last_reload_failed }).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
}

fn endpoints(addresses: &[std::net::SocketAddr]) -> String {
    let each = |a: &std::net::SocketAddr| serde_json::json!({"endpoint": {"address": {"socket_address": {"address": a.ip(), "port_value": a.port()}}}});
    let all: Vec<_> = addresses.iter().map(each).collect();
    let load = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "app", "endpoints": [{"lb_endpoints": all}],
    });
    serde_json::json!({"resources": [load]}).to_string()
}

#[tokio::test]
async fn endpoints_follow_their_file() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("eds.json");
    let write = |text: &str| {
        std::fs::write(dir.path().join("next"), text).unwrap();
        std::fs::rename(dir.path().join("next"), &file).unwrap();
    };
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    write(&endpoints(&[a.address]));
    let eds = format!(
        "  - {{ name: app, type: EDS, eds_cluster_config: {{ eds_config: {{ resource_api_version: V3, path_config_source: {{ path: '{}' }} }} }} }}\n",
        file.display()
    );
    let node = "node: { id: a, cluster: b }\n".to_owned();
    let proxy = Proxy::start(&(node + &config("", ALL, &eds))).await;
    let mut client = Client::h1(proxy.address).await;
    assert_eq!(client.get("/").await.text(), "a");
    write(&endpoints(&[b.address]));
    eventually("the other one is in rotation", || async { proxy.cluster("app").await.endpoints == [b.address.to_string()] }).await;
    assert_eq!(client.get("/").await.text(), "b");
    write("{ broken");
    eventually("the broken file is told", || async { proxy.log().contains("endpoint file refused") }).await;
    assert_eq!(client.get("/").await.text(), "b");
    write(&endpoints(&[]));
    eventually("nobody is left", || async { proxy.cluster("app").await.endpoints.is_empty() }).await;
    assert_eq!(client.get("/").await.text(), "no healthy upstream");
    // In place, the same length, a moment later: still noticed.
    std::fs::write(&file, endpoints(&[a.address])).unwrap();
    eventually("the first is back", || async { proxy.cluster("app").await.endpoints == [a.address.to_string()] }).await;
}

#[tokio::test]
async fn names_are_looked_up() {
    let app = Backend::start("app").await;
    let dns = cluster("app", &[app.address], "    type: STRICT_DNS\n").replace("address: 127.0.0.1", "address: localhost");
    let proxy = Proxy::start(&config("", ALL, &dns)).await;
    // Ready means that the first look-up is done.
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
}

/// Clients that reconnect when told to close lose nothing while the proxy drains.
#[tokio::test]
async fn a_drain_loses_nothing() {
    let app = Backend::start("app").await;
    let mut proxy = Proxy::start(&plain(&app)).await;
    let drained = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (drained, address) = (drained.clone(), proxy.address);
            tokio::spawn(async move {
                let mut sent = 0;
                while let Ok(mut client) = Client::try_h1(address).await {
                    loop {
                        let request = client.request("GET", "/wait/5").body(empty()).unwrap();
                        let answer = client.send(request).await.expect("an answer to everything that was sent");
                        assert_eq!(answer.status, 200);
                        sent += 1;
                        if answer.header("connection") == "close" {
                            break;
                        }
                    }
                }
                assert!(drained.load(Ordering::Relaxed), "refused before the drain");
                sent
            })
        })
        .collect();
    eventually("load is running", || async { app.count() > 100 }).await;
    drained.store(true, Ordering::Relaxed);
    proxy.signal("TERM");
    let mut sent = 0;
    for task in load {
        sent += task.await.unwrap();
    }
    assert!(proxy.ended().await.success());
    assert_eq!(sent, app.count());
}

#[tokio::test]
async fn requests_under_way_finish_and_http2_is_told_to_go_away() {
    let app = Backend::start("app").await;
    let mut proxy = Proxy::start(&plain(&app)).await;
    let (mut one, mut two) = (Client::h1(proxy.address).await, Client::h2(proxy.address).await);
    let (a, b, ()) = tokio::join!(one.get("/wait/300"), two.get("/wait/300"), async {
        eventually("both are under way", || async { app.count() == 2 }).await;
        proxy.signal("TERM");
    });
    assert_eq!((a.status, b.status, a.header("connection")), (200, 200, "close"));
    assert!(proxy.ended().await.success());
    eventually("the client knows", || async { two.is_closed() }).await;
}

#[tokio::test]
async fn a_drain_ends_in_time_and_a_second_signal_ends_it_at_once() {
    let app = Backend::start("app").await;
    for (seconds, second) in [("2", false), ("60", true)] {
        let mut proxy = Proxy::start_with(&plain(&app), &["--drain-time-s", seconds, "--concurrency", "1"]).await;
        let mut client = Client::h1(proxy.address).await;
        let request = client.request("GET", "/wait/15000").body(empty()).unwrap();
        let before = app.count();
        let waiting = tokio::spawn(async move { client.send(request).await.is_err() });
        eventually("the request is under way", || async { app.count() > before }).await;
        let begun = std::time::Instant::now();
        proxy.signal("TERM");
        if second {
            eventually("it drains", || async { proxy.log().contains("draining") }).await;
            proxy.signal("TERM");
        } else {
            eventually("it says so", || async { proxy.call("GET", "/ready").await == (503, "DRAINING\n".into()) }).await;
        }
        let status = proxy.ended().await;
        assert_eq!(status.code(), Some(if second { 143 } else { 0 }));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(waiting.await.unwrap());
    }
}

#[tokio::test]
async fn admin_endpoints() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    let mut proxy = Proxy::start(&config("", &mirrored(100, ""), &clusters)).await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..40 {
        client.get("/shape?token=secret").await;
    }
    let copies = proxy.settled().await;
    for (path, text) in [
        ("/ready", "LIVE".to_owned()),
        ("/stats", "cluster.app.upstream_rq_total: 40".into()),
        ("/stats/prometheus", "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"app\"} 40".into()),
        ("/metrics", "envoy_cluster_upstream_rq_xx{envoy_cluster_name=\"app\",envoy_response_code_class=\"2\"} 40".into()),
        ("/metrics", "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"shadow\"} 40".into()),
        ("/metrics", format!("foreshadow_mirror_completed_total{{policy=\"copies\"}} {}", copies.completed)),
        ("/clusters", format!("app::{}::health_flags::healthy", app.address)),
        ("/listeners", format!("inbound::{}", proxy.address)),
        ("/server_info", "\"LIVE\"".into()),
        ("/config_dump", "\"app\"".into()),
        ("/runtime", "\"entries\"".into()),
        ("/help", "/runtime_modify".into()),
        ("/stats?filter=upstream_rq_total&usedonly&format=json", "{\"name\":\"cluster.app.upstream_rq_total\",\"value\":40}".into()),
        ("/stats?format=prometheus", "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"app\"} 40".into()),
        ("/clusters?format=json", format!("\"port_value\":{}", app.address.port())),
        ("/clusters", "app::default_priority::max_requests::1024".into()),
        ("/listeners?format=json", format!("\"port_value\":{}", proxy.address.port())),
        ("/config_dump", "envoy.admin.v3.ListenersConfigDump".into()),
        ("/server_info", "\"uptime_current_epoch\"".into()),
        ("/certs", "{\"certificates\":[]}".into()),
    ] {
        let (status, page) = proxy.call("GET", path).await;
        assert!(status == 200 && page.contains(&text), "{path}: no {text} in {page}");
    }
    let snapshot = proxy.telemetry().await;
    assert_eq!(snapshot.recent_requests.len(), 1);
    assert_eq!(snapshot.recent_requests[0].host, "app.test");
    assert!(!format!("{:?}", snapshot.recent_requests).contains("secret"));
    assert_eq!(snapshot.clusters[1].role, foreshadow_snapshot::ClusterRole::Mirror);
    assert!(proxy.telemetry().await.sequence > snapshot.sequence);
    for path in ["/healthcheck/fail", "/drain_listeners", "/quitquitquit", "/logging?level=debug", "/reload"] {
        assert_eq!(proxy.call("GET", path).await.0, 405, "{path}");
    }
    assert_eq!((proxy.call("POST", "/ready").await.0, proxy.call("GET", "/nonsense").await.0), (405, 404));
    assert_eq!(proxy.call("POST", "/logging?level=debug").await.0, 200);
    assert_eq!(proxy.call("POST", "/logging?level=nonsense").await.0, 400);
    proxy.call("POST", "/healthcheck/fail").await;
    assert_eq!(proxy.call("GET", "/ready").await.0, 503);
    proxy.call("POST", "/healthcheck/ok").await;
    assert_eq!(proxy.call("GET", "/ready").await.0, 200);
    proxy.call("POST", "/quitquitquit").await;
    assert!(proxy.ended().await.success());
}

//! Where Envoy's mirroring is weak, and what is promised here instead: one test for each of the eight points, and for what else copies can be told.

use super::backend::Backend;
use super::client::{Client, empty, eventually, full};
use super::program::{Proxy, cluster, config, mirrored};
use std::collections::BTreeSet;
use std::time::Instant;

async fn both(percent: u32, limits: &str) -> (Backend, Backend, Proxy) {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let proxy = one_worker(&mirrored(percent, limits), &app, &shadow).await;
    (app, shadow, proxy)
}

async fn one_worker(routes: &str, app: &Backend, shadow: &Backend) -> Proxy {
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    Proxy::start_with(&config("", routes, &clusters), &["--concurrency", "1"]).await
}

#[tokio::test]
async fn point_1_a_stuck_mirror_never_stalls_production() {
    let (app, shadow) = (Backend::start("app").await, Backend::stuck().await);
    let proxy = one_worker(&mirrored(100, "max_body_bytes: 1000000, timeout: 1s"), &app, &shadow).await;
    let mut client = Client::h1(proxy.address).await;
    // Envoy gives no answer to this within 40 seconds.
    let answer = client.post("/upload", vec![7; 16 << 20]).await;
    assert_eq!((answer.status, app.seen()[0].body.len()), (200, 16 << 20));
    let copies = proxy.copies().await;
    assert_eq!((copies.dropped.get("body_too_large"), copies.buffered_bytes), (Some(&1), 0));
    let small = client.post("/upload", vec![7; 500_000]).await;
    assert_eq!(small.status, 200);
    let held = proxy.copies().await;
    assert_eq!((held.in_flight, held.buffered_bytes), (1, 500_000), "it waits for the shadow, and production does not");
    assert_eq!(proxy.settled().await.dropped.get("timeout"), Some(&1));
}

#[tokio::test]
async fn point_2_sampling_is_not_biased_by_weights_and_keeps_sessions_whole() {
    let (a, b, shadow) = (Backend::start("a").await, Backend::start("b").await, Backend::start("shadow").await);
    let routes = "              - match: { prefix: / }
                metadata: { filter_metadata: { foreshadow: { mirror: { key: { header: x-user } } } } }
                route:
                  weighted_clusters: { clusters: [{ name: a, weight: 50 }, { name: b, weight: 50 }] }
                  request_mirror_policies: [{ cluster: shadow, runtime_fraction: { default_value: { numerator: 50 }, runtime_key: copies } }]
";
    let clusters = cluster("a", &[a.address], "") + &cluster("b", &[b.address], "") + &cluster("shadow", &[shadow.address], "");
    let proxy = Proxy::start(&config("", routes, &clusters)).await;
    let mut client = Client::h1(proxy.address).await;
    for user in (0..200).chain(0..200) {
        client.send(client.request("GET", &format!("/{user}")).header("x-user", user).body(empty()).unwrap()).await.unwrap();
    }
    proxy.settled().await;
    let paths = |backend: &Backend| backend.seen().into_iter().map(|s| s.path).collect::<Vec<_>>();
    let copied = paths(&shadow);
    let users: BTreeSet<_> = copied.iter().cloned().collect();
    assert_eq!(copied.len(), 2 * users.len(), "a session is in or out");
    for backend in [&a, &b] {
        let share = paths(backend).iter().filter(|p| users.contains(*p)).count() as f64 / backend.count() as f64;
        // Of about 200 requests half are copied; Envoy copies all of one cluster's and none of the other's.
        assert!((0.3..0.7).contains(&share), "{share}");
    }
}

#[tokio::test]
async fn point_3_copies_are_bounded_by_rate_count_bytes_and_time() {
    let (_app, shadow, proxy) = both(100, "max_per_second: 5").await;
    let mut client = Client::h1(proxy.address).await;
    let begun = Instant::now();
    for _ in 0..100 {
        client.get("/").await;
    }
    let longest = 1.0 + 5.0 * begun.elapsed().as_secs_f64();
    let copies = proxy.settled().await;
    assert!(copies.completed >= 1 && copies.completed as f64 <= longest, "{copies:?}");
    assert_eq!(copies.dropped.get("rate"), Some(&(100 - copies.completed)));
    assert_eq!(shadow.count() as u64, copies.completed);

    let (app, stuck) = (Backend::start("app").await, Backend::stuck().await);
    let limits = "max_in_flight: 3, max_buffered_bytes: 2500, max_body_bytes: 1000, timeout: 0.5s";
    let proxy = one_worker(&mirrored(100, limits), &app, &stuck).await;
    let mut client = Client::h1(proxy.address).await;
    for size in [1000, 1000, 1000, 10, 2000] {
        client.post("/", vec![b'x'; size]).await;
    }
    let copies = proxy.copies().await;
    assert!(copies.in_flight <= 3 && copies.buffered_bytes <= 2500, "{copies:?}");
    let copies = proxy.settled().await;
    let dropped = |reason: &str| copies.dropped.get(reason).copied().unwrap_or_default();
    assert_eq!((dropped("overflow_bytes"), dropped("timeout"), copies.buffered_bytes), (1, 3, 0), "{copies:?}");
    assert_eq!(dropped("overflow_count") + dropped("body_too_large"), 1, "{copies:?}");
}

/// Connections of a listener are spread over the workers; the bounds are everybody's.
#[tokio::test]
async fn point_3_bounds_hold_for_all_workers_together() {
    let (app, stuck) = (Backend::start("app").await, Backend::stuck().await);
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[stuck.address], "");
    let limits = "max_in_flight: 3, max_buffered_bytes: 2500, max_body_bytes: 1000, timeout: 20s";
    let proxy = Proxy::start_with(&config("", &mirrored(100, limits), &clusters), &["--concurrency", "4"]).await;
    for size in [1000, 1000, 1000].into_iter().chain([0; 40]) {
        assert_eq!(Client::h1(proxy.address).await.post("/", vec![b'x'; size]).await.status, 200);
    }
    let copies = proxy.copies().await;
    assert_eq!((copies.in_flight, copies.buffered_bytes), (3, 2000), "{copies:?}");
    let dropped = |reason: &str| copies.dropped.get(reason).copied().unwrap_or_default();
    assert_eq!((dropped("overflow_bytes"), dropped("overflow_count")), (1, 39), "{copies:?}");

    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    let routes = mirrored(100, "max_per_second: 0.01");
    let proxy = Proxy::start_with(&config("", &routes, &clusters), &["--concurrency", "4"]).await;
    for _ in 0..40 {
        Client::h1(proxy.address).await.get("/").await;
    }
    let copies = proxy.settled().await;
    assert_eq!((copies.completed, copies.dropped.get("rate")), (1, Some(&39)), "{copies:?}");
}

#[tokio::test]
async fn point_3_more_than_all_is_spread_in_time() {
    let (_app, shadow, proxy) = both(100, "percent: 400, spread: 0.4s").await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..10 {
        client.get("/").await;
    }
    let early = shadow.count();
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible_requests, copies.eligible, copies.completed, shadow.count()), (10, 40, 40, 40));
    assert!(early < 40, "the extra copies come later than their requests");
    assert_eq!(copies.status_match, 10, "the first copy of each is compared");
}

#[tokio::test]
async fn point_4_every_copy_not_made_or_not_finished_has_a_reason() {
    let routes = "              - match: { prefix: / }
                metadata: { filter_metadata: { foreshadow: { mirror: { methods: safe, only_accepted: true } } } }
                route:
                  cluster: app
                  request_mirror_policies: [{ cluster_header: x-mirror, runtime_fraction: { default_value: { numerator: 100 }, runtime_key: copies } }]
";
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let proxy = one_worker(routes, &app, &shadow).await;
    let mut client = Client::h1(proxy.address).await;
    for (method, path, to, mark) in [
        ("GET", "/", "shadow", ""),
        ("GET", "/", "nobody", ""),
        ("POST", "/", "shadow", ""),
        ("GET", "/status/500", "shadow", ""),
        ("GET", "/", "shadow", "1"),
    ] {
        let mut request = client.request(method, path).header("x-mirror", to);
        if !mark.is_empty() {
            request = request.header("x-foreshadow-copy", mark);
        }
        client.send(request.body(empty()).unwrap()).await.unwrap();
    }
    client.get("/").await;
    proxy.call("POST", "/runtime_modify?copies=0").await;
    client.get("/").await;
    let copies = proxy.settled().await;
    let reasons: Vec<_> = copies.dropped.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(reasons, [("marked", 1), ("method", 1), ("no_cluster", 2), ("not_accepted", 1), ("sampled_out", 1)]);
    assert_eq!((copies.eligible, copies.completed, shadow.count()), (7, 1, 1));
    let (_, text) = proxy.call("GET", "/stats/prometheus").await;
    assert!(text.contains("foreshadow_mirror_dropped_total{policy=\"copies\",reason=\"no_cluster\"} 2"), "{text}");
}

#[tokio::test]
async fn point_5_pairs_are_compared() {
    let (_app, _shadow, proxy) = both(100, "compare_bodies: true").await;
    let mut client = Client::h1(proxy.address).await;
    // The body says which backend answered, but for these two.
    for path in ["/", "/bytes/3000", "/status/204"] {
        client.get(path).await;
    }
    client.post("/echo", "the same on both sides").await;
    eventually("all bodies are compared", || async {
        let copies = proxy.settled().await;
        copies.body_match + copies.body_mismatch == 4
    })
    .await;
    let copies = proxy.copies().await;
    assert_eq!((copies.status_match, copies.status_mismatch, copies.body_match, copies.body_mismatch), (4, 0, 3, 1), "{copies:?}");
    assert_eq!(copies.slower_us.len() + copies.faster_us.len(), 4);

    // A shadow that is slower by 100 ms, and fails.
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let slower = Proxy::start(&config(
        "",
        "              - { match: { path: /status/404 }, route: { cluster: app, prefix_rewrite: /wait/100 } }\n",
        &cluster("app", &[shadow.address], ""),
    ))
    .await;
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[slower.address], "");
    let proxy = Proxy::start(&config("", &mirrored(100, ""), &clusters)).await;
    let mut client = Client::h1(proxy.address).await;
    client.get("/status/404").await;
    let copies = proxy.settled().await;
    assert_eq!((copies.status_match, copies.status_mismatch, copies.slower_us.len()), (0, 1, 1));
    assert!(copies.slower_us.mean() > 50_000.0, "{}", copies.slower_us.mean());
}

#[tokio::test]
async fn point_6_a_copy_is_never_copied_again() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let second = one_worker(&mirrored(100, ""), &app, &shadow).await;
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[second.address], "");
    let first = Proxy::start(&config("", &mirrored(100, ""), &clusters)).await;
    Client::h1(first.address).await.get("/once").await;
    assert_eq!(first.settled().await.completed, 1);
    let copies = second.settled().await;
    assert_eq!((copies.eligible, copies.dropped.get("marked"), shadow.count()), (1, Some(&1), 0));
    assert_eq!(app.seen()[1].authority, "app.test-shadow", "and not app.test-shadow-shadow");
}

#[tokio::test]
async fn point_7_only_what_production_accepted_reaches_the_shadow() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let routes = mirrored(100, "only_accepted: true");
    let dead = cluster("app", &[nobody], "") + &cluster("shadow", &[shadow.address], "");
    let down = Proxy::start(&config("", &routes, &dead)).await;
    let mut client = Client::h1(down.address).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status, 503);
    }
    assert_eq!(down.settled().await.dropped.get("not_accepted"), Some(&5), "load that production never served is kept from the shadow");
    let up = one_worker(&routes, &app, &shadow).await;
    Client::h1(up.address).await.get("/status/404").await;
    assert_eq!((up.settled().await.completed, shadow.count()), (1, 1));
}

#[tokio::test]
async fn point_8_writes_are_not_copied_where_only_safe_methods_are() {
    let (app, shadow, proxy) = both(100, "methods: safe").await;
    let mut client = Client::h1(proxy.address).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"] {
        let body = if method == "POST" { full("x") } else { empty() };
        client.send(client.request(method, "/").body(body).unwrap()).await.unwrap();
    }
    let copies = proxy.settled().await;
    let methods: BTreeSet<_> = shadow.seen().into_iter().map(|s| s.method).collect();
    assert_eq!((copies.dropped.get("method"), app.count()), (Some(&4), 7));
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["GET", "HEAD", "OPTIONS"]);
}

#[tokio::test]
async fn copies_go_without_what_they_are_to_go_without() {
    let routes = "              - match: { prefix: / }
                metadata: { filter_metadata: { foreshadow: { mirror: { strip_headers: [authorization, x-secret] } } } }
                route:
                  cluster: app
                  request_mirror_policies:
                  - cluster: shadow
                    trace_sampled: false
                    host_rewrite_literal: other.test
                    runtime_fraction: { default_value: { numerator: 100 }, runtime_key: copies }
                    request_headers_mutations:
                    - append: { header: { key: x-from, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(x-kept)%\" } }
";
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let proxy = one_worker(routes, &app, &shadow).await;
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("GET", "/").header("authorization", "Bearer x").header("x-secret", "1").header("x-kept", "2");
    client.send(request.body(empty()).unwrap()).await.unwrap();
    proxy.settled().await;
    let (seen, copy) = (&app.seen()[0], &shadow.seen()[0]);
    assert_eq!((seen.header("authorization"), seen.header("x-secret"), seen.header("x-from")), ("Bearer x", "1", ""));
    assert_eq!((copy.header("authorization"), copy.header("x-secret"), copy.header("x-from")), ("", "", "127.0.0.1 2"));
    assert_eq!(copy.authority, "other.test");
}

/// What the copies stand for is near what there was, although the fraction changed on the way.
#[tokio::test]
async fn counts_can_be_made_unbiased() {
    let (_app, _shadow, proxy) = both(10, "").await;
    let mut client = Client::h1(proxy.address).await;
    for (percent, n) in [("20", 400), ("80", 100), ("250", 40)] {
        proxy.call("POST", &format!("/runtime_modify?copies={percent}")).await;
        for _ in 0..n {
            client.get("/").await;
        }
    }
    let copies = proxy.settled().await;
    // 540 +- sqrt(400 x 4 + 100 / 4 + a little): six standard deviations are 242.
    assert!((copies.represented - 540.0).abs() < 245.0, "{copies:?}");
    assert_eq!(copies.inclusion_probability, 1.0);
}

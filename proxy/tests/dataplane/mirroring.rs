//! The promises at the top of `mirror.rs`, each seen from the outside.

use super::backend::Backend;
use super::client::{Client, empty, eventually, full};
use super::program::{HTTP2, Proxy, cluster, config, mirrored};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn text(app: SocketAddr, shadow: SocketAddr, percent: u32, limits: &str) -> String {
    config("", &mirrored(percent, limits), &(cluster("app", &[app], "") + &cluster("shadow", &[shadow], "")))
}

async fn both(percent: u32, limits: &str) -> (Backend, Backend, Proxy) {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let proxy = Proxy::start(&text(app.address, shadow.address, percent, limits)).await;
    (app, shadow, proxy)
}

#[tokio::test]
async fn a_copy_looks_like_the_request_and_is_marked() {
    let (app, shadow, proxy) = both(100, "").await;
    let mut client = Client::h1(proxy.address).await;
    client.host = "app.test:8080".into();
    let request = client.request("POST", "/a?b=1").header("x-forwarded-for", "10.0.0.1").body(full("a body")).unwrap();
    assert_eq!(client.send(request).await.unwrap().text(), "app");
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible_requests, copies.eligible, copies.completed, copies.status_match), (1, 1, 1, 1), "{copies:?}");
    let (seen, copy) = (&app.seen()[0], &shadow.seen()[0]);
    assert_eq!((&seen.method, &seen.path, &seen.body), (&copy.method, &copy.path, &copy.body));
    assert_eq!((seen.authority.as_str(), copy.authority.as_str()), ("app.test:8080", "app.test-shadow:8080"));
    assert_eq!((seen.header("x-foreshadow-copy"), copy.header("x-foreshadow-copy")), ("", "1"));
    assert_eq!(seen.header("x-request-id"), copy.header("x-request-id"));
    assert_eq!(copy.header("x-forwarded-for"), "10.0.0.1");
}

#[tokio::test]
async fn a_marked_request_is_never_copied_again() {
    let (app, shadow, proxy) = both(100, "").await;
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("GET", "/").header("x-foreshadow-copy", "1").body(empty()).unwrap();
    client.send(request).await.unwrap();
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible, copies.dropped.get("marked"), app.count(), shadow.count()), (1, Some(&1), 1, 0));
}

#[tokio::test]
async fn copies_over_http2() {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let clusters = cluster("app", &[app.address], HTTP2) + &cluster("shadow", &[shadow.address], HTTP2);
    let proxy = Proxy::start(&config("", &mirrored(100, ""), &clusters)).await;
    let mut client = Client::h2(proxy.address).await;
    for _ in 0..20 {
        assert_eq!(client.post("/", "body").await.text(), "app");
    }
    assert_eq!((proxy.settled().await.completed, shadow.connections()), (20, 1));
    let copy = &shadow.seen()[0];
    assert_eq!((copy.authority.as_str(), copy.version, &copy.body[..]), ("app.test-shadow", http::Version::HTTP_2, &b"body"[..]));
}

/// 16 uploads of 1 MiB; how long they took.
async fn uploads(proxy: &Proxy) -> Duration {
    let mut client = Client::h1(proxy.address).await;
    let body = bytes::Bytes::from(vec![7; 1 << 20]);
    let begun = Instant::now();
    for _ in 0..16 {
        assert_eq!(client.post("/upload", body.clone()).await.status, 200);
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_shadow_that_never_reads_costs_production_nothing() {
    let (app, shadow) = (Backend::start("app").await, Backend::stuck().await);
    let limits = "max_in_flight: 4, timeout: 0.5s";
    let without = Proxy::start(&text(app.address, shadow.address, 0, limits)).await;
    let stuck = Proxy::start(&text(app.address, shadow.address, 100, limits)).await;
    // A first round each is for the machine to settle; then the best of three rounds in turn.
    uploads(&without).await;
    uploads(&stuck).await;
    let (mut alone, mut beside) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        alone = alone.min(uploads(&without).await);
        beside = beside.min(uploads(&stuck).await);
    }
    // Waiting for the shadow even once would add half a second; the factor allows for a busy machine and for the copying itself.
    assert!(beside < alone * 3 + Duration::from_millis(200), "{beside:?} against {alone:?}");
    let copies = stuck.settled().await;
    assert_eq!((copies.eligible, copies.completed, copies.buffered_bytes), (64, 0, 0));
    assert!(copies.dropped["timeout"] >= 1 && copies.dropped["overflow_count"] >= 1, "{:?}", copies.dropped);
}

#[tokio::test]
async fn a_dead_shadow_is_not_felt() {
    let app = Backend::start("app").await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&text(app.address, nobody, 100, "")).await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible, copies.dropped.get("connect"), app.count()), (20, Some(&20), 20));
}

#[tokio::test]
async fn bodies_beyond_the_bound_cost_the_copy_only() {
    let (app, shadow, proxy) = both(100, "max_body_bytes: 1000, max_buffered_bytes: 5000").await;
    let mut client = Client::h1(proxy.address).await;
    for (size, status) in [(1000, 200), (1001, 200), (500_000, 200)] {
        assert_eq!(client.post("/upload", vec![b'x'; size]).await.status, status);
    }
    let copies = proxy.settled().await;
    assert_eq!((copies.completed, copies.dropped.get("body_too_large"), copies.buffered_bytes), (1, Some(&2), 0));
    assert_eq!((app.count(), shadow.count(), shadow.seen()[0].body.len()), (3, 1, 1000));
}

#[tokio::test]
async fn only_safe_methods_and_only_what_was_accepted() {
    let (_app, shadow, proxy) = both(100, "methods: safe, only_accepted: true").await;
    let mut client = Client::h1(proxy.address).await;
    assert_eq!(client.post("/", "x").await.status, 200);
    assert_eq!(client.get("/status/503").await.status, 503);
    assert_eq!(client.get("/status/404").await.status, 404);
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible, copies.completed), (3, 1), "{copies:?}");
    assert_eq!((copies.dropped["method"], copies.dropped["not_accepted"], shadow.count()), (1, 1, 1));
}

#[tokio::test]
async fn probes_are_neither_copied_nor_counted() {
    let (app, shadow, proxy) = both(100, "").await;
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("GET", "/healthz").header("user-agent", "kube-probe/1.34").body(empty()).unwrap();
    assert_eq!(client.send(request).await.unwrap().status, 200);
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible_requests, proxy.cluster("app").await.total_us.len(), app.count(), shadow.count()), (0, 0, 1, 0));
}

#[tokio::test]
async fn an_upload_that_breaks_off_ends_its_copy() {
    let (_app, shadow, proxy) = both(100, "").await;
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\npart").await.unwrap();
    eventually("the copy waits for the body", || async { proxy.copies().await.in_flight == 1 }).await;
    drop(stream);
    let copies = proxy.settled().await;
    assert_eq!((copies.dropped.get("client_cancelled"), copies.buffered_bytes, shadow.count()), (Some(&1), 0, 0));
}

/// Under load, with a shadow that dies and comes back, the account closes whenever one looks.
#[tokio::test]
async fn the_account_closes_at_every_poll() {
    let (app, mut shadow, proxy) = both(100, "max_in_flight: 8, timeout: 0.3s, spread: 0.05s").await;
    assert_eq!(proxy.call("POST", "/runtime_modify?copies=150").await.0, 200);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|nth| {
            let (stop, address) = (stop.clone(), proxy.address);
            tokio::spawn(async move {
                let mut client = Client::h1(address).await;
                let mut sent = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = if nth % 2 == 0 { client.get("/wait/2").await } else { client.post("/upload", vec![1; 20_000]).await };
                    assert_eq!(answer.status, 200);
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for round in 0..60 {
        proxy.copies().await;
        if round % 20 == 10 {
            let address = shadow.address;
            drop(shadow);
            shadow = Backend::start_at("shadow", address).await;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut sent = 0;
    for task in load {
        sent += task.await.unwrap();
    }
    let copies = proxy.settled().await;
    assert_eq!((copies.eligible_requests, app.count() as u64), (sent, sent));
    assert!(copies.completed > 0 && copies.eligible > sent, "{copies:?}");
    assert_eq!(proxy.cluster("app").await.failures.values().sum::<u64>(), 0);
}

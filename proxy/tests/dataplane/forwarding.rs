//! Requests go through, over every pair of protocols, and come out as they should.

use super::backend::Backend;
use super::client::{Client, empty, eventually, full};
use super::program::{HTTP2, Proxy, cluster, config};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

async fn before(app: &Backend, more: &str) -> Proxy {
    Proxy::start(&config("", ALL, &cluster("app", &[app.address], more))).await
}

/// A body fed by hand.
struct Fed(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|b| b.map(|b| Ok(Frame::data(b))))
    }
}

#[tokio::test]
async fn every_pair_of_protocols() {
    let app = Backend::start("app").await;
    let (plain, two) = (before(&app, "").await, before(&app, HTTP2).await);
    for proxy in [&plain, &two] {
        for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
            assert_eq!(client.get("/a?b=c").await.text(), "app");
            assert_eq!(client.post("/echo", "a body").await.text(), "a body");
            assert_eq!(client.get("/bytes/300000").await.body.len(), 300_000);
        }
    }
    let seen = app.seen();
    let protocols: Vec<_> = seen.iter().map(|s| s.version).collect();
    assert!(
        protocols[..6].iter().all(|v| *v == http::Version::HTTP_11) && protocols[6..].iter().all(|v| *v == http::Version::HTTP_2),
        "{protocols:?}"
    );
    assert!(seen.iter().all(|s| s.authority == "app.test"), "{seen:?}");
    assert_eq!(seen[0].path, "/a?b=c");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start_with(&config("", ALL, &cluster("app", &[app.address], "")), &["--concurrency", "1"]).await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..50 {
        client.get("/bytes/1000").await;
    }
    assert_eq!((app.count(), app.connections()), (50, 1));
    let cluster = proxy.cluster("app").await;
    assert_eq!((cluster.requests, cluster.responses[1], cluster.in_flight, cluster.bytes_received), (50, 50, 0, 50_000));
    assert_eq!((cluster.total_us.len(), cluster.first_byte_us.len(), cluster.connect_us.len()), (50, 50, 1));
    let down = proxy.telemetry().await.downstream;
    assert_eq!((down.requests, down.connections, down.connections_total), (50, 1, 1));
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let app = Backend::start("app").await;
    for (proxy, two) in [(before(&app, "").await, false), (before(&app, HTTP2).await, true)] {
        let mut client = if two { Client::h2(proxy.address).await } else { Client::h1(proxy.address).await };
        let (feed, fed) = mpsc::channel(1);
        let request = client.request("POST", "/echo").body(Fed(fed).boxed()).unwrap();
        feed.send(Bytes::from_static(b"first")).await.unwrap();
        let mut answer = client.start(request).await.unwrap().into_body();
        // The beginning is back before the end was sent.
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        feed.send(Bytes::from_static(b"second")).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
        drop(feed);
        assert!(answer.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn headers_on_the_way_up() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut client = Client::h1(proxy.address).await;
    let request =
        client.request("GET", "/x").header("connection", "x-mine").header("x-mine", "1").header("x-kept", "2").body(empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    let request = client.request("GET", "/x").header("x-request-id", "mine").body(empty()).unwrap();
    client.send(request).await.unwrap();
    let seen = app.seen();
    assert_eq!((seen[0].header("x-mine"), seen[0].header("x-kept"), seen[0].header("x-forwarded-proto")), ("", "2", "http"));
    assert_eq!((seen[0].header("x-request-id").len(), seen[1].header("x-request-id")), (36, "mine"));
    assert_eq!((answer.header("server"), answer.header("x-backend")), ("foreshadow", "app"));
    assert!(!answer.header("date").is_empty());
}

#[tokio::test]
async fn an_edge_trusts_nothing_that_clients_say() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("          use_remote_address: true", ALL, &cluster("app", &[app.address], ""))).await;
    let mut client = Client::h1(proxy.address).await;
    let spoofed = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https"), ("x-request-id", "mine")];
    let request = spoofed.iter().fold(client.request("GET", "/x"), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
    client.send(request).await.unwrap();
    let seen = app.seen();
    assert_eq!((seen[0].header("x-forwarded-for"), seen[0].header("x-forwarded-proto")), ("9.9.9.9,127.0.0.1", "http"));
    assert_ne!(seen[0].header("x-request-id"), "mine");
}

#[tokio::test]
async fn answers_without_bodies() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    for mut client in [Client::h1(proxy.address).await, Client::h2(proxy.address).await] {
        let request = client.request("HEAD", "/bytes/1234").body(empty()).unwrap();
        let head = client.send(request).await.unwrap();
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "1234", 0));
        for status in [204, 304, 404] {
            assert_eq!(client.get(&format!("/status/{status}")).await.status, status);
        }
        assert_eq!(client.get("/bytes/10").await.body.len(), 10);
    }
    let cluster = proxy.cluster("app").await;
    assert_eq!(cluster.responses, [0, 6, 2, 2, 0]);
}

#[tokio::test]
async fn routes_by_path_and_header_with_rewrites() {
    let (app, other) = (Backend::start("app").await, Backend::start("other").await);
    let routes = "              - { match: { path: /direct }, direct_response: { status: 418, body: { inline_string: teapot } } }
              - match: { prefix: /, headers: [{ name: x-to, string_match: { exact: other } }] }
                route: { cluster: other, prefix_rewrite: /new/, host_rewrite_literal: other.test }
                request_headers_to_add: [{ header: { key: x-added, value: up } }]
                response_headers_to_add: [{ header: { key: x-added, value: down } }]
              - { match: { prefix: /half }, route: { weighted_clusters: { clusters: [{ name: app, weight: 50 }, { name: other, weight: 50 }] } } }
              - { match: { prefix: /app }, route: { cluster: app } }
";
    let proxy = Proxy::start(&config("", routes, &(cluster("app", &[app.address], "") + &cluster("other", &[other.address], "")))).await;
    let mut client = Client::h1(proxy.address).await;
    let direct = client.get("/direct").await;
    assert_eq!((direct.status, direct.text()), (418, "teapot"));
    assert_eq!(client.get("/app").await.text(), "app");
    let request = client.request("GET", "/x?y=1").header("x-to", "other").body(empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    assert_eq!((answer.text(), answer.header("x-added")), ("other", "down"));
    let seen = &other.seen()[0];
    assert_eq!((seen.path.as_str(), seen.authority.as_str(), seen.header("x-added")), ("/new/x?y=1", "other.test", "up"));
    assert_eq!(client.get("/nowhere").await.status, 404);
    for _ in 0..200 {
        client.get("/half").await;
    }
    // 200 fair coins: 100 +- 7; six standard deviations are allowed.
    let heads = app.seen().iter().filter(|s| s.path == "/half").count();
    assert!((58..=142).contains(&heads), "{heads}");
    assert_eq!(proxy.telemetry().await.downstream.refused.get("no_route"), Some(&1));
}

#[tokio::test]
async fn a_long_upload_is_not_under_the_timeout_of_the_answer() {
    let app = Backend::start("app").await;
    let routes = "              - { match: { prefix: / }, route: { cluster: app, timeout: 0.3s } }\n";
    let proxy = Proxy::start(&config("", routes, &cluster("app", &[app.address], ""))).await;
    let mut client = Client::h1(proxy.address).await;
    let (feed, fed) = mpsc::channel(1);
    let request = client.request("POST", "/upload").body(Fed(fed).boxed()).unwrap();
    let slowly = async {
        for _ in 0..5 {
            feed.send(Bytes::from_static(b"part")).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        }
        drop(feed);
    };
    let (answer, ()) = tokio::join!(client.send(request), slowly);
    assert_eq!((answer.unwrap().status, app.seen()[0].body.len()), (200, 20));
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let body: Bytes = (0..8 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into();
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("POST", "/upload").body(full(body.clone())).unwrap();
    assert_eq!(client.send(request).await.unwrap().status, 200);
    assert!(app.seen()[0].body == body);
    eventually("all bytes are counted", || async { proxy.cluster("app").await.bytes_sent == 8 << 20 }).await;
}

/// A body of frames at hand, trailers among them.
struct WithTrailers(std::collections::VecDeque<Frame<Bytes>>);

impl hyper::body::Body for WithTrailers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

#[tokio::test]
async fn grpc_with_trailers_passes_both_ways() {
    let app = Backend::start("app").await;
    let retried = "              - { match: { prefix: / }, route: { cluster: app, retry_policy: { retry_on: unavailable } } }\n";
    for routes in [ALL, retried] {
        let proxy = Proxy::start(&config("", routes, &cluster("app", &[app.address], HTTP2))).await;
        let mut client = Client::h2(proxy.address).await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-checksum", http::HeaderValue::from_static("7"));
        let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\0")), Frame::trailers(trailers)];
        let request =
            client.request("POST", "/grpc.health.v1.Health/Check").header("content-type", "application/grpc").header("te", "trailers");
        let answer = client.start(request.body(WithTrailers(frames.into_iter().collect()).boxed()).unwrap()).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &http::HeaderValue::from_static("application/grpc"))
        );
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(&body.to_bytes()[..], b"\0\0\0\0\x02\x08\x01");
        let seen = app.seen().pop().unwrap();
        assert_eq!((seen.header("te"), seen.version, &seen.body[..]), ("trailers", http::Version::HTTP_2, &b"\0\0\0\0\0"[..]));
        assert_eq!(seen.trailers["x-checksum"], "7");
    }
}

//! What clients see when something breaks, and what they must not see.

use super::backend::Backend;
use super::client::{Client, empty, eventually};
use super::program::{Proxy, cluster, config};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app, timeout: 0.2s } }\n";

async fn before(addresses: &[SocketAddr], more: &str) -> Proxy {
    Proxy::start_with(&config("", ALL, &cluster("app", addresses, more)), &["--concurrency", "1"]).await
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn nobody_listens() {
    let proxy = before(&[nobody().await], "").await;
    let answer = Client::h1(proxy.address).await.get("/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("upstream connect error or disconnect/reset before headers."), "{}", answer.text());
    let cluster = proxy.cluster("app").await;
    assert_eq!((cluster.failures.get("connect"), cluster.in_flight, cluster.total_us.len()), (Some(&1), 0, 0));
}

#[tokio::test]
async fn one_of_two_endpoints_is_gone() {
    let app = Backend::start("app").await;
    let proxy = before(&[nobody().await, app.address], "").await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn no_endpoint_at_all() {
    let proxy = before(&[], "").await;
    let answer = Client::h1(proxy.address).await.get("/").await;
    assert_eq!((answer.status, answer.text()), (503, "no healthy upstream"));
}

#[tokio::test]
async fn too_slow() {
    let app = Backend::start("app").await;
    let proxy = before(&[app.address], "").await;
    let mut client = Client::h1(proxy.address).await;
    let answer = client.get("/wait/5000").await;
    assert_eq!((answer.status, answer.text()), (504, "upstream request timeout"));
    assert_eq!(client.get("/").await.status, 200);
    let cluster = proxy.cluster("app").await;
    assert_eq!((cluster.failures.get("timeout"), cluster.responses[1]), (Some(&1), 1));
}

#[tokio::test]
async fn a_kept_connection_that_closed_while_idle_is_nobodys_error() {
    let app = Backend::closing_on_second().await;
    let proxy = before(&[app.address], "").await;
    let mut client = Client::h1(proxy.address).await;
    // Every second request finds a connection that closes without a word: it goes again on a new one.
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "first");
    }
    assert!(proxy.cluster("app").await.failures.is_empty());
    // What must not be sent twice is not.
    let answer = client.post("/", "body").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
}

#[tokio::test]
async fn closed_after_each_answer() {
    let app = Backend::start("app").await;
    let proxy = before(&[app.address], "").await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/close").await.status, 200);
    }
    assert_eq!(app.connections(), 20);
}

#[tokio::test]
async fn thresholds() {
    let app = Backend::start("app").await;
    let breaker = "    circuit_breakers: { thresholds: [{ max_requests: 2 }] }\n";
    let proxy = before(&[app.address], breaker).await;
    let mut clients = [Client::h1(proxy.address).await, Client::h1(proxy.address).await, Client::h1(proxy.address).await];
    let [a, b, c] = &mut clients;
    let (a, b, c) = tokio::join!(a.get("/wait/150"), b.get("/wait/150"), c.get("/wait/150"));
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(proxy.cluster("app").await.failures.get("overflow"), Some(&1));
}

#[tokio::test]
async fn waiting_for_a_connection_is_bounded() {
    let app = Backend::start("app").await;
    let breaker = "    circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1 }] }\n";
    let proxy = before(&[app.address], breaker).await;
    let mut clients = [Client::h1(proxy.address).await, Client::h1(proxy.address).await, Client::h1(proxy.address).await];
    let [a, b, c] = &mut clients;
    let (a, b, c) = tokio::join!(a.get("/wait/60"), b.get("/wait/60"), c.get("/wait/60"));
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!((statuses, app.connections()), ([200, 200, 503], 1));
}

#[tokio::test]
async fn a_client_that_goes_away_is_nobodys_failure() {
    let app = Backend::start("app").await;
    let proxy = before(&[app.address], "").await;
    let mut client = Client::h1(proxy.address).await;
    let request = client.request("GET", "/wait/150").body(empty()).unwrap();
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), client.start(request)).await;
    assert!(gone.is_err());
    drop(client);
    eventually("the request is given up", || async { proxy.cluster("app").await.in_flight == 0 }).await;
    assert_eq!(proxy.cluster("app").await.failures.get("client_cancelled"), Some(&1));
}

#[tokio::test]
async fn requests_refused_before_routing() {
    let app = Backend::start("app").await;
    let proxy = before(&[app.address], "").await;
    for (head, status) in [
        ("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nx-long: LONG\r\n\r\n", "431"),
        ("no such thing\r\n\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(head.replace("LONG", &"x".repeat(100_000)).as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer[9..12], status.as_bytes(), "{head:?}");
    }
    assert_eq!(app.count(), 0);
    // An offer of HTTP/2 in HTTP/1.1 is no demand: it is served as it is.
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[9..12], b"200");
    assert_eq!(app.seen()[0].header("upgrade"), "");
}

#[tokio::test]
async fn idle_clients_are_let_go() {
    let app = Backend::start("app").await;
    let manager = "          common_http_protocol_options: { idle_timeout: 0.2s }";
    let proxy = Proxy::start(&config(manager, ALL, &cluster("app", &[app.address], ""))).await;
    for two in [false, true] {
        let mut client = if two { Client::h2(proxy.address).await } else { Client::h1(proxy.address).await };
        assert_eq!(client.get("/").await.status, 200);
        eventually("an idle connection is closed", || async { client.is_closed() }).await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off_and_waiting_clients_are_not() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("          request_headers_timeout: 0.3s", ALL, &cluster("app", &[app.address], ""))).await;
    let mut idle = Client::h1(proxy.address).await;
    idle.get("/").await;
    let mut slow = TcpStream::connect(proxy.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: a").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(super::client::PATIENCE, slow.read_to_end(&mut rest)).await.expect("cut off in time").unwrap_or_default();
    assert_eq!(idle.get("/").await.status, 200);
}

#[tokio::test]
async fn an_upload_that_stops_is_ended() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("          request_timeout: 0.2s", ALL, &cluster("app", &[app.address], ""))).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\npart").await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[9..12], b"408");
}

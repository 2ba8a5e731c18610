//! Connections between requests: what a resting one costs, and that nobody notices that it rested.

use super::backend::Backend;
use super::client::{PATIENCE, eventually};
use super::program::{Proxy, cluster, config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

async fn before(app: &Backend, manager: &str) -> Proxy {
    Proxy::start_with(&config(manager, ALL, &cluster("app", &[app.address], "")), &["--concurrency", "1"]).await
}

/// So many connections rest.
async fn rest(proxy: &Proxy, count: u64) {
    eventually("connections rest", || async { proxy.telemetry().await.downstream.connections_resting == count }).await;
}

/// Reads an answer whose body is `app`.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !said.ends_with(b"\r\n\r\napp") {
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("answered in time").unwrap();
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_connection_that_rested_goes_on() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    for nth in 0..3 {
        let request = match nth {
            0 => &b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            1 => b"POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody",
            _ => b"GET /c HTTP/1.1\r\nhost: a\r\n\r\n",
        };
        // The first bytes come alone: what wakes the connection is part of the request.
        stream.write_all(&request[..1]).await.unwrap();
        rest(&proxy, 0).await;
        stream.write_all(&request[1..]).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        rest(&proxy, 1).await;
    }
    assert_eq!(app.seen().iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    assert_eq!(app.seen()[1].body, "body");
    assert_eq!(proxy.telemetry().await.downstream.connections_total, 1);
}

/// An answer that its client does not read, and an upload that has stopped, are not rest.
#[tokio::test]
async fn what_is_under_way_does_not_rest() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut upload = TcpStream::connect(proxy.address).await.unwrap();
    upload.write_all(b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf").await.unwrap();
    let mut download = TcpStream::connect(proxy.address).await.unwrap();
    download.write_all(b"GET /bytes/8000000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    // One that came later rests: the others had their chance.
    let mut idle = TcpStream::connect(proxy.address).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    rest(&proxy, 1).await;
    upload.write_all(b"half").await.unwrap();
    assert!(answer(&mut upload).await.starts_with("HTTP/1.1 200"));
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, download.read_to_end(&mut all)).await.expect("in time").unwrap();
    assert!(all.len() > 8_000_000, "{}", all.len());
}

/// Half a head before the nap, the other half after it; and a head that never ends is still answered with 408.
#[tokio::test]
async fn a_head_in_two_halves_is_one_request() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "          request_headers_timeout: 4s").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    // The second request begins in the same packet as the first.
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HT").await.unwrap();
    answer(&mut stream).await;
    let mut idle = TcpStream::connect(proxy.address).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    rest(&proxy, 1).await;
    stream.write_all(b"TP/1.1\r\nhost: a\r\n\r\nGET").await.unwrap();
    answer(&mut stream).await;
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest)).await.expect("in time").unwrap();
    assert!(rest.starts_with("HTTP/1.1 408 Request Timeout\r\n") && rest.ends_with("\r\n\r\nrequest header timeout"), "{rest}");
    assert!(rest.contains("connection: close\r\n") && rest.contains("server: foreshadow\r\n") && rest.contains("\r\ndate: "), "{rest}");
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A connection that rests holds no buffers: 1,000 of them cost a small part of what as many busy ones need.
#[tokio::test]
async fn a_thousand_resting_connections_cost_little() {
    const COUNT: u64 = 1_000;
    const EACH: u64 = 8 << 10;
    const ITSELF: u64 = 12 << 20;
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut held = Vec::new();
    for _ in 0..COUNT {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        answer(&mut stream).await;
        held.push(stream);
    }
    let mut first = held.split_off(COUNT as usize - 1).remove(0);
    let with = std::cell::Cell::new(0);
    eventually("the connections rest", || async {
        with.set(resident(proxy.pid()));
        with.get() < ITSELF + COUNT * EACH
    })
    .await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
}

/// Lets this process have as many open files as it may ever have.
fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// To one endpoint, a worker keeps 1,024 connections that nobody uses. What comes back beyond that is closed, and counted.
#[tokio::test]
async fn connections_beyond_those_that_may_be_idle_are_closed_and_counted() {
    const KEPT: usize = 1_024;
    const BEYOND: usize = 6;
    more_files();
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let room = "    circuit_breakers: { thresholds: [{ max_connections: 2000, max_pending_requests: 2000, max_requests: 2000 }] }\n";
    let clusters = cluster("app", &[app.local_addr().unwrap()], room);
    let proxy = Proxy::start_with(&config("", ALL, &clusters), &["--concurrency", "1"]).await;
    let (mut clients, mut held) = (Vec::new(), Vec::new());
    for _ in 0..KEPT + BEYOND {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        clients.push(client);
        // Nobody is answered before everybody has asked: each needs a connection of its own.
        let (mut stream, _) = tokio::time::timeout(PATIENCE, app.accept()).await.expect("in time").unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(stream);
    }
    for stream in &mut held {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\napp").await.unwrap();
    }
    for client in &mut clients {
        answer(client).await;
    }
    assert_eq!(proxy.cluster("app").await.events["idle_overflow"], BEYOND as u64);
    let (_, metrics) = proxy.call("GET", "/metrics").await;
    assert!(metrics.contains(&format!("foreshadow_cluster_idle_overflow_total{{envoy_cluster_name=\"app\"}} {BEYOND}\n")), "{metrics}");
    let closed = || held.iter().filter(|s| matches!(s.try_read(&mut [0; 16]), Ok(0))).count();
    eventually("those beyond are closed", || async { closed() == BEYOND }).await;
}

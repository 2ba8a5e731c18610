//! Clients that mean harm, or do not know better: answered or cut off, and everybody else is served meanwhile.

use super::backend::Backend;
use super::client::{Client, PATIENCE, eventually, say};
use super::program::{HTTP2, Proxy, cluster, config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

async fn before(app: &Backend, manager: &str) -> Proxy {
    Proxy::start_with(&config(manager, ALL, &cluster("app", &[app.address], "")), &["--concurrency", "1"]).await
}

/// What two parsers could take for different numbers of requests is refused, and the connection with it.
#[tokio::test]
async fn smuggling_is_refused() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    for (what, request) in [
        ("two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        ("a list of lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 6\r\n\r\nhello"),
        ("a signed length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello"),
        ("a length that is no number", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5x\r\n\r\nhello"),
        ("chunked, but not last", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("a folded header", "POST / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n content-length: 5\r\n\r\nhello"),
        ("a blank before the colon", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 5\r\n\r\nhello"),
        ("a bare carriage return", "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\rx-c: d\r\n\r\n"),
        ("a zero byte", "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n"),
        ("a chunk size with a sign", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
        (
            "an endless chunk size",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let said = say(proxy.address, format!("{request}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        let answers = said.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !said.contains("HTTP/1.1 200"), "{what}: {said}");
        assert!(app.seen().iter().all(|s| s.path != "/smuggled"), "{what}");
    }
    // Both framings at once: the length is not passed on, and nothing after such a request is taken.
    say(proxy.address, b"POST /both HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(app.seen().iter().all(|s| s.path != "/smuggled"), "{:?}", app.seen());
    assert_eq!(Client::h1(proxy.address).await.get("/after").await.status, 200);
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(200_000));
    for headers in [many, long] {
        let said = say(proxy.address, format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    }
    let said = say(proxy.address, format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(200_000)).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
    assert_eq!(app.count(), 0);
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 200);
}

/// The bound on connections is the process's, whichever worker has them; who goes makes room.
#[tokio::test]
async fn connections_are_bounded_for_the_whole_process() {
    const MONITOR: &str = "overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      \"@type\": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 3
";
    let app = Backend::start("app").await;
    let file = format!("{MONITOR}{}", config("", ALL, &cluster("app", &[app.address], "")));
    let proxy = Proxy::start_with(&file, &["--concurrency", "4"]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = Client::h1(proxy.address).await;
        assert_eq!(client.get("/").await.status, 200);
        held.push(client);
    }
    for _ in 0..8 {
        assert_eq!(say(proxy.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await, "");
    }
    let telemetry = proxy.telemetry().await;
    assert_eq!((telemetry.listeners[0].events["downstream_global_cx_overflow"], telemetry.downstream.connections), (8, 3));
    drop(held.pop());
    eventually("there is room", || async {
        say(proxy.address, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.contains(" 200 ")
    })
    .await;
}

/// Without SO_REUSEPORT the workers share one socket, and nobody else can listen beside them.
#[tokio::test]
async fn one_socket_for_all_workers() {
    let app = Backend::start("app").await;
    let file = config("", ALL, &cluster("app", &[app.address], "")).replacen(
        "  - name: inbound\n",
        "  - name: inbound\n    enable_reuse_port: false\n",
        1,
    );
    let proxy = Proxy::start_with(&file, &["--concurrency", "4"]).await;
    for _ in 0..20 {
        assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 200);
    }
    let beside = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    beside.set_reuse_port(true).unwrap();
    assert!(beside.bind(&proxy.address.into()).is_err());
}

/// What a client does not take is held within the listener's and the cluster's limits, and the application waits.
#[tokio::test]
async fn what_is_held_for_a_client_that_does_not_read_is_bounded() {
    const WHOLE: u64 = 32 << 20;
    const LIMIT: u64 = 32 << 10;
    let app = Backend::start("app").await;
    let limit = format!("    per_connection_buffer_limit_bytes: {LIMIT}\n");
    for (clusters, upstream) in [(limit.clone(), 64 << 10), (limit.clone() + HTTP2, 64 << 10)] {
        let clusters = cluster("app", &[app.address], &clusters);
        let file = config("", ALL, &clusters).replacen("  - name: inbound\n", &format!("  - name: inbound\n{limit}"), 1);
        let proxy = Proxy::start_with(&file, &["--concurrency", "1"]).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let path = format!("/bytes/{WHOLE}");
        let head = [&[0x82, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), &[0x41, 1], b"a"].concat();
        // A stream window of HTTP/2's first size, and never a word to make it larger.
        stream.write_all(&[PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0x5, 1, &head)].concat()).await.unwrap();
        let (last, same) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        eventually("nothing moves any more", || async {
            let now = proxy.cluster("app").await.bytes_received;
            same.set(if now == last.replace(now) && now > 0 { same.get() + 1 } else { 0 });
            same.get() >= 50
        })
        .await;
        // What was sent within the window, what waits behind it, and what was read ahead of that, each with a part that came whole.
        let most = (64 << 10) + LIMIT + 2 * upstream + (32 << 10);
        assert!(last.get() <= most, "{} of at most {most}", last.get());
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `GET http://a/wait/50`, every field by the static table or literally (RFC 7541).
fn get() -> Vec<u8> {
    [&[0x82, 0x86, 0x04, 8][..], b"/wait/50", &[0x41, 1], b"a"].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// CVE-2023-44487: streams opened and reset at once. The connection is ended; others are served, and no request stays under way.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for nth in 0..5_000_u32 {
        let stream = 2 * nth + 1;
        bytes.extend(frame(1, 0x5, stream, &get()));
        bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut said = Vec::new();
    let (_, closed) = tokio::join!(write.write_all(&bytes), tokio::time::timeout(PATIENCE, read.read_to_end(&mut said)));
    // GOAWAY is frame type 7; a reset of the connection is as good.
    let _ = closed.expect("the connection is ended");
    assert!(app.count() < 1_000, "{} requests reached the application", app.count());
    assert_eq!(Client::h2(proxy.address).await.get("/").await.status, 200);
    eventually("nothing stays under way", || async { proxy.cluster("app").await.in_flight == 0 }).await;
}

/// CVE-2024-27316 and its kin: a head that never ends.
#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let mut start = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0x1, 1, &get())].concat();
    start.extend(frame(9, 0, 1, &[0, 1, b'x', 1, b'y']));
    stream.write_all(&start).await.unwrap();
    let more: Vec<u8> = (0..64)
        .flat_map(|_| frame(9, 0, 1, &[0, 3, b'x', b'-', b'a', 120].iter().copied().chain([b'y'; 120]).collect::<Vec<_>>()))
        .collect();
    let (mut read, mut write) = stream.split();
    let writing = async {
        // 8 KiB a turn; the proxy has to hang up long before all of it is taken.
        for _ in 0..10_000 {
            if write.write_all(&more).await.is_err() {
                return true;
            }
        }
        false
    };
    let mut said = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, read.read_to_end(&mut said));
    let (cut, _) = tokio::join!(writing, reading);
    assert!(cut, "80 MB of one head were taken");
    assert_eq!(app.count(), 0);
    assert_eq!(Client::h2(proxy.address).await.get("/").await.status, 200);
}

#[tokio::test]
async fn pings_and_settings_without_end_harm_nobody() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let flood: Vec<u8> = (0..500).flat_map(|_| [frame(6, 0, 0, &[0; 8]), frame(4, 0, 0, &[])].concat()).collect();
    // Nobody reads the answers: the proxy has to stop reading, or to hang up, before they fill its memory.
    let flooding = async {
        for _ in 0..5_000 {
            if stream.write_all(&flood).await.is_err() {
                return;
            }
        }
    };
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(2), flooding).await;
    let _ = stopped;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 200);
}

#[tokio::test]
async fn old_and_long_lived_connections() {
    let app = Backend::start("app").await;
    let proxy = before(&app, "").await;
    let said = say(proxy.address, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.") && said.contains(" 426 "), "{said}");
    let accepting = before(&app, "          http_protocol_options: { accept_http_10: true }").await;
    assert!(say(accepting.address, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await.contains(" 200 "));
    let two = before(&app, "          common_http_protocol_options: { max_requests_per_connection: 2 }").await;
    for h2 in [false, true] {
        let mut client = if h2 { Client::h2(two.address).await } else { Client::h1(two.address).await };
        assert_eq!((client.get("/").await.status, client.is_closed()), (200, false));
        assert_eq!(client.get("/").await.status, 200);
        eventually("the connection is ended", || async { client.is_closed() }).await;
    }
    let short = before(&app, "          common_http_protocol_options: { max_connection_duration: 0.5s }").await;
    let mut client = Client::h1(short.address).await;
    let answer = client.get("/wait/800").await;
    assert_eq!(answer.status, 200, "what is under way is finished");
    eventually("the connection is ended", || async { client.is_closed() }).await;
}

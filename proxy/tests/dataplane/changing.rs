//! Connections that change their protocol: WebSocket's way, byte for byte.

use super::client::{Client, PATIENCE, eventually};
use super::program::{Proxy, cluster, config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app, timeout: 0.3s } }\n";
const WEBSOCKET: &str = "          upgrade_configs: [{ upgrade_type: websocket }]";
const ASKS: &str =
    "GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";

/// Answers with `answer`, sends a greeting at once, then sends every byte back in upper case, and at the end of its input a farewell.
async fn echo(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = count.clone();
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::Relaxed);
                let head = head(&mut stream).await;
                assert!(
                    head.contains("upgrade: websocket") && head.contains("connection: Upgrade") && head.contains("sec-websocket-key: k"),
                    "{head}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut bytes = vec![0; 65_536];
                while let Ok(n) = stream.read(&mut bytes).await {
                    let back = if n == 0 { b"bye".to_vec() } else { bytes[..n].to_ascii_uppercase() };
                    if stream.write_all(&back).await.is_err() || n == 0 {
                        break;
                    }
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (address, open)
}

/// Reads a head, and not a byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("a head in time").expect("a head"));
    }
    String::from_utf8(bytes).unwrap()
}

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\nhello";

#[tokio::test]
async fn bytes_go_both_ways_until_both_sides_are_done() {
    let (app, open) = echo(SWITCHED).await;
    let proxy = Proxy::start(&config(WEBSOCKET, ALL, &cluster("app", &[app], ""))).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    // The first words come with the request.
    stream.write_all(format!("{ASKS}first").as_bytes()).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: websocket") && answer.contains("sec-websocket-accept: a"),
        "{answer}"
    );
    let mut bytes = [0; 10];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"helloFIRST");
    // Longer than any buffer, both ways at once; and longer than the route's timeout, which does not count.
    let sent: Vec<u8> = (0..2_000_000).map(|n| b'a' + (n % 26) as u8).collect();
    let wanted = sent.to_ascii_uppercase();
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        write.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, read.read_to_end(&mut got)).await.expect("an end").unwrap();
    writing.await.unwrap();
    assert!(got.strip_suffix(b"bye").is_some_and(|g| g == wanted), "{} bytes", got.len());
    eventually("the endpoint's connection is over", || async { open.load(Ordering::Relaxed) == 0 }).await;
    let cluster = proxy.cluster("app").await;
    assert_eq!((cluster.requests, cluster.in_flight, cluster.responses[0], cluster.total_us.len()), (1, 0, 1, 0));
    assert!(cluster.bytes_sent >= 2_000_000 && cluster.bytes_received >= 2_000_000 && cluster.failures.is_empty(), "{cluster:?}");
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_ended() {
    let (app, _) = echo(SWITCHED).await;
    let manager = format!("{WEBSOCKET}\n          stream_idle_timeout: 0.3s");
    let proxy = Proxy::start(&config(&manager, ALL, &cluster("app", &[app], ""))).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ASKS.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("ended").unwrap();
    assert!(rest.ends_with(b"hello"));
    assert_eq!(proxy.cluster("app").await.failures.get("idle"), Some(&1));
}

#[tokio::test]
async fn a_protocol_is_changed_only_where_that_is_allowed() {
    let (app, _) = echo(SWITCHED).await;
    let refusing = "              - { match: { prefix: / }, route: { cluster: app, upgrade_configs: [{ upgrade_type: websocket, enabled: false }] } }\n";
    let allowing = "              - { match: { prefix: / }, route: { cluster: app, upgrade_configs: [{ upgrade_type: WebSocket }] } }\n";
    for (manager, route, status) in [("", ALL, "403"), (WEBSOCKET, refusing, "403"), ("", allowing, "101"), (WEBSOCKET, ALL, "101")] {
        let proxy = Proxy::start_with(&config(manager, route, &cluster("app", &[app], "")), &["--concurrency", "1"]).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(ASKS.as_bytes()).await.unwrap();
        assert_eq!(&head(&mut stream).await[9..12], status, "{manager} {route}");
    }
}

#[tokio::test]
async fn an_endpoint_that_declines_is_answered_for_as_usual() {
    let (app, _) = echo("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno").await;
    let proxy = Proxy::start(&config(WEBSOCKET, ALL, &cluster("app", &[app], ""))).await;
    let mut client = Client::h1(proxy.address).await;
    let request =
        client.request("GET", "/").header("connection", "upgrade").header("upgrade", "websocket").header("sec-websocket-key", "k");
    let answer = client.send(request.body(super::client::empty()).unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.text()), (400, "no"));
}

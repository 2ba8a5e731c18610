//! CONNECT, and protocols asked for over HTTP/2 (RFC 8441): each side of the proxy has its own HTTP, the bytes are the same.

use super::client::{Client, PATIENCE, empty, eventually};
use super::program::{HTTP2, Proxy, cluster, config};
use http::Request;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ASKS: &str = "CONNECT db.test:5432 HTTP/1.1\r\nhost: db.test:5432\r\n\r\n";
/// A tunnel that ends here.
const ENDS: &str = "              - { match: { connect_matcher: {} }, route: { cluster: app, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }\n";
/// One that goes on.
const GOES_ON: &str =
    "              - { match: { connect_matcher: {} }, route: { cluster: app, upgrade_configs: [{ upgrade_type: CONNECT }] } }\n";
const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";
/// Both kinds of requests are let through, over both protocols.
const OPEN: &str = "          upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: CONNECT }]
          http2_protocol_options: { allow_connect: true }";

/// Sends every byte back in upper case, then closes; with an `answer`, waits for a head first, which it hands out.
async fn echo(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                if !answer.is_empty() {
                    // The test may be over.
                    let _ = heads.send(head(&mut stream).await);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..n].to_ascii_uppercase()).await.unwrap();
                }
            });
        }
    });
    (address, seen)
}

/// Reads a head, and not a byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("a head in time").expect("a head"));
    }
    String::from_utf8(bytes).unwrap()
}

/// Says something, hears it back in upper case, and closes.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("an echo in time").unwrap();
    assert_eq!(&bytes, b"HELLO");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
    assert!(rest.is_empty());
}

/// Every tunnel was told of, and none is open any more.
async fn closed(proxy: &Proxy, requests: u64) {
    eventually("the tunnel is over", || async { proxy.cluster("app").await.in_flight == 0 }).await;
    let cluster = proxy.cluster("app").await;
    assert!(cluster.requests == requests && cluster.failures.is_empty(), "{cluster:?}");
    assert!(cluster.bytes_sent >= 5 * requests && cluster.bytes_received >= 5 * requests, "{cluster:?}");
}

async fn connect_h1(proxy: &Proxy) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ASKS.as_bytes()).await.unwrap();
    (head(&mut stream).await, stream)
}

/// Asks over HTTP/2; status and stream.
async fn connect_h2(proxy: &Proxy, request: Request<()>) -> (u16, Option<TokioIo<hyper::upgrade::Upgraded>>) {
    let mut client = Client::h2(proxy.address).await;
    let mut answer = client.start(request.map(|()| empty())).await.unwrap();
    let status = answer.status().as_u16();
    let stream = if status == 200 { Some(TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap())) } else { None };
    (status, stream)
}

#[tokio::test]
async fn a_tunnel_ends_here() {
    let (app, _) = echo("").await;
    let proxy = Proxy::start(&config(OPEN, ENDS, &cluster("app", &[app], ""))).await;
    let (answer, stream) = connect_h1(&proxy).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("content-length") && !answer.contains("chunked"), "{answer}");
    talk(stream).await;
    closed(&proxy, 1).await;
    let (status, stream) = connect_h2(&proxy, Request::connect("db.test:5432").body(()).unwrap()).await;
    assert_eq!(status, 200);
    talk(stream.unwrap()).await;
    closed(&proxy, 2).await;
}

#[tokio::test]
async fn a_tunnel_goes_on_over_either_protocol() {
    let (app, mut heads) = echo("HTTP/1.1 200 OK\r\n\r\n").await;
    let near = Proxy::start(&config(OPEN, GOES_ON, &cluster("app", &[app], ""))).await;
    let (answer, stream) = connect_h1(&near).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    talk(stream).await;
    let asked = heads.recv().await.unwrap();
    assert!(asked.starts_with("CONNECT db.test:5432 HTTP/1.1\r\n") && asked.contains("host: db.test:5432"), "{asked}");
    closed(&near, 1).await;
    // Through another proxy, over HTTP/2 between the two.
    let far = Proxy::start(&config(OPEN, GOES_ON, &cluster("app", &[near.address], HTTP2))).await;
    let (answer, stream) = connect_h1(&far).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    talk(stream).await;
    assert!(heads.recv().await.unwrap().starts_with("CONNECT db.test:5432 HTTP/1.1\r\n"));
    closed(&far, 1).await;
    closed(&near, 2).await;
}

#[tokio::test]
async fn a_tunnel_is_made_only_where_that_is_allowed() {
    let (app, _) = echo("").await;
    let off = ENDS.replace("CONNECT, ", "CONNECT, enabled: false, ");
    for (manager, routes, status) in [(OPEN, ALL, "404"), ("", &*off, "403"), (OPEN, &*off, "403"), ("", ENDS, "200")] {
        let proxy = Proxy::start_with(&config(manager, routes, &cluster("app", &[app], "")), &["--concurrency", "1"]).await;
        assert_eq!(&connect_h1(&proxy).await.0[9..12], status, "{manager} {routes}");
    }
    // Who refuses is passed on, and the connection ends.
    let (app, _) = echo("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno").await;
    let proxy = Proxy::start(&config(OPEN, GOES_ON, &cluster("app", &[app], ""))).await;
    let (answer, mut stream) = connect_h1(&proxy).await;
    assert!(answer.starts_with("HTTP/1.1 407 ") && answer.contains("connection: close"), "{answer}");
    let mut body = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut body)).await.expect("an end in time").unwrap();
    assert_eq!(body, b"no");
    // Nobody is there.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(&config(OPEN, ENDS, &cluster("app", &[dead], ""))).await;
    assert!(connect_h1(&proxy).await.0.starts_with("HTTP/1.1 503 "));
    assert_eq!(proxy.cluster("app").await.failures.get("connect"), Some(&1));
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\n";

#[tokio::test]
async fn websockets_over_http2_reach_an_application_of_http1() {
    let (app, mut heads) = echo(SWITCHED).await;
    let proxy = Proxy::start(&config(OPEN, ALL, &cluster("app", &[app], ""))).await;
    let asks = || {
        let protocol = hyper::ext::Protocol::from_static("websocket");
        Request::connect("http://app.test/chat").extension(protocol).header("sec-websocket-version", "13").body(()).unwrap()
    };
    let (status, stream) = connect_h2(&proxy, asks()).await;
    assert_eq!(status, 200);
    talk(stream.unwrap()).await;
    let asked = heads.recv().await.unwrap();
    assert!(
        asked.starts_with("GET /chat HTTP/1.1\r\n") && asked.contains("upgrade: websocket") && asked.contains("connection: Upgrade"),
        "{asked}"
    );
    // RFC 8441 has no key; RFC 6455 wants one of 16 bytes.
    let key = asked.lines().find_map(|l| l.strip_prefix("sec-websocket-key: ")).expect("a key");
    assert!(key.len() == 24 && key.ends_with("=="), "{key}");
    closed(&proxy, 1).await;
    let proxy = Proxy::start(&config("          http2_protocol_options: { allow_connect: true }", ALL, &cluster("app", &[app], ""))).await;
    assert_eq!(connect_h2(&proxy, asks()).await.0, 403);
}

#[tokio::test]
async fn websockets_cross_an_http2_cluster() {
    let (app, mut heads) = echo(SWITCHED).await;
    let near = Proxy::start(&config(OPEN, ALL, &cluster("app", &[app], ""))).await;
    let far = Proxy::start(&config(OPEN, ALL, &cluster("app", &[near.address], HTTP2))).await;
    let mut stream = TcpStream::connect(far.address).await.unwrap();
    let asks = "GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";
    stream.write_all(asks.as_bytes()).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: websocket") && answer.contains("sec-websocket-accept: a"),
        "{answer}"
    );
    talk(stream).await;
    let asked = heads.recv().await.unwrap();
    assert!(asked.contains("sec-websocket-key: k") && asked.contains("upgrade: websocket"), "{asked}");
    closed(&far, 1).await;
    closed(&near, 1).await;
}

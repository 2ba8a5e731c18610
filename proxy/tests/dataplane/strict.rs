//! What does not keep to the protocol, on either side: refused, counted and written down as Envoy 1.40 does it.

use super::backend::Backend;
use super::client::{Client, PATIENCE, eventually, say};
use super::program::{Proxy, cluster, config};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const ALL: &str = "              - { match: { prefix: /dead }, route: { cluster: dead } }
              - { match: { prefix: /slow }, route: { cluster: app, prefix_rewrite: /wait/5000, timeout: 0.1s } }
              - { match: { prefix: / }, route: { cluster: app } }
";

fn clusters(app: SocketAddr) -> String {
    cluster("app", &[app], "") + &cluster("dead", &[], "")
}

/// RFC 9112, section 3.2. (Envoy joins them with a comma and passes them on.)
#[tokio::test]
async fn two_hosts_are_refused() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("", ALL, &clusters(app.address))).await;
    for second in ["a", "b"] {
        let said = say(proxy.address, format!("GET / HTTP/1.1\r\nhost: a\r\nhost: {second}\r\n\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("connection: close"), "{said}");
    }
    assert_eq!(app.count(), 0);
}

/// RFC 9112, section 3.2.1: what goes on has a path. Found by fuzzing.
#[tokio::test]
async fn a_target_without_a_path_is_for_the_root() {
    let app = Backend::start("app").await;
    let routes = "              - { match: { prefix: / }, route: { cluster: app } }\n";
    let proxy = Proxy::start(&config("", routes, &cluster("app", &[app.address], ""))).await;
    for target in ["http://a.test?b=c", "http://a.test"] {
        let said = say(proxy.address, format!("GET {target} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{target}: {said}");
    }
    assert_eq!(app.seen().iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["/?b=c", "/"]);
}

#[tokio::test]
async fn a_met_expectation_ends_here() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("", ALL, &clusters(app.address))).await;
    for (expect, passed) in [("100-Continue", ""), ("something", "something")] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\nexpect: {expect}\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
        let said = say(proxy.address, request.as_bytes()).await;
        assert_eq!(said.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), passed.is_empty(), "{said}");
        assert_eq!(app.seen().last().unwrap().header("expect"), passed);
    }
}

/// An application whose answer says its length in two ways, once for each connection.
async fn two_lengths() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
            let _ = stream.write_all(answer).await;
            // Stays open, as one would that is to be used again.
            let _ = stream.read(&mut head).await;
        }
    });
    address
}

#[tokio::test]
async fn an_answer_of_two_lengths_is_nobodys() {
    let proxy = Proxy::start(&config("", ALL, &clusters(two_lengths().await))).await;
    for _ in 0..2 {
        let answer = Client::h1(proxy.address).await.get("/").await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().ends_with("reset reason: protocol error"), "{}", answer.text());
    }
    assert_eq!(proxy.cluster("app").await.failures["reset"], 2);
}

/// Envoy counts what it answers itself, for want of an answer, among the cluster's answers.
#[tokio::test]
async fn own_answers_are_counted() {
    let app = Backend::start("app").await;
    let proxy = Proxy::start(&config("", ALL, &clusters(app.address))).await;
    let mut client = Client::h1(proxy.address).await;
    for (path, status) in [("/dead", 503), ("/slow", 504), ("/status/404", 404), ("/", 200)] {
        assert_eq!(client.get(path).await.status, status);
    }
    assert_eq!(proxy.cluster("dead").await.own_responses, [0, 0, 0, 0, 1]);
    let app = proxy.cluster("app").await;
    assert_eq!((app.responses, app.own_responses), ([0, 1, 0, 1, 0], [0, 0, 0, 0, 1]));
    assert_eq!(proxy.telemetry().await.downstream.responses, [0, 1, 0, 1, 2]);
    let metrics = proxy.call("GET", "/stats/prometheus").await.1;
    for line in [
        "envoy_cluster_upstream_rq_xx{envoy_cluster_name=\"app\",envoy_response_code_class=\"5\"} 1",
        "envoy_cluster_upstream_rq_xx{envoy_cluster_name=\"dead\",envoy_response_code_class=\"5\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_counted_and_written_down() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let format = "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT%\\n";
    let manager = format!(
        "          request_headers_timeout: 0.3s
          access_log: [{{ name: log, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
            path: {}, log_format: {{ text_format_source: {{ inline_string: \"{format}\" }} }} }} }}]",
        log.display()
    );
    let app = Backend::start("app").await;
    let proxy = Proxy::start_with(&config(&manager, ALL, &clusters(app.address)), &["--concurrency", "1"]).await;
    for (bytes, status) in [
        (&b"\x01 garbage\r\n\r\n"[..], "400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nno header\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nhos", "408"),
        // Not even enough to tell which HTTP it is.
        (b"PR", "408"),
    ] {
        let said = say(proxy.address, bytes).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{}: {said}", String::from_utf8_lossy(bytes));
    }
    // A frame of a type that does not begin HTTP/2.
    say(proxy.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x07\x00\x00\x00\x00\x00x").await;
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the lines are written", || async { read().lines().count() >= 4 }).await;
    let refused = "- - HTTP/1.1 400 DPE http1.codec_error 0";
    let late = "- - HTTP/1.1 408 - request_header_timeout 22";
    assert_eq!(read().lines().collect::<Vec<_>>(), [refused, refused, late, late]);
    let down = proxy.telemetry().await.downstream;
    assert_eq!((down.events["downstream_cx_protocol_error"], down.events["downstream_rq_header_timeout"]), (3, 2));
    assert_eq!((down.responses, down.requests), ([0, 0, 0, 4, 0], 0));
    assert_eq!(tokio::time::timeout(PATIENCE, Client::h1(proxy.address).await.get("/")).await.expect("in time").status, 200);
}

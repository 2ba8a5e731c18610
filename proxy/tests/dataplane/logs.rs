//! Access logs, header values made of what is known of an exchange, and local replies. What is right here was seen on Envoy 1.40.

use super::backend::Backend;
use super::client::{Client, empty, eventually};
use super::program::{Proxy, cluster, config};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const ROUTES: &str =
    "              - { match: { path: /direct }, name: direct, direct_response: { status: 200, body: { inline_string: hi } } }
              - { match: { prefix: /old/ }, name: renamed, route: { cluster: app, prefix_rewrite: /new/ } }
              - { match: { prefix: /slow }, route: { cluster: app, prefix_rewrite: /wait/3000, timeout: 0.2s } }
              - { match: { prefix: /dead }, route: { cluster: dead } }
              - { match: { prefix: /none }, route: { cluster: none } }
              - { match: { prefix: /app/ }, route: { cluster: app, prefix_rewrite: / } }
";

async fn start(manager: &str) -> (Backend, Proxy) {
    let app = Backend::start("app").await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let clusters = cluster("app", &[app.address], "") + &cluster("dead", &[dead], "") + &cluster("none", &[], "");
    // One worker: the lines of several come in turns.
    let proxy = Proxy::start_with(&config(manager, ROUTES, &clusters), &["--concurrency", "1"]).await;
    (app, proxy)
}

/// An access log to a file.
fn log(path: &Path, rest: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    format!("          access_log: [{{ name: log, typed_config: {{ \"@type\": {kind}, path: {}{rest} }} }}]\n", path.display())
}

async fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    eventually("the lines are written", || async { read().lines().count() >= count }).await;
    read().lines().map(str::to_owned).collect()
}

async fn get(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> super::client::Answer {
    let mut client = Client::h1(proxy.address).await;
    let request = headers.iter().fold(client.request("GET", path), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn the_default_format_is_envoys() {
    let dir = TempDir::new().unwrap();
    let (app, proxy) = start(&log(&dir.path().join("log"), "")).await;
    get(&proxy, "/old/a?q=1", &[("x-request-id", "id"), ("user-agent", "test"), ("x-forwarded-for", "1.2.3.4")]).await;
    get(&proxy, "/nowhere", &[("x-request-id", "id")]).await;
    let lines = lines(&dir.path().join("log"), 2).await;
    let (time, rest) = lines[0].split_once("] ").unwrap();
    assert!(time.len() == 25 && time.starts_with("[20") && time.ends_with('Z'), "{time}");
    let [before, after] = rest.split(" \"1.2.3.4\" ").collect::<Vec<_>>()[..] else { panic!("{rest}") };
    assert!(before.starts_with("\"GET /old/a?q=1 HTTP/1.1\" 200 - 0 3 "), "{before}");
    assert_eq!(after, format!("\"test\" \"id\" \"app.test\" \"{}\"", app.address));
    assert!(
        lines[1].contains("\"GET /nowhere HTTP/1.1\" 404 NR 0 0 ") && lines[1].ends_with(" \"-\" \"-\" \"id\" \"app.test\" \"-\""),
        "{}",
        lines[1]
    );
    assert_eq!(proxy.telemetry().await.downstream.access_log_written, 2);
}

#[tokio::test]
async fn json_keeps_types_and_says_how_it_ended() {
    let dir = TempDir::new().unwrap();
    let format = r#", log_format: { json_format: { code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", why: "%RESPONSE_CODE_DETAILS%",
            route: "%ROUTE_NAME%", cluster: "%UPSTREAM_CLUSTER%", a: "%REQ(none?x-a):3%", mix: "%PROTOCOL% x", n: 7, list: ["%BYTES_RECEIVED%", true] } }"#;
    let (_app, proxy) = start(&log(&dir.path().join("log"), format)).await;
    for (path, status) in [("/old/x", 200), ("/direct", 200), ("/slow", 504), ("/dead", 503), ("/none", 503)] {
        assert_eq!(get(&proxy, path, &[("x-a", "abcdef")]).await.status, status);
    }
    let mut client = Client::h1(proxy.address).await;
    assert_eq!(client.post("/app/x", "12345").await.status, 200);
    // A client that goes away before the answer.
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /app/wait/5000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the request is under way", || async { proxy.cluster("app").await.in_flight == 1 }).await;
    drop(stream);
    let said: Vec<Value> = lines(&dir.path().join("log"), 7).await.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let row = |code: u16, flags: &str, why: &str, route: Value, cluster: Value, a: Value, bytes: u64| json!({"code": code, "flags": flags, "why": why, "route": route, "cluster": cluster, "a": a, "mix": "HTTP/1.1 x", "n": 7, "list": [bytes, true]});
    let (a, none) = (json!("abc"), Value::Null);
    assert_eq!(said[0], row(200, "-", "via_upstream", json!("renamed"), json!("app"), a.clone(), 0));
    assert_eq!(said[1], row(200, "-", "direct_response", json!("direct"), none.clone(), a.clone(), 0));
    assert_eq!(said[2], row(504, "UT", "response_timeout", none.clone(), json!("app"), a.clone(), 0));
    let refused = "upstream_reset_before_response_started{remote_connection_failure}";
    assert_eq!(said[3], row(503, "UF", refused, none.clone(), json!("dead"), a.clone(), 0));
    assert_eq!(said[4], row(503, "UH", "no_healthy_upstream", none.clone(), json!("none"), a, 0));
    assert_eq!(said[5], row(200, "-", "via_upstream", none.clone(), json!("app"), none.clone(), 5));
    assert_eq!(said[6], row(0, "DC", "downstream_remote_disconnect", none.clone(), json!("app"), none, 0));
}

#[tokio::test]
async fn filters_choose_lines() {
    let dir = TempDir::new().unwrap();
    let compare = |op: &str, value: u32| {
        format!("status_code_filter: {{ comparison: {{ op: {op}, value: {{ default_value: {value}, runtime_key: k }} }} }}")
    };
    let either = format!("or_filter: {{ filters: [{{ {} }}, {{ response_flag_filter: {{ flags: [NR] }} }}] }}", compare("GE", 500));
    let both = format!("and_filter: {{ filters: [{{ not_health_check_filter: {{}} }}, {{ {either} }}] }}");
    let text = log(&dir.path().join("log"), ", log_format: { text_format_source: { inline_string: \"%RESPONSE_CODE% %REQ(:PATH)%\\n\" } }");
    let (_app, proxy) = start(&text.replace("name: log,", &format!("name: log, filter: {{ {both} }},"))).await;
    for path in ["/direct", "/none", "/app/status/404", "/nowhere", "/app/status/500"] {
        get(&proxy, path, &[]).await;
    }
    get(&proxy, "/none", &[("user-agent", "kube-probe/1")]).await;
    get(&proxy, "/none/last", &[]).await;
    assert_eq!(lines(&dir.path().join("log"), 4).await, ["503 /none", "404 /nowhere", "500 /status/500", "503 /none/last"]);
}

/// By a header of the request, and by how gRPC ended: as its answer says, or as its HTTP status means.
#[tokio::test]
async fn filters_look_at_headers_and_grpc() {
    for (filter, written) in [
        ("header_filter: { header: { name: x-a, string_match: { exact: yes } } }", vec!["/direct 1", "/none 3"]),
        ("header_filter: { header: { name: x-a, present_match: true, invert_match: true } }", vec!["/direct 2"]),
        ("header_filter: { header: { name: ':path', string_match: { prefix: /no } } }", vec!["/none 3", "/nowhere 4"]),
        ("grpc_status_filter: { statuses: [UNAVAILABLE] }", vec!["/none 3"]),
        ("grpc_status_filter: { statuses: [UNAVAILABLE, 2], exclude: true }", vec!["/nowhere 4"]),
    ] {
        let dir = TempDir::new().unwrap();
        let text =
            log(&dir.path().join("log"), ", log_format: { text_format_source: { inline_string: \"%REQ(:PATH)% %REQ(X-NTH)%\\n\" } }");
        let (_app, proxy) =
            start(&text.replace("name: log,", &format!("name: log, filter: {{ {} }},", filter.replace("exact: yes", "exact: 'yes'"))))
                .await;
        for (path, value, nth) in [("/direct", "yes", "1"), ("/direct", "", "2"), ("/none", "yes", "3"), ("/nowhere", "no", "4")] {
            let headers = [("x-nth", nth), ("x-a", value)];
            get(&proxy, path, if value.is_empty() { &headers[..1] } else { &headers }).await;
        }
        assert_eq!(lines(&dir.path().join("log"), written.len()).await, written, "{filter}");
    }
}

#[tokio::test]
async fn a_signal_opens_files_anew() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let (_app, proxy) = start(&log(&path, ", log_format: { text_format_source: { inline_string: \"%REQ(:PATH)%\\n\" } }")).await;
    get(&proxy, "/one", &[]).await;
    lines(&path, 1).await;
    std::fs::rename(&path, dir.path().join("log.1")).unwrap();
    proxy.signal("USR1");
    eventually("the new file is written", || async {
        get(&proxy, "/two", &[]).await;
        path.exists()
    })
    .await;
}

#[tokio::test]
async fn headers_are_made_of_what_is_known() {
    let app = Backend::start("app").await;
    let routes = r#"              - match: { prefix: / }
                name: made
                route: { cluster: app }
                request_headers_to_add:
                - header: { key: x-up, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %PROTOCOL% %REQ(x-none?x-a):2% %REQ(:path)% %ROUTE_NAME% 100%%" }
                - header: { key: x-empty, value: "%REQ(nothing)%" }
                response_headers_to_add:
                - header: { key: x-down, value: "%RESPONSE_CODE% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %REQ(x-a)% %RESP(x-backend)%" }
"#;
    let proxy = Proxy::start(&config("", routes, &cluster("app", &[app.address], ""))).await;
    let answer = get(&proxy, "/x?q=1", &[("x-a", "hello")]).await;
    let seen = &app.seen()[0];
    assert_eq!((seen.header("x-up"), seen.headers.contains_key("x-empty")), ("127.0.0.1 HTTP/1.1 he /x?q=1 made 100%", false));
    assert_eq!(answer.header("x-down"), format!("200 {} app - hello app", app.address));
}

#[tokio::test]
async fn local_replies_are_shaped() {
    let manager = r#"          local_reply_config:
            mappers:
            - filter: { status_code_filter: { comparison: { op: EQ, value: { default_value: 404, runtime_key: k } } } }
              status_code: 418
              body: { inline_string: gone }
              headers_to_add: [{ header: { key: x-a, value: b } }]
              body_format_override: { json_format: { code: "%RESPONSE_CODE%", said: "%LOCAL_REPLY_BODY%", path: "%REQ(:path)%" } }
            body_format: { text_format_source: { inline_string: "%LOCAL_REPLY_BODY%: %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n" }, content_type: "text/html" }
"#;
    let (_app, proxy) = start(manager).await;
    let gone = get(&proxy, "/nowhere", &[]).await;
    assert_eq!((gone.status, gone.header("x-a"), gone.header("content-type")), (418, "b", "application/json"));
    assert_eq!(gone.text(), "{\"code\":418,\"path\":\"/nowhere\",\"said\":\"gone\"}\n");
    let none = get(&proxy, "/none", &[]).await;
    assert_eq!((none.status, none.header("content-type")), (503, "text/html"));
    assert_eq!(none.text(), "no healthy upstream: 503 no_healthy_upstream\n");
    assert_eq!(get(&proxy, "/direct", &[]).await.text(), "hi: 200 direct_response\n");
    assert_eq!(get(&proxy, "/app/x", &[]).await.text(), "app", "what comes from upstream stays as it is");
}

/// By the request id, the remainder of whose first 32 bits is the draw, as in Envoy: every proxy on the way chooses the same exchanges.
#[tokio::test]
async fn a_filter_takes_a_part() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let text = log(&path, ", log_format: { text_format_source: { inline_string: \"%REQ(:PATH)%\\n\" } }");
    let filter = "runtime_filter: { runtime_key: logged, percent_sampled: { numerator: 50 } }";
    let (_app, proxy) = start(&text.replace("name: log,", &format!("name: log, filter: {{ {filter} }},"))).await;
    let ask = async |path: &str, id: &str| get(&proxy, path, &[("x-request-id", &format!("{id}-0000-4000-8000-000000000000"))]).await;
    for (path, id) in [("/direct?1", "00000000"), ("/direct?2", "ffffffff"), ("/direct?3", "7fffffff"), ("/direct?4", "00000063")] {
        ask(path, id).await;
    }
    assert_eq!(lines(&path, 2).await, ["/direct?1", "/direct?3"]);
    assert_eq!(proxy.call("POST", "/runtime_modify?logged=100").await.0, 200);
    eventually("everything is written", || async {
        ask("/direct?all", "ffffffff").await;
        std::fs::read_to_string(&path).unwrap().contains("/direct?all")
    })
    .await;
}

#[tokio::test]
async fn logs_tell_the_near_end_of_the_endpoints_connection() {
    let dir = TempDir::new().unwrap();
    let format = "%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_PORT% %UPSTREAM_TLS_VERSION%\\n";
    let text = log(&dir.path().join("log"), &format!(", log_format: {{ text_format_source: {{ inline_string: \"{format}\" }} }}"));
    let (_app, proxy) = start(&text).await;
    for path in ["/app/1", "/app/2", "/direct"] {
        get(&proxy, path, &[]).await;
    }
    let lines = lines(&dir.path().join("log"), 3).await;
    let (address, rest) = lines[0].split_once(' ').unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    assert_eq!(rest, format!("127.0.0.1 {} -", address.port()));
    // The second request went over the same connection, the third over none.
    assert_eq!((&lines[1], lines[2].as_str()), (&lines[0], "- - - -"));
}

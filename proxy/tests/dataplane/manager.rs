//! What the HTTP connection manager does to requests and answers. What is right here was seen on Envoy 1.40.

use super::backend::{Backend, Seen};
use super::client::{Answer, Client, empty};
use super::program::{Proxy, cluster, config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ROUTES: &str = "              - { match: { path: /direct }, direct_response: { status: 200, body: { inline_string: hi } } }
              - { match: { prefix: /old/ }, route: { cluster: app, prefix_rewrite: /new/, timeout: 3s } }
              - { match: { prefix: /host }, route: { cluster: app, host_rewrite_literal: other.test, timeout: 0s } }
              - { match: { prefix: / }, route: { cluster: app } }
";

async fn start(manager: &[&str]) -> (Backend, Proxy) {
    let app = Backend::start("app").await;
    let manager = manager.iter().map(|line| format!("          {line}\n")).collect::<String>();
    let proxy = Proxy::start(&config(&manager, ROUTES, &cluster("app", &[app.address], ""))).await;
    (app, proxy)
}

/// Sends one request with these headers on a connection of its own.
async fn ask(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::h1(proxy.address).await;
    let request = headers.iter().fold(client.request("GET", path), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
    client.send(request).await.unwrap()
}

/// The same; what the application saw of it.
async fn seen(app: &Backend, proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Seen {
    ask(proxy, path, headers).await;
    app.seen().pop().unwrap()
}

/// Sends bytes as they are and returns what comes until the proxy closes.
async fn raw(proxy: &Proxy, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(super::client::PATIENCE, stream.read_to_string(&mut answer)).await.expect("the proxy closes").unwrap();
    answer
}

#[tokio::test]
async fn envoys_own_headers() {
    let (app, proxy) = start(&[]).await;
    let answer = ask(&proxy, "/x", &[]).await;
    assert!(answer.header("x-envoy-upstream-service-time").parse::<u64>().is_ok());
    assert_eq!(app.seen()[0].header("x-envoy-expected-rq-timeout-ms"), "15000");
    let old = seen(&app, &proxy, "/old/x?y=1", &[]).await;
    assert_eq!((old.path.as_str(), old.header("x-envoy-original-path")), ("/new/x?y=1", "/old/x?y=1"));
    assert_eq!(old.header("x-envoy-expected-rq-timeout-ms"), "3000");
    let host = seen(&app, &proxy, "/host", &[]).await;
    assert_eq!((host.authority.as_str(), host.header("x-envoy-original-host")), ("other.test", "app.test"));
    assert_eq!(host.header("x-envoy-expected-rq-timeout-ms"), "", "there is none");
    let mut client = Client::h1(proxy.address).await;
    client.send(client.request("OPTIONS", "/x").body(empty()).unwrap()).await.unwrap();
    assert_eq!(app.seen().pop().unwrap().header("content-length"), "0");
}

#[tokio::test]
async fn nobody_outside_steers_the_proxy() {
    let inside =
        ["x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-internal", "x-forwarded-client-cert"];
    let between = ["x-envoy-decorator-operation", "x-envoy-original-path", "x-envoy-downstream-service-cluster"];
    let spoofed: Vec<_> = inside.iter().chain(&between).chain(&["x-envoy-foo"]).map(|name| (*name, "1")).collect();
    let range = "internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";
    for (manager, kept) in [
        (vec![], vec!["x-envoy-decorator-operation", "x-envoy-original-path", "x-envoy-downstream-service-cluster", "x-envoy-foo"]),
        (vec!["use_remote_address: true"], vec!["x-envoy-foo"]),
        (vec!["use_remote_address: true", range], vec!["x-envoy-force-trace", "x-envoy-original-path", "x-envoy-foo"]),
    ] {
        let (app, proxy) = start(&manager).await;
        let seen = seen(&app, &proxy, "/x", &spoofed).await;
        for name in kept {
            assert_eq!(seen.header(name), "1", "{name} with {manager:?}");
        }
        for name in inside.iter().take(3).filter(|_| manager.len() < 2) {
            assert_eq!(seen.header(name), "", "{name} with {manager:?}");
        }
        assert_eq!(seen.header("x-forwarded-client-cert"), "");
        let internal = if manager.len() == 2 { "true" } else { "" };
        let external = if manager.len() == 1 { "127.0.0.1" } else { "" };
        assert_eq!((seen.header("x-envoy-internal"), seen.header("x-envoy-external-address")), (internal, external));
    }
}

#[tokio::test]
async fn trusted_hops_and_request_ids() {
    let (app, proxy) = start(&["use_remote_address: true", "xff_num_trusted_hops: 1", "preserve_external_request_id: true"]).await;
    let one =
        seen(&app, &proxy, "/x", &[("x-forwarded-for", "1.1.1.1,2.2.2.2"), ("x-forwarded-proto", "https"), ("x-request-id", "mine")]).await;
    assert_eq!((one.header("x-forwarded-for"), one.header("x-envoy-external-address")), ("1.1.1.1,2.2.2.2,127.0.0.1", "2.2.2.2"));
    assert_eq!((one.header("x-forwarded-proto"), one.header("x-request-id")), ("https", "mine"));
    let (app, proxy) = start(&["always_set_request_id_in_response: true", "skip_xff_append: true", "use_remote_address: true"]).await;
    let answer = ask(&proxy, "/x", &[("x-forwarded-for", "1.1.1.1"), ("x-request-id", "theirs")]).await;
    let seen = app.seen().pop().unwrap();
    assert_eq!((seen.header("x-forwarded-for"), answer.header("x-request-id")), ("1.1.1.1", seen.header("x-request-id")));
    assert_ne!(seen.header("x-request-id"), "theirs");
}

#[tokio::test]
async fn names_of_hops() {
    let (app, proxy) =
        start(&["via: hop", "add_user_agent: true", "server_header_transformation: APPEND_IF_ABSENT", "server_name: me"]).await;
    let answer = ask(&proxy, "/x", &[("via", "1.0 before")]).await;
    let seen = app.seen().pop().unwrap();
    assert_eq!((seen.header("via"), answer.header("via"), answer.header("server")), ("1.0 before, hop", "hop", "me"));
    let (_app, proxy) = start(&["server_header_transformation: PASS_THROUGH"]).await;
    assert_eq!(ask(&proxy, "/x", &[]).await.header("server"), "");
}

#[tokio::test]
async fn paths_and_hosts_are_normalised() {
    let (app, proxy) =
        start(&["normalize_path: true", "merge_slashes: true", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"]).await;
    for (path, expected) in
        [("/a/../b?c=/../d", "/b?c=/../d"), ("/a//b", "/a/b"), ("/a%2F..%2fb", "/b"), ("/%41", "/A"), ("/plain", "/plain")]
    {
        assert_eq!(seen(&app, &proxy, path, &[]).await.path, expected);
    }
    let (_app, proxy) = start(&["path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"]).await;
    let answer = ask(&proxy, "/a%2Fb?x=%2f", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (307, "/a/b?x=%2f"));
    let (_app, proxy) = start(&["path_with_escaped_slashes_action: REJECT_REQUEST"]).await;
    let answer = ask(&proxy, "/a%2Fb", &[]).await;
    assert_eq!((answer.status, answer.header("connection"), answer.header("content-type")), (400, "close", ""));
    let (app, proxy) = start(&["strip_any_host_port: true", "strip_trailing_host_dot: true"]).await;
    for (host, expected) in [("a.test:99", "a.test"), ("a.test.:1", "a.test"), ("[::1]:80", "[::1]"), ("a.test", "a.test")] {
        let mut client = Client::h1(proxy.address).await;
        client.host = host.into();
        client.get("/x").await;
        assert_eq!(app.seen().pop().unwrap().authority, expected);
    }
}

#[tokio::test]
async fn local_answers_look_like_envoys() {
    let (_app, proxy) = start(&[]).await;
    let direct = ask(&proxy, "/direct", &[]).await;
    assert_eq!((direct.header("content-type"), direct.text()), ("text/plain", "hi"));
    let missing = raw(&proxy, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(missing.starts_with("HTTP/1.1 400 Bad Request\r\n") && missing.contains("connection: close"), "{missing}");
    assert!(missing.ends_with("\r\n\r\n") && !missing.contains("content-type"), "{missing}");
}

#[tokio::test]
async fn suppressed_headers_stay_away() {
    let app = Backend::start("app").await;
    let text = config("", ROUTES, &cluster("app", &[app.address], ""))
        .replace("http.router.v3.Router }", "http.router.v3.Router, suppress_envoy_headers: true }");
    let proxy = Proxy::start(&text).await;
    let answer = ask(&proxy, "/old/x", &[]).await;
    let seen = app.seen().pop().unwrap();
    let any = |headers: &http::HeaderMap| headers.keys().any(|name| name.as_str().starts_with("x-envoy-"));
    assert!(!any(&answer.headers) && !any(&seen.headers), "{answer:?} {seen:?}");
}

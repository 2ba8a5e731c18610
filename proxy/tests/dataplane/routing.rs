//! Which way requests take, what becomes of their path and host, and where clients are sent: as the real Envoy does it (observed on 1.40).

use super::backend::{Backend, Seen};
use super::client::{Answer, Client, empty};
use super::program::{Proxy, cluster, config};

/// One request, with headers; `host` among them replaces the usual one.
async fn ask(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::h1(proxy.address).await;
    if let Some((_, host)) = headers.iter().find(|h| h.0 == "host") {
        client.host = (*host).to_owned();
    }
    let others = headers.iter().filter(|h| h.0 != "host");
    let request = others.fold(client.request("GET", path), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
    client.send(request).await.unwrap()
}

/// The request as it arrived.
async fn arrives(proxy: &Proxy, app: &Backend, path: &str, headers: &[(&str, &str)]) -> Seen {
    assert_eq!(ask(proxy, path, headers).await.status, 200, "{path}");
    app.seen().pop().unwrap()
}

/// Routes in the short form `match => action`.
fn routes(list: &[(&str, &str)]) -> String {
    list.iter().map(|(m, action)| format!("              - {{ match: {{ {m} }}, {action} }}\n")).collect()
}

async fn before(app: &Backend, list: &[(&str, &str)]) -> Proxy {
    Proxy::start(&config("", &routes(list), &cluster("app", &[app.address], ""))).await
}

#[tokio::test]
async fn paths_are_rewritten_and_the_old_one_is_told() {
    let app = Backend::start("app").await;
    let proxy = before(
        &app,
        &[
            ("prefix: /p/, case_sensitive: false", "route: { cluster: app, prefix_rewrite: /new/ }"),
            ("path: /exact", "route: { cluster: app, prefix_rewrite: /n }"),
            ("safe_regex: { regex: '/re/.*' }", "route: { cluster: app, prefix_rewrite: /whole }"),
            ("path_separated_prefix: /sep", "route: { cluster: app, prefix_rewrite: / }"),
            (
                "prefix: /rx",
                r"route: { cluster: app, regex_rewrite: { pattern: { regex: '/rx/([a-z]+)/([a-z]+)' }, substitution: '/\2/\1' } }",
            ),
            ("prefix: /", "route: { cluster: app }"),
        ],
    )
    .await;
    for (path, new) in
        [("/P/a?b=c", "/new/a?b=c"), ("/exact?q", "/n?q"), ("/re/a?q", "/whole?q"), ("/sep?x=/sep", "/?x=/sep"), ("/rx/a/b?c", "/b/a?c")]
    {
        let seen = arrives(&proxy, &app, path, &[]).await;
        assert_eq!((seen.path.as_str(), seen.header("x-envoy-original-path")), (new, path));
    }
    let seen = arrives(&proxy, &app, "/as/it/is?x", &[]).await;
    assert_eq!((seen.path.as_str(), seen.header("x-envoy-original-path")), ("/as/it/is?x", ""));
}

#[tokio::test]
async fn hosts_are_rewritten_and_the_old_one_is_told() {
    let app = Backend::start("app").await;
    let named = format!(
        "  - name: dns\n    type: STRICT_DNS\n    load_assignment: {{ cluster_name: dns, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: localhost, port_value: {} }} }} }} }}] }}] }}\n",
        app.address.port()
    );
    let list = routes(&[
        ("prefix: /literal", "route: { cluster: app, host_rewrite_literal: other.test, append_x_forwarded_host: true }"),
        ("prefix: /header", "route: { cluster: app, host_rewrite_header: x-host }"),
        ("prefix: /auto", "route: { cluster: dns, auto_host_rewrite: true }"),
        (
            "prefix: /path",
            r"route: { cluster: app, host_rewrite_path_regex: { pattern: { regex: '^/path/(.+)/.*$' }, substitution: '\1.x' } }",
        ),
    ]);
    let proxy = Proxy::start(&config("", &list, &(cluster("app", &[app.address], "") + &named))).await;
    let told = |seen: &Seen| (seen.authority.clone(), seen.header("x-envoy-original-host").to_owned());
    let literal = arrives(&proxy, &app, "/literal", &[]).await;
    assert_eq!((told(&literal), literal.header("x-forwarded-host")), (("other.test".into(), "app.test".into()), "app.test"));
    assert_eq!(told(&arrives(&proxy, &app, "/header", &[("x-host", "h.test")]).await), ("h.test".into(), "app.test".into()));
    assert_eq!(told(&arrives(&proxy, &app, "/header", &[]).await), ("app.test".into(), String::new()));
    assert_eq!(told(&arrives(&proxy, &app, "/auto", &[]).await), ("localhost".into(), "app.test".into()));
    assert_eq!(told(&arrives(&proxy, &app, "/path/foo/bar?q", &[]).await), ("foo.x".into(), "app.test".into()));
}

#[tokio::test]
async fn conditions_on_query_headers_grpc_and_fractions() {
    let (app, other) = (Backend::start("app").await, Backend::start("other").await);
    let to_other = "route: { cluster: other }";
    let list = routes(&[
        ("prefix: /q, query_parameters: [{ name: a, string_match: { prefix: '1' } }, { name: b }]", to_other),
        ("prefix: /range, headers: [{ name: x-a, range_match: { start: 1, end: 10 } }]", to_other),
        ("prefix: /empty, headers: [{ name: x-a, string_match: { exact: '' }, treat_missing_header_as_empty: true }]", to_other),
        ("prefix: /grpc, grpc: {}", to_other),
        ("prefix: /all, runtime_fraction: { default_value: { numerator: 100 } }", to_other),
        ("prefix: /part, runtime_fraction: { default_value: { numerator: 0 }, runtime_key: part }", to_other),
        ("prefix: /", "route: { cluster: app }"),
    ]);
    let proxy = Proxy::start(&config("", &list, &(cluster("app", &[app.address], "") + &cluster("other", &[other.address], "")))).await;
    for (path, headers, to) in [
        ("/q?a=12&b", &[][..], "other"),
        ("/q?a=12", &[], "app"),
        ("/q?a=2&b=1", &[], "app"),
        ("/range", &[("x-a", "9")], "other"),
        ("/range", &[("x-a", "10")], "app"),
        ("/empty", &[], "other"),
        ("/empty", &[("x-a", "b")], "app"),
        ("/grpc", &[("content-type", "application/grpc+proto")], "other"),
        ("/grpc", &[("content-type", "application/json")], "app"),
        ("/all", &[], "other"),
        ("/part", &[], "app"),
    ] {
        assert_eq!(ask(&proxy, path, headers).await.text(), to, "{path} {headers:?}");
    }
    assert_eq!(proxy.call("POST", "/runtime_modify?part=100").await.0, 200);
    assert_eq!(ask(&proxy, "/part", &[]).await.text(), "other");
}

#[tokio::test]
async fn clients_are_sent_elsewhere() {
    let app = Backend::start("app").await;
    let proxy = before(
        &app,
        &[
            ("prefix: /r1", "redirect: { https_redirect: true }"),
            ("prefix: /r2", "redirect: { host_redirect: other.test, port_redirect: 81, response_code: FOUND, strip_query: true }"),
            ("prefix: /r3", "redirect: { path_redirect: /x, response_code: SEE_OTHER }"),
            ("prefix: /r4", "redirect: { path_redirect: '/x?z=1', strip_query: true }"),
            ("prefix: /r5", "redirect: { prefix_rewrite: /y, port_redirect: 80, response_code: TEMPORARY_REDIRECT }"),
            (
                "prefix: /r6",
                r"redirect: { regex_rewrite: { pattern: { regex: '^/r6/(.*)$' }, substitution: '/\1' }, response_code: PERMANENT_REDIRECT }, response_headers_to_add: [{ header: { key: x-sent, value: away } }]",
            ),
        ],
    )
    .await;
    for (path, host, status, location) in [
        ("/r1/a?b=c", "a.test:19000", 301, "https://a.test:19000/r1/a?b=c"),
        ("/r1/a", "a.test:80", 301, "https://a.test/r1/a"),
        ("/r2/a?b", "[::1]:80", 302, "http://other.test:81/r2/a"),
        ("/r3/a?b=c", "a.test", 303, "http://a.test/x?b=c"),
        ("/r4/a?b=c", "a.test", 301, "http://a.test/x?z=1"),
        ("/r5/a", "[::1]:80", 307, "http://[::1]:80/y/a"),
        ("/r6/a?b", "a.test", 308, "http://a.test/a?b"),
    ] {
        let answer = ask(&proxy, path, &[("host", host)]).await;
        assert_eq!((answer.status, answer.header("location"), answer.text()), (status, location, ""), "{path}");
    }
    assert_eq!(ask(&proxy, "/r6/a", &[]).await.header("x-sent"), "away");
    assert_eq!(app.count(), 0);
}

#[tokio::test]
async fn what_needs_tls_is_sent_there() {
    let app = Backend::start("app").await;
    let text = config("", &routes(&[("prefix: /", "route: { cluster: app }")]), &cluster("app", &[app.address], ""))
        .replace("domains: [\"*\"]", "domains: [\"*\"]\n              require_tls: ALL");
    let proxy = Proxy::start(&text).await;
    let answer = ask(&proxy, "/abc?d", &[("host", "tls.test:19000")]).await;
    assert_eq!((answer.status, answer.header("location")), (301, "https://tls.test:19000/abc?d"));
    assert_eq!(ask(&proxy, "/abc", &[("x-forwarded-proto", "https")]).await.status, 200);
}

#[tokio::test]
async fn a_header_names_the_cluster() {
    let (app, other) = (Backend::start("app").await, Backend::start("other").await);
    let list = routes(&[
        ("prefix: /a", "route: { cluster_header: x-to }"),
        ("prefix: /b", "route: { cluster_header: x-to, cluster_not_found_response_code: NOT_FOUND }"),
    ]);
    let proxy = Proxy::start(&config("", &list, &(cluster("app", &[app.address], "") + &cluster("other", &[other.address], "")))).await;
    for to in ["app", "other"] {
        assert_eq!(ask(&proxy, "/a", &[("x-to", to)]).await.text(), to);
    }
    assert_eq!(ask(&proxy, "/a", &[("x-to", "nobody")]).await.status, 503);
    assert_eq!(ask(&proxy, "/a", &[]).await.status, 503);
    assert_eq!(ask(&proxy, "/b", &[]).await.status, 404);
    assert_eq!(proxy.telemetry().await.downstream.refused.get("no_cluster"), Some(&3));
}

#[tokio::test]
async fn each_of_several_clusters_has_headers_and_a_host_of_its_own() {
    let app = Backend::start("app").await;
    let add = |level: &str| {
        format!(
            "request_headers_to_add: [{{ header: {{ key: x-l, value: {level} }} }}], response_headers_to_add: [{{ header: {{ key: x-l, value: {level} }} }}]"
        )
    };
    let action = format!(
        "route: {{ weighted_clusters: {{ total_weight: 3, clusters: [{{ name: app, weight: 3, host_rewrite_literal: w.test, {} }}] }} }}, {}",
        add("w"),
        add("r")
    );
    let proxy = before(&app, &[("prefix: /", action.as_str())]).await;
    let answer = ask(&proxy, "/", &[]).await;
    let values = |headers: &http::HeaderMap| headers.get_all("x-l").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&answer.headers), ["w", "r"]);
    let seen = app.seen().pop().unwrap();
    assert_eq!((values(&seen.headers), seen.authority.as_str()), (vec!["w".into(), "r".into()], "w.test"));
}

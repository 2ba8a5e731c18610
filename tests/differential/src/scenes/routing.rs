//! Which route a request takes.

use crate::scene::{Scene, h2_get, scene};

/// Routes that answer by themselves: which one it was shows in the body.
fn pick(name: &'static str, matchers: &[&str]) -> Scene {
    let routes: Vec<_> = matchers
        .iter()
        .enumerate()
        .map(|(i, m)| format!("{{ match: {{ {m} }}, direct_response: {{ status: 200, body: {{ inline_string: 'route {}' }} }} }}", i + 1))
        .collect();
    scene(name).routes(&routes.join(", "))
}

fn by_header(name: &'static str, matcher: &str) -> Scene {
    pick(name, &[&format!("prefix: /, headers: [{{ {matcher} }}]"), "prefix: /"])
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = paths();
    all.extend(headers());
    all.extend(queries_and_hosts());
    all
}

fn paths() -> Vec<Scene> {
    vec![
        pick("the first route that matches", &["prefix: /a", "prefix: /a/b", "prefix: /"]).get("/a/b").get("/c"),
        pick("an exact path", &["path: /a", "prefix: /"]).get("/a").get("/a?x").get("/a/").get("/A"),
        pick("an exact path without regard to case", &["path: /Ab, case_sensitive: false", "prefix: /"]).get("/aB").get("/abc"),
        pick("a separated prefix", &["path_separated_prefix: /a", "prefix: /"]).get("/a").get("/a/").get("/a?b").get("/ab"),
        pick("a regex for the whole path", &["safe_regex: { regex: '/a[0-9]+' }", "prefix: /"])
            .get("/a1")
            .get("/a1/b")
            .get("/x/a1")
            .get("/a2?q=1"),
        scene("an absolute target without a path")
            .ask("GET http://example.com?b HTTP/1.1\r\nhost: example.com\r\n\r\n")
            .ask("GET http://example.com HTTP/1.1\r\nhost: example.com\r\n\r\n"),
        pick("a prefix does not see the query", &["prefix: '/a?b'", "prefix: /"]).get("/a?b"),
        pick("no route", &["path: /only"]).get("/other"),
        pick("a gRPC matcher", &["prefix: /, grpc: {}", "prefix: /"])
            .get_with("/", "content-type: application/grpc\r\n")
            .get_with("/", "content-type: application/grpc+proto\r\n")
            .get_with("/", "content-type: application/grpc-web\r\n")
            .get("/"),
        pick(
            "a runtime fraction of none and of all",
            &[
                "prefix: /, runtime_fraction: { default_value: { numerator: 0 } }",
                "prefix: /, runtime_fraction: { default_value: { numerator: 100 } }",
                "prefix: /",
            ],
        )
        .get("/"),
    ]
}

fn headers() -> Vec<Scene> {
    vec![
        by_header("a header that is present", "name: x-h, present_match: true")
            .get_with("/", "x-h: 1\r\n")
            .get_with("/", "x-h:\r\n")
            .get("/"),
        by_header("a header that is absent", "name: x-h, present_match: false").get_with("/", "x-h: 1\r\n").get("/"),
        by_header("an exact header", "name: X-H, string_match: { exact: v }").get_with("/", "x-h: v\r\n").get_with("/", "x-h: V\r\n"),
        by_header("an exact header without regard to case", "name: x-h, string_match: { exact: v, ignore_case: true }")
            .get_with("/", "x-h: V\r\n"),
        by_header("a header's prefix", "name: x-h, string_match: { prefix: ab }")
            .get_with("/", "x-h: abc\r\n")
            .get_with("/", "x-h: cab\r\n"),
        by_header("a header's suffix", "name: x-h, string_match: { suffix: bc }")
            .get_with("/", "x-h: abc\r\n")
            .get_with("/", "x-h: bca\r\n"),
        by_header("a header that contains", "name: x-h, string_match: { contains: b }")
            .get_with("/", "x-h: abc\r\n")
            .get_with("/", "x-h: ac\r\n"),
        by_header("a header's regex", "name: x-h, string_match: { safe_regex: { regex: 'a+' } }")
            .get_with("/", "x-h: aaa\r\n")
            .get_with("/", "x-h: aab\r\n"),
        by_header("an inverted header", "name: x-h, string_match: { exact: v }, invert_match: true")
            .get_with("/", "x-h: v\r\n")
            .get_with("/", "x-h: w\r\n")
            .get("/"),
        by_header(
            "an inverted header, missing as empty",
            "name: x-h, string_match: { exact: v }, invert_match: true, treat_missing_header_as_empty: true",
        )
        .get("/"),
        by_header("a header's range", "name: x-h, range_match: { start: -10, end: 10 }")
            .get_with("/", "x-h: -10\r\n")
            .get_with("/", "x-h: 10\r\n")
            .get_with("/", "x-h: 9x\r\n"),
        by_header("a repeated header is matched joined", "name: x-h, string_match: { exact: 'a,b' }").get_with("/", "x-h: a\r\nx-h: b\r\n"),
        by_header("the method", "name: ':method', string_match: { exact: POST }").get("/").post("/", "x"),
        by_header("the authority", "name: ':authority', string_match: { exact: 'example.com' }")
            .get("/")
            .step(h2_get("/").authority("example.org").into()),
        by_header("the path with its query", "name: ':path', string_match: { suffix: '?x=1' }").get("/a?x=1").get("/a"),
    ]
}

fn domain(name: &str, domains: &str) -> String {
    format!(
        "{{ name: {name}, domains: [{domains}], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200, body: {{ inline_string: {name} }} }} }}] }}"
    )
}

fn host(name: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n")
}

fn queries_and_hosts() -> Vec<Scene> {
    let hosts = [
        domain("exact", "'api.example.com'"),
        domain("suffix", "'*.example.com'"),
        domain("longer", "'*.eu.example.com'"),
        domain("prefix", "'api.*'"),
        domain("any", "'*'"),
    ]
    .join(", ");
    let some = domain("one", "'one.example'");
    vec![
        pick("an exact query parameter", &["prefix: /, query_parameters: [{ name: k, string_match: { exact: v } }]", "prefix: /"])
            .get("/?k=v")
            .get("/?a=1&k=v")
            .get("/?k=w")
            .get("/?k")
            .get("/"),
        pick("a query parameter that is present", &["prefix: /, query_parameters: [{ name: k, present_match: true }]", "prefix: /"])
            .get("/?k")
            .get("/?k=1")
            .get("/?kk=1"),
        pick(
            "the first of a repeated query parameter",
            &["prefix: /, query_parameters: [{ name: k, string_match: { exact: a } }]", "prefix: /"],
        )
        .get("/?k=b&k=a")
        .get("/?k=a&k=b"),
        scene("the most specific domain")
            .hosts(&hosts)
            .ask(&host("api.example.com"))
            .ask(&host("a.example.com"))
            .ask(&host("a.eu.example.com"))
            .ask(&host("api.other"))
            .ask(&host("other"))
            .ask(&host("API.Example.Com"))
            .ask(&host("example.com")),
        scene("a domain and a port").hosts(&hosts).ask(&host("api.example.com:80")).ask(&host("x.example.com:8080")),
        scene("ports ignored in domains").hosts(&some).table("ignore_port_in_host_matching: true").ask(&host("one.example:8080")),
        scene("no virtual host").hosts(&some).ask(&host("two.example")),
        scene("any port stripped").http("strip_any_host_port: true").ask(&host("one.example:8080")),
        scene("a trailing dot stripped").http("strip_trailing_host_dot: true").ask(&host("one.example.")),
    ]
}

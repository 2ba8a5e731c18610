//! Paths, hosts, and what a rewrite leaves behind.

use crate::scene::{Role, Scene, h2_get, scene};

fn on(name: &'static str, matcher: &str, action: &str) -> Scene {
    scene(name).routes(&format!("{{ match: {{ {matcher} }}, route: {{ cluster: $app, {action} }} }}"))
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = paths();
    all.extend(hosts());
    all.extend(normalised());
    all
}

fn paths() -> Vec<Scene> {
    vec![
        on("prefix rewrite keeps the query", "prefix: /a", "prefix_rewrite: /b").get("/a/x?y=1").get("/a"),
        on("prefix rewrite of a slash", "prefix: /a/", "prefix_rewrite: /").get("/a/x").get("/a/"),
        on("prefix rewrite makes a double slash", "prefix: /a", "prefix_rewrite: /").get("/a/x"),
        on("prefix rewrite of an exact path", "path: /a", "prefix_rewrite: /b").get("/a?y=1"),
        on("prefix rewrite of a separated prefix", "path_separated_prefix: /a", "prefix_rewrite: /b").get("/a/x").get("/a").get("/ab"),
        on("prefix rewrite without regard to case", "prefix: /a, case_sensitive: false", "prefix_rewrite: /b").get("/A/x"),
        on("regex rewrite", "prefix: /", "regex_rewrite: { pattern: { regex: '^/(\\w+)/(\\d+)' }, substitution: '/\\2/\\1' }")
            .get("/ab/12/x?q=/ab/1"),
        on("regex rewrite of every match", "prefix: /", "regex_rewrite: { pattern: { regex: 'x' }, substitution: 'yy' }").get("/x/ax?x"),
        on("regex rewrite that does not match", "prefix: /", "regex_rewrite: { pattern: { regex: '^/none' }, substitution: '/x' }")
            .get("/some?thing"),
        on("the path before a rewrite is kept in a header", "prefix: /a", "prefix_rewrite: /b").get("/a/x"),
        on("escapes stay as they are", "prefix: /", "timeout: 5s").get("/a%20b%2Fc/%C3%A9?q=%26"),
        on("a fragment in the path", "prefix: /", "timeout: 5s").get("/a#frag"),
        on("rewrite over HTTP/2", "prefix: /a", "prefix_rewrite: /b").h2(Role::App).step(h2_get("/a/1?2").into()),
    ]
}

fn hosts() -> Vec<Scene> {
    vec![
        on("a literal host", "prefix: /", "host_rewrite_literal: other.example").get("/"),
        on("a literal host with a forwarded host", "prefix: /", "host_rewrite_literal: other.example, append_x_forwarded_host: true")
            .get("/"),
        on("a host from a header", "prefix: /", "host_rewrite_header: x-host").get_with("/", "x-host: from.header\r\n").get("/"),
        on(
            "a host from the path",
            "prefix: /",
            "host_rewrite_path_regex: { pattern: { regex: '^/(\\w+)/.*$' }, substitution: '\\1.example' }",
        )
        .get("/ab/c"),
        on("a literal host over HTTP/2", "prefix: /", "host_rewrite_literal: other.example").h2(Role::App).step(h2_get("/").into()),
        on("auto host rewrite of an address", "prefix: /", "auto_host_rewrite: true").get("/"),
        scene("an absolute request target").ask("GET http://abs.example:81/p?q HTTP/1.1\r\nhost: ignored.example\r\n\r\n"),
        scene("a host with a port and capitals").ask("GET / HTTP/1.1\r\nhost: Example.COM:8080\r\n\r\n"),
        scene("an asterisk as the target").ask("OPTIONS * HTTP/1.1\r\nhost: example.com\r\n\r\n"),
    ]
}

fn normalised() -> Vec<Scene> {
    vec![
        scene("dot segments without normalisation").get("/a/../b/./c"),
        scene("dot segments with normalisation").http("normalize_path: true").get("/a/../b/./c").get("/%61%2e%2E/x"),
        scene("slashes merged").http("merge_slashes: true").get("//a///b//?c=//"),
        scene("escapes in escapes").http("normalize_path: true").get("/a/%%32%65%%32%65/b").get("/%%33%33/%%32F/%%3/%%").get("/%+0"),
        scene("normalised and merged").http("normalize_path: true, merge_slashes: true").get("/a//../b//c"),
        scene("escaped slashes refused").http("path_with_escaped_slashes_action: REJECT_REQUEST").get("/a%2Fb"),
        scene("escaped slashes redirected").http("path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT").get("/a%2Fb"),
        scene("escaped slashes unescaped").http("path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD").get("/a%2Fb%5c"),
        scene("a normalised path is what is routed")
            .http("normalize_path: true")
            .routes("{ match: { path: /secret }, direct_response: { status: 403 } }, { match: { prefix: / }, route: { cluster: $app } }")
            .get("/x/../secret"),
    ]
}

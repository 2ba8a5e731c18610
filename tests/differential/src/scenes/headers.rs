//! Header additions and removals, hop-by-hop headers, names and values at the edges.

use crate::scene::{Role, Scene, h2_get, h2_request, reply, scene};

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = mutations();
    all.extend(hop_by_hop());
    all.extend(values());
    all
}

fn add(action: &str) -> String {
    format!("request_headers_to_add: [{{ header: {{ key: x-a, value: new }}, append_action: {action} }}]")
}

fn with_route_fields(name: &'static str, fields: &str) -> Scene {
    scene(name).routes(&format!("{{ match: {{ prefix: / }}, route: {{ cluster: $app }}, {fields} }}"))
}

fn mutations() -> Vec<Scene> {
    let both = "x-a: old\r\n";
    vec![
        with_route_fields("append_if_exists_or_add", &add("APPEND_IF_EXISTS_OR_ADD")).get_with("/", both).get("/"),
        with_route_fields("add_if_absent", &add("ADD_IF_ABSENT")).get_with("/", both).get("/"),
        with_route_fields("overwrite_if_exists_or_add", &add("OVERWRITE_IF_EXISTS_OR_ADD")).get_with("/", both).get("/"),
        with_route_fields("overwrite_if_exists", &add("OVERWRITE_IF_EXISTS")).get_with("/", both).get("/"),
        with_route_fields("request headers removed", "request_headers_to_remove: [x-a, X-B]").get_with("/", "x-a: 1\r\nx-b: 2\r\nx-c: 3\r\n"),
        with_route_fields(
            "answer headers added and removed",
            "response_headers_to_add: [{ header: { key: x-out, value: v } }], response_headers_to_remove: [x-in]",
        )
        .answers([reply(200).header("x-in", "1").header("x-keep", "2")])
        .get("/"),
        scene("headers at all three levels, most specific last")
            .table("request_headers_to_add: [{ header: { key: x-l, value: table } }], response_headers_to_add: [{ header: { key: x-r, value: table } }]")
            .host("request_headers_to_add: [{ header: { key: x-l, value: host } }], response_headers_to_add: [{ header: { key: x-r, value: host } }]")
            .routes(
                "{ match: { prefix: / }, route: { cluster: $app }, request_headers_to_add: [{ header: { key: x-l, value: route } }], \
                 response_headers_to_add: [{ header: { key: x-r, value: route } }] }",
            )
            .get("/"),
        scene("headers at all three levels, most specific wins")
            .table("most_specific_header_mutations_wins: true, request_headers_to_add: [{ header: { key: x-l, value: table }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]")
            .host("request_headers_to_add: [{ header: { key: x-l, value: host }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]")
            .routes("{ match: { prefix: / }, route: { cluster: $app }, request_headers_to_add: [{ header: { key: x-l, value: route }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }] }")
            .get("/"),
        scene("headers of a weighted cluster")
            .route_weighted("request_headers_to_add: [{ header: { key: x-w, value: w } }], response_headers_to_add: [{ header: { key: x-v, value: v } }]")
            .get("/"),
        with_route_fields(
            "formatters in added headers",
            "request_headers_to_add: [{ header: { key: x-p, value: 'a %PROTOCOL% %REQ(:path)% %REQ(x-none)% 100%%' } }]",
        )
        .get("/p?q=1"),
        with_route_fields("an empty value is left out", "request_headers_to_add: [{ header: { key: x-e, value: '%REQ(x-none)%' } }]").get("/"),
        with_route_fields("an empty value is kept when asked", "request_headers_to_add: [{ header: { key: x-e, value: '' }, keep_empty_value: true }]").get("/"),
        with_route_fields("a removed header is added again", "request_headers_to_remove: [x-a], request_headers_to_add: [{ header: { key: x-a, value: new } }]")
            .get_with("/", both),
    ]
}

fn hop_by_hop() -> Vec<Scene> {
    vec![
        scene("connection and what it names").get_with("/", "connection: keep-alive, x-mine\r\nx-mine: 1\r\nx-other: 2\r\n"),
        scene("keep-alive and proxy-connection").get_with("/", "keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n"),
        scene("te with trailers").get_with("/", "te: trailers\r\n"),
        scene("te with more than trailers").get_with("/", "te: gzip, trailers\r\n"),
        scene("upgrade to h2c is passed over")
            .get_with("/", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
        scene("connection: close from the client").get_with("/", "connection: close\r\n"),
        scene("connection: close from the backend")
            .answers([reply(200).header("connection", "close").then(crate::scene::Act::Close), reply(200)])
            .get("/1")
            .get("/2"),
        scene("hop-by-hop headers of an answer")
            .answers([reply(200).header("keep-alive", "timeout=5").header("proxy-authenticate", "Basic")])
            .get("/"),
        scene("trailer and proxy-authorization").get_with("/", "trailer: x-t\r\nproxy-authorization: Basic eA==\r\n"),
    ]
}

fn values() -> Vec<Scene> {
    vec![
        scene("names are lower case on the way").get_with("/", "X-Mixed-Case: V\r\nACCEPT: */*\r\n"),
        scene("repeated headers stay in order").get_with("/", "x-r: 1\r\nx-s: a\r\nx-r: 2\r\nx-r: 3\r\n"),
        scene("white space around values").get_with("/", "x-w:   spaced out \t \r\n"),
        scene("an empty header value").get_with("/", "x-e:\r\n"),
        scene("obs-text in a value")
            .step(crate::scene::Step::Send(bytes::Bytes::from_static(
                b"GET / HTTP/1.1\r\nhost: example.com\r\nx-o: caf\xc3\xa9 \xff\r\n\r\n",
            )))
            .step(crate::scene::Step::Answer { to_head: false }),
        scene("repeated answer headers")
            .answers([reply(200).header("set-cookie", "a=1").header("set-cookie", "b=2").header("vary", "x")])
            .get("/"),
        scene("a server header of the backend").answers([reply(200).header("server", "mine/1.0")]).get("/"),
        scene("a date header of the backend").answers([reply(200).header("date", "Tue, 15 Nov 1994 08:12:31 GMT")]).get("/"),
        scene("a server name of its own").http("server_name: mine").get("/"),
        scene("server header passed through")
            .http("server_header_transformation: PASS_THROUGH")
            .answers([reply(200).header("server", "theirs")])
            .get("/"),
        scene("server header appended if absent")
            .http("server_header_transformation: APPEND_IF_ABSENT")
            .answers([reply(200).header("server", "theirs"), reply(200)])
            .get("/1")
            .get("/2"),
        scene("via").http("via: one").get_with("/", "via: 1.1 zero\r\n"),
        scene("x-envoy headers of a client").get_with("/", "x-envoy-expected-rq-timeout-ms: 5\r\nx-envoy-original-path: /o\r\n"),
        scene("cookie crumbs over HTTP/2").step(h2_get("/").header("cookie", "a=1").header("cookie", "b=2").into()),
        scene("cookies repeated over HTTP/1.1").get_with("/", "cookie: a=1\r\ncookie: b=2\r\n"),
        scene("header rewrite towards HTTP/2").h2(Role::App).get_with("/", "x-mine: 1\r\nconnection: x-mine\r\nte: trailers\r\n"),
        scene("headers of HTTP/2 towards HTTP/1.1").step(h2_request("GET", "/").header("x-b", "2").header("te", "trailers").into()),
    ]
}

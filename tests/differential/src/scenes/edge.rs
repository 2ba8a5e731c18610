//! Who the client is, request ids, own answers, redirects, clusters chosen by weight or header, interim answers and upgrades.

use crate::scene::{Act, Reply, Role, Scene, Step, h2_get, reply, scene};

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = identity();
    all.extend(own_answers());
    all.extend(redirects());
    all.extend(clusters());
    all.extend(interim());
    all
}

fn identity() -> Vec<Scene> {
    let xff = "x-forwarded-for: 203.0.113.7, 198.51.100.2\r\nx-forwarded-proto: https\r\n";
    let id = "x-request-id: 11111111-1111-4111-8111-111111111111\r\n";
    vec![
        scene("forwarded headers pass by default").get_with("/", xff).get("/"),
        scene("the peer's address is added").http("use_remote_address: true").get_with("/", xff).get("/"),
        scene("one trusted hop").http("use_remote_address: true, xff_num_trusted_hops: 1").get_with("/", xff),
        scene("a trusted hop without an edge").http("xff_num_trusted_hops: 1").get_with("/", xff),
        scene("x-forwarded-for not added").http("use_remote_address: true, skip_xff_append: true").get_with("/", xff).get("/"),
        scene("two x-forwarded-for lines").http("use_remote_address: true").get_with("/", "x-forwarded-for: 203.0.113.7\r\nx-forwarded-for: 198.51.100.2\r\n"),
        scene("a request id is made").get("/"),
        scene("a request id is kept").get_with("/", id),
        scene("a request id is replaced at the edge").http("use_remote_address: true").get_with("/", &format!("{id}x-forwarded-for: 203.0.113.7\r\n")),
        scene("a request id is kept at the edge when asked").http("use_remote_address: true, preserve_external_request_id: true").get_with("/", id),
        scene("no request id is made").http("generate_request_id: false").get("/").get_with("/", id),
        scene("a request id in the answer").http("always_set_request_id_in_response: true").get_with("/", id),
        scene("x-envoy headers of an external client are removed").http("use_remote_address: true").get_with("/", "x-forwarded-for: 203.0.113.7\r\nx-envoy-internal: true\r\nx-envoy-upstream-rq-timeout-ms: 1\r\nx-envoy-max-retries: 5\r\nx-envoy-retry-on: 5xx\r\n"),
        scene("a timeout asked for by an internal client").answers([Reply::does([Act::Stall])]).get_with("/", "x-envoy-upstream-rq-timeout-ms: 200\r\n"),
    ]
}

fn own_answers() -> Vec<Scene> {
    let direct = |name, fields: &str| scene(name).routes(&format!("{{ match: {{ prefix: / }}, direct_response: {{ {fields} }} }}"));
    vec![
        direct("a direct response", "status: 200, body: { inline_string: hello }").get("/").step(h2_get("/").into()),
        direct("a direct response without a body", "status: 204").get("/1").get("/2"),
        direct("a direct response to HEAD", "status: 200, body: { inline_string: hello }").ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"),
        direct("a direct response to an upload", "status: 403, body: { inline_string: denied }").post("/", "some body").get("/after"),
        direct("a direct response with inline bytes", "status: 200, body: { inline_bytes: aGVsbG8= }").get("/"),
        scene("a direct response with headers")
            .routes("{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: '{}' } }, response_headers_to_add: [{ header: { key: content-type, value: application/json }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }] }")
            .get("/"),
    ]
}

fn redirects() -> Vec<Scene> {
    let redirect = |name, fields: &str| scene(name).routes(&format!("{{ match: {{ prefix: /a }}, redirect: {{ {fields} }} }}"));
    vec![
        redirect("a redirect of the path", "path_redirect: /new").get("/a/x?q=1"),
        redirect("a redirect without the query", "path_redirect: /new, strip_query: true").get("/a/x?q=1"),
        redirect("a redirect of the prefix", "prefix_rewrite: /b").get("/a/x?q=1"),
        redirect("a redirect of the host", "host_redirect: other.example").get("/a"),
        redirect("a redirect to https", "https_redirect: true").get("/a").ask("GET /a HTTP/1.1\r\nhost: example.com:80\r\n\r\n"),
        redirect("a redirect with scheme and port", "scheme_redirect: https, port_redirect: 8443").get("/a"),
        redirect("a redirect with a status", "path_redirect: /new, response_code: PERMANENT_REDIRECT").get("/a").step(h2_get("/a").into()),
        redirect("a redirect by regex", "regex_rewrite: { pattern: { regex: '^/a/(.*)$' }, substitution: '/z/\\1' }").get("/a/x?q=1"),
        scene("tls required").host("require_tls: ALL").get("/a?b"),
    ]
}

/// Which clusters were asked, in words that do not depend on chance.
fn shares(lines: &[String]) -> Vec<String> {
    let count = |of: &str| lines.iter().filter(|l| l.starts_with(&format!("{of}: request"))).count();
    let (app, other) = (count("app"), count("other"));
    let split = match app {
        0 => "none to app",
        65..=135 => "about half to app",
        _ if other == 0 => "all to app",
        _ => "another split",
    };
    vec![format!("{} requests, {split}", app + other)]
}

fn clusters() -> Vec<Scene> {
    let weighted = |name, a: u32, b: u32| {
        scene(name)
            .routes(&format!(
                "{{ match: {{ prefix: / }}, route: {{ weighted_clusters: {{ clusters: [{{ name: $app, weight: {a} }}, {{ name: $other, weight: {b} }}] }} }} }}"
            ))
            .step(Step::Many(200, "GET / HTTP/1.1\r\nhost: a\r\n\r\n".into()))
            .look(shares)
    };
    vec![
        weighted("weights of one and one", 1, 1),
        weighted("a weight of none", 0, 1),
        weighted("a weight of all", 1, 0),
        scene("the cluster from a request header")
            .routes("{ match: { prefix: / }, route: { cluster_header: x-to } }")
            .get_with("/", "x-to: $other\r\n")
            .get_with("/", "x-to: none\r\n")
            .get("/"),
        scene("a cluster that is not there, checked later")
            .table("validate_clusters: false")
            .routes("{ match: { prefix: / }, route: { cluster: nowhere } }")
            .get("/"),
        scene("a cluster that is not there, with a status")
            .table("validate_clusters: false")
            .routes("{ match: { prefix: / }, route: { cluster: nowhere, cluster_not_found_response_code: NOT_FOUND } }")
            .get("/"),
    ]
}

fn interim() -> Vec<Scene> {
    let upgrade =
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let switched = Reply::raw("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n").then(Act::Echo);
    vec![
        scene("expect: 100-continue").send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").step(Step::Interim).ask("abc"),
        scene("expect: 100-continue left to the backend")
            .http("proxy_100_continue: true")
            .answers([Reply::raw("HTTP/1.1 100 Continue\r\n\r\n").then(Act::Pause(100)).then(Act::Raw(bytes::Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))).early()])
            .send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
            .step(Step::Interim)
            .ask("abc"),
        scene("103 before the answer").answers([Reply::raw("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")]).get("/"),
        scene("a WebSocket upgrade").http("upgrade_configs: [{ upgrade_type: websocket }]").answers([switched.clone()]).ask(upgrade).send("ping").step(Step::Read(4)).step(Step::Finish).step(Step::ToEnd),
        scene("a WebSocket upgrade of a route").route("upgrade_configs: [{ upgrade_type: websocket }]").answers([switched.clone()]).ask(upgrade).send("ping").step(Step::Read(4)),
        scene("a WebSocket upgrade refused by the backend").http("upgrade_configs: [{ upgrade_type: websocket }]").answers([reply(403)]).ask(upgrade),
        scene("an upgrade switched off for a route").http("upgrade_configs: [{ upgrade_type: websocket }]").route("upgrade_configs: [{ upgrade_type: websocket, enabled: false }]").ask(upgrade),
        scene("a WebSocket upgrade is copied")
            .http("upgrade_configs: [{ upgrade_type: websocket }]")
            .mirrored("")
            .answers([switched])
            .ask(upgrade)
            .send("ping")
            .step(Step::Read(4))
            .until(Role::Shadow, 1),
        scene("CONNECT ended here")
            .http("upgrade_configs: [{ upgrade_type: CONNECT }]")
            .routes("{ match: { connect_matcher: {} }, route: { cluster: $app, upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }")
            .answers([Reply::does([Act::Echo])])
            .ask("CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\n\r\n")
            .look(|lines| lines.iter().filter(|l| l.starts_with("client") || l.contains("HTTP/1.1")).cloned().collect()),
        scene("CONNECT sent on")
            .http("upgrade_configs: [{ upgrade_type: CONNECT }]")
            .routes("{ match: { connect_matcher: {} }, route: { cluster: $app } }")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\n\r\n").then(Act::Echo)])
            .ask("CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\n\r\n")
            .send("ping")
            .step(Step::Read(4)),
        scene("CONNECT refused by the backend")
            .http("upgrade_configs: [{ upgrade_type: CONNECT }]")
            .routes("{ match: { connect_matcher: {} }, route: { cluster: $app } }")
            .answers([reply(403)])
            .ask("CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\n\r\n"),
        scene("CONNECT that is not allowed")
            .routes("{ match: { connect_matcher: {} }, route: { cluster: $app } }")
            .ask("CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\n\r\n"),
        scene("no tunnel takes the route of a tunnel")
            .http("upgrade_configs: [{ upgrade_type: CONNECT }]")
            .routes("{ match: { connect_matcher: {} }, route: { cluster: $app } }, { match: { prefix: / }, route: { cluster: $other } }")
            .get("/"),
    ]
}

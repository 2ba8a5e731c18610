//! Copies: what they look like, where policies stand, what goes wrong with them, how they are counted.

use crate::scene::{Act, Reply, Role, Scene, Step, h2_get, h2_request, reply, scene};

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = looks();
    all.extend(places());
    all.extend(trouble());
    all.extend(samples());
    all.extend(counted());
    all
}

fn both(scene: Scene) -> Scene {
    scene.until(Role::Shadow, 1)
}

fn looks() -> Vec<Scene> {
    vec![
        both(scene("a copy of a GET").mirrored("").get_with("/a?b=c", "x-mine: 1\r\n")),
        both(scene("a copy's host with a port").mirrored("").ask("GET / HTTP/1.1\r\nhost: example.com:8080\r\n\r\n")),
        both(scene("a copy's host kept").mirrored("disable_shadow_host_suffix_append: true").get("/")),
        both(scene("a copy's host given").mirrored("host_rewrite_literal: shadow.example").get("/")),
        both(
            scene("a copy's headers changed")
                .mirrored("request_headers_mutations: [{ remove: authorization }, { append: { header: { key: x-copy, value: mine }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } }]")
                .get_with("/", "authorization: secret\r\nx-copy: no\r\n"),
        ),
        both(scene("a copy has the rewritten path and host").route("prefix_rewrite: /in, host_rewrite_literal: in.example, request_mirror_policies: [{ cluster: $shadow }]").get("/x")),
        both(scene("a copy has the route's headers").routes("{ match: { prefix: / }, route: { cluster: $app, request_mirror_policies: [{ cluster: $shadow }] }, request_headers_to_add: [{ header: { key: x-r, value: v } }] }").get("/")),
        both(scene("a copy of a chunked upload").mirrored("").ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")),
        both(scene("a copy of a megabyte").mirrored("").post("/", &"0123456789abcdef".repeat(60_000))),
        both(scene("a copy over HTTP/2").h2(Role::Shadow).mirrored("").post("/", "abc")),
        both(scene("a copy of an HTTP/2 request").mirrored("").step(h2_request("POST", "/").body("abc").into())),
        both(scene("HTTP/2 throughout").h2(Role::App).h2(Role::Shadow).mirrored("").step(h2_get("/x?y").into())),
        both(scene("a copy of a HEAD").mirrored("").ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")),
        both(scene("a copy of an OPTIONS").mirrored("").ask("OPTIONS /x HTTP/1.1\r\nhost: a\r\n\r\n")),
        both(scene("a copy keeps the request id").mirrored("").get_with("/", "x-request-id: 11111111-1111-4111-8111-111111111111\r\n")),
    ]
}

fn places() -> Vec<Scene> {
    let policy = |cluster: &str| format!("request_mirror_policies: [{{ cluster: {cluster} }}]");
    vec![
        both(scene("a policy of the virtual host").host(&policy("$shadow")).get("/")),
        both(scene("a policy of the table").table(&policy("$shadow")).get("/")),
        scene("the most specific policies win")
            .table(&policy("$shadow"))
            .routes(&format!("{{ match: {{ prefix: / }}, route: {{ cluster: $app, {} }} }}", policy("$other")))
            .get("/")
            .until(Role::Other, 1),
        scene("two policies")
            .route("request_mirror_policies: [{ cluster: $shadow }, { cluster: $other }]")
            .get("/")
            .until(Role::Shadow, 1)
            .until(Role::Other, 1),
        both(
            scene("the cluster from a header")
                .route("request_mirror_policies: [{ cluster_header: x-shadow }]")
                .get_with("/", "x-shadow: $shadow\r\n"),
        ),
        scene("the cluster from a header that is not there").route("request_mirror_policies: [{ cluster_header: x-shadow }]").get("/"),
        scene("no copy of a direct response")
            .table(&policy("$shadow"))
            .routes("{ match: { prefix: / }, direct_response: { status: 200 } }")
            .get("/"),
        scene("no copy of a redirect")
            .table(&policy("$shadow"))
            .routes("{ match: { prefix: / }, redirect: { path_redirect: /x } }")
            .get("/"),
        scene("no copy without a route").table(&policy("$shadow")).routes("{ match: { path: /x }, route: { cluster: $app } }").get("/"),
    ]
}

fn trouble() -> Vec<Scene> {
    let shadow =
        |name, replies: Vec<Reply>| scene(name).mirrored("").answers_of(Role::Shadow, replies).get("/1").get("/2").until(Role::Shadow, 2);
    vec![
        shadow("a shadow that fails", vec![reply(500)]),
        shadow("a shadow that resets", vec![Reply::does([Act::Reset])]),
        shadow("a shadow that closes", vec![Reply::does([Act::Close])]),
        shadow("a shadow that is late", vec![reply(200).after(400)]),
        shadow("a shadow that talks nonsense", vec![Reply::raw("nonsense\r\n\r\n").then(Act::Close)]),
        shadow("a shadow with a large answer", vec![reply(200).body("x".repeat(300_000))]),
        scene("a shadow that is not there").mirrored("").absent(Role::Shadow).get("/1").get("/2"),
        scene("a shadow that is full")
            .mirrored("")
            .cluster(Role::Shadow, "circuit_breakers: { thresholds: [{ max_requests: 0 }] }")
            .h2(Role::Shadow)
            .get("/1"),
        both(scene("a production that fails").mirrored("").answers([Reply::does([Act::Close])]).post("/", "x")),
        both(
            scene("an upload that breaks off")
                .mirrored("")
                .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
                .until(Role::App, 1),
        )
        .step(Step::Close)
        .step(Step::Pause(200)),
        both(
            scene("the client goes after its request")
                .mirrored("")
                .answers([reply(200).after(500)])
                .answers_of(Role::Shadow, [reply(200).after(200)])
                .send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .until(Role::App, 1),
        )
        .step(Step::Close)
        .step(Step::Pause(700)),
    ]
}

/// How many copies came, in words that do not depend on chance.
fn about(lines: &[String]) -> Vec<String> {
    let n = lines.iter().filter(|l| l.starts_with("shadow: request")).count();
    let sent = lines.iter().filter(|l| l.starts_with("app: request")).count();
    // 200 draws: a fraction of one half lies between these with all but one chance in a million.
    let word = match n {
        0 => "none",
        _ if n == sent => "all",
        65..=135 => "about half",
        _ => "another number",
    };
    vec![format!("requests {sent}, copies: {word}"), lines[0].clone()]
}

fn samples() -> Vec<Scene> {
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned();
    let sampled = |name, fraction: &str| {
        scene(name)
            .mirrored(&format!("runtime_fraction: {{ {fraction} }}"))
            .step(Step::Many(200, get.clone()))
            .step(Step::Pause(200))
            .look(about)
    };
    let live = |name, value: &str| {
        scene(name)
            .mirrored("runtime_fraction: { default_value: { numerator: 0 }, runtime_key: $key }")
            .step(Step::Admin(format!("/runtime_modify?$key={value}")))
            .step(Step::Many(200, get.clone()))
            .step(Step::Admin("/runtime_modify?$key=".into()))
            .look(|lines| about(lines).into_iter().take(1).collect())
    };
    vec![
        sampled("none sampled", "default_value: { numerator: 0 }"),
        sampled("half sampled", "default_value: { numerator: 50 }"),
        sampled("half sampled, of a million", "default_value: { numerator: 500000, denominator: MILLION }"),
        sampled("all sampled", "default_value: { numerator: 10000, denominator: TEN_THOUSAND }"),
        sampled("a numerator above the denominator is all", "default_value: { numerator: 150, denominator: HUNDRED }"),
        live("half sampled at run time", "50"),
        live("all sampled at run time", "100"),
        live("none sampled at run time", "0"),
    ]
}

fn counted() -> Vec<Scene> {
    const MINE: [&str; 3] = ["app.upstream_rq_total", "app.upstream_rq_xx.2", "app.upstream_rq_xx.5"];
    const BOTH: [&str; 6] = [
        "app.upstream_rq_total",
        "app.upstream_rq_xx.2",
        "app.upstream_rq_xx.5",
        "shadow.upstream_rq_total",
        "shadow.upstream_rq_xx.2",
        "shadow.upstream_rq_xx.5",
    ];
    vec![
        scene("requests are counted by class")
            .answers([reply(200), reply(201), reply(404), reply(503)])
            .get("/")
            .get("/")
            .get("/")
            .get("/")
            .stats(&[
                "app.upstream_rq_total",
                "app.upstream_rq_xx.2",
                "app.upstream_rq_xx.4",
                "app.upstream_rq_xx.5",
                "app.upstream_rq_active",
            ]),
        scene("copies are counted on the shadow's cluster")
            .mirrored("")
            .answers_of(Role::Shadow, [reply(500)])
            .get("/1")
            .get("/2")
            .until(Role::Shadow, 2)
            .stats(&BOTH),
        scene("retries are counted")
            .route("retry_policy: { retry_on: 5xx, num_retries: 2 }")
            .answers([reply(503), reply(503), reply(200)])
            .get("/")
            .stats(&[
                "app.upstream_rq_total",
                "app.upstream_rq_retry",
                "app.upstream_rq_retry_success",
                "app.upstream_rq_retry_limit_exceeded",
            ]),
        scene("a timeout is counted").route("timeout: 0.2s").answers([Reply::does([Act::Stall])]).get("/").stats(&[
            "app.upstream_rq_timeout",
            "app.upstream_rq_total",
            "app.upstream_rq_xx.5",
        ]),
        scene("a connection that fails is counted")
            .absent(Role::App)
            .get("/")
            .stats(&["app.upstream_cx_connect_fail", "app.upstream_rq_total"]),
        scene("connections are counted").get("/1").get("/2").step(Step::Connect).get("/3").stats(&[
            "app.upstream_cx_total",
            "app.upstream_cx_active",
            "app.membership_healthy",
            "app.membership_total",
        ]),
        scene("an overflow is counted")
            .h2(Role::App)
            .cluster(Role::App, "circuit_breakers: { thresholds: [{ max_requests: 0 }] }")
            .get("/")
            .stats(&["app.upstream_rq_pending_overflow"]),
        scene("a direct response counts on no cluster")
            .routes("{ match: { prefix: / }, direct_response: { status: 200 } }")
            .get("/")
            .stats(&MINE),
    ]
}

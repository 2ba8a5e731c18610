//! Access logs: which exchanges they take, and what they say of the endpoint's connection.

use crate::scene::{Reply, Role, Scene, reply, scene};

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = parts();
    all.extend(endpoints());
    all
}

/// A request whose id begins with these 32 bits.
fn drawn(scene: Scene, path: &str, bits: &str) -> Scene {
    scene.get_with(path, &format!("x-request-id: {bits}-0000-4000-8000-000000000000\r\n"))
}

fn parts() -> Vec<Scene> {
    let part = |name, percent: &str, lines| {
        let filter = format!("filter: {{ runtime_filter: {{ runtime_key: $key, percent_sampled: {{ {percent} }} }} }}");
        let scene = scene(name).log("%REQ(:PATH)% %RESPONSE_CODE%", &filter, lines);
        // Remainders of 100: 0, 49, 50, 99, 95, 47. The last one is always taken.
        let ids = ["00000000", "00000031", "00000032", "00000063", "ffffffff", "7fffffff"];
        let asked = ids.iter().fold(scene, |scene, bits| drawn(scene, &format!("/{bits}"), bits));
        drawn(asked, "/last", "00000000")
    };
    vec![
        part("a log takes a half", "numerator: 50", 4),
        part("a log takes a fine part", "numerator: 50, denominator: TEN_THOUSAND", 3),
        part("a log takes everything", "numerator: 100", 7),
        scene("a log by the status of gRPC")
            .log("%REQ(:PATH)%", "filter: { grpc_status_filter: { statuses: [UNAVAILABLE], exclude: true } }", 1)
            .answers([Reply::raw("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n"), reply(200)])
            .get("/1")
            .get("/2"),
    ]
}

fn endpoints() -> Vec<Scene> {
    let known = "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_PROTOCOL% \
        %UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER% %UPSTREAM_PEER_SUBJECT% %UPSTREAM_PEER_URI_SAN% %UPSTREAM_PEER_CERT_V_END(%Y)% \
        %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_FLAGS%";
    vec![
        scene("what a log says of an endpoint").log(known, "", 2).get("/1").get("/2"),
        scene("what a log says of an endpoint over HTTP/2").h2(Role::App).log(known, "", 1).get("/"),
        scene("what a log says of nobody there").absent(Role::App).log(known, "", 1).get("/"),
        scene("what a log says of no endpoint")
            .routes("{ match: { prefix: / }, direct_response: { status: 200 } }")
            .log(known, "", 1)
            .get("/"),
        scene("what a header says of an endpoint")
            .host("response_headers_to_add: [{ header: { key: x-up, value: '%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_ISSUER%' } }]")
            .get("/"),
    ]
}

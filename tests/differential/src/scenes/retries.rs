//! Retries: what is tried again, how often, and what the backend sees.

use crate::scene::{Act, Reply, Role, Scene, h2_request, reply, scene};

fn retried(name: &'static str, policy: &str) -> Scene {
    scene(name).route(&format!("retry_policy: {{ {policy} }}"))
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = conditions();
    all.extend(limits());
    all
}

fn conditions() -> Vec<Scene> {
    vec![
        retried("5xx retried", "retry_on: 5xx").answers([reply(503), reply(200)]).get("/"),
        retried("5xx retried in vain", "retry_on: 5xx, num_retries: 2").answers([reply(500).body("failed")]).get("/"),
        retried("404 is not 5xx", "retry_on: 5xx").answers([reply(404), reply(200)]).get("/"),
        retried("gateway-error", "retry_on: gateway-error").answers([reply(502), reply(500), reply(200)]).get("/1").get("/2"),
        retried("retriable-4xx", "retry_on: retriable-4xx").answers([reply(409), reply(200)]).get("/"),
        retried("retriable status codes", "retry_on: retriable-status-codes, retriable_status_codes: [418]")
            .answers([reply(418), reply(200)])
            .get("/"),
        retried("retriable headers", "retry_on: retriable-headers, retriable_headers: [{ name: x-again, present_match: true }]")
            .answers([reply(200).header("x-again", "1"), reply(200)])
            .get("/"),
        retried("connect-failure", "retry_on: connect-failure").absent(Role::App).get("/"),
        retried("reset retried", "retry_on: reset").answers([Reply::does([Act::Reset]), reply(200)]).get("/"),
        retried("a closed connection retried", "retry_on: reset").answers([Reply::does([Act::Close]), reply(200)]).post("/", "body"),
        retried("a stream reset retried", "retry_on: reset")
            .h2(Role::App)
            .answers([Reply::does([Act::Reset]), reply(200)])
            .post("/", "body"),
        retried("refused-stream is another reason", "retry_on: refused-stream")
            .h2(Role::App)
            .answers([Reply::does([Act::Reset]), reply(200)])
            .get("/"),
        retried("a gRPC status retried", "retry_on: unavailable")
            .h2(Role::App)
            .answers([reply(200).body("").header("content-type", "application/grpc").header("grpc-status", "14"), reply(200)])
            .step(h2_request("POST", "/s/M").header("content-type", "application/grpc").header("te", "trailers").body("frame").into()),
        scene("a host's policy").host("retry_policy: { retry_on: 5xx }").answers([reply(503), reply(200)]).get("/"),
        scene("asked for by the client").answers([reply(503), reply(200)]).get_with("/", "x-envoy-retry-on: 5xx\r\n"),
        scene("not asked for").answers([reply(503), reply(200)]).get("/"),
    ]
}

fn limits() -> Vec<Scene> {
    vec![
        retried("a per-try timeout", "retry_on: 5xx, num_retries: 1, per_try_timeout: 0.2s").answers([Reply::does([Act::Stall]), reply(200)]).get("/"),
        retried("a per-try timeout in vain", "retry_on: 5xx, num_retries: 1, per_try_timeout: 0.15s").answers([Reply::does([Act::Stall])]).get("/"),
        retried("a body is sent again", "retry_on: 5xx").answers([reply(503), reply(200)]).post("/", "the body"),
        retried("a large body is not sent again", "retry_on: 5xx").answers([reply(503), reply(200)]).post("/", &"x".repeat(2_000_000)),
        retried("no retries", "retry_on: 5xx, num_retries: 0").answers([reply(503), reply(200)]).get("/"),
        scene("attempts counted for the backend").host("include_request_attempt_count: true, retry_policy: { retry_on: 5xx }").answers([reply(503), reply(200)]).get("/"),
        scene("attempts counted for the client").host("include_attempt_count_in_response: true, retry_policy: { retry_on: 5xx }").answers([reply(503), reply(200)]).get("/"),
        scene("the timeout ends retries").route("timeout: 0.3s, retry_policy: { retry_on: 5xx, num_retries: 20, retry_back_off: { base_interval: 0.1s, max_interval: 0.1s } }").answers([reply(503).after(50)]).get("/").look(|lines| {
            lines.iter().filter(|l| l.starts_with("client") || l.contains("HTTP/1.1 5")).cloned().collect()
        }),
        retried("a retry goes to the copy's cluster no more often", "retry_on: 5xx").answers([reply(503), reply(200)]).get("/"),
        scene("a retried request is copied once")
            .route("retry_policy: { retry_on: 5xx }, request_mirror_policies: [{ cluster: $shadow }]")
            .answers([reply(503), reply(200)])
            .get("/")
            .until(Role::Shadow, 1),
    ]
}

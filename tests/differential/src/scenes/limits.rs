//! Timeouts, limits, connections that end.

use crate::scene::{Act, Reply, Role, Scene, Step, h2_request, reply, scene};

fn raw(text: &str) -> Act {
    Act::Raw(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = timeouts();
    all.extend(failures());
    all.extend(sizes());
    all.extend(breakers());
    all
}

fn stalls() -> Reply {
    Reply::does([Act::Stall])
}

fn timeouts() -> Vec<Scene> {
    vec![
        scene("the route's timeout").route("timeout: 0.2s").answers([stalls(), reply(200)]).get("/").get("/after"),
        scene("the route's timeout over HTTP/2")
            .route("timeout: 0.2s")
            .h2(Role::App)
            .answers([stalls()])
            .step(h2_request("GET", "/").into()),
        scene("no timeout").route("timeout: 0s").answers([reply(200).after(300)]).get("/"),
        scene("a timeout in the middle of an answer")
            .route("timeout: 0.3s")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").then(Act::Stall)])
            .get("/"),
        scene("a slow upload is not the backend's fault")
            .route("timeout: 0.3s")
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
            .step(Step::Pause(600))
            .ask("cd"),
        scene("the idle timeout of a route").route("idle_timeout: 0.2s, timeout: 5s").answers([stalls()]).get("/"),
        scene("the idle timeout of streams").http("stream_idle_timeout: 0.2s").answers([stalls()]).get("/"),
        scene("the longest a stream may last")
            .route("max_stream_duration: { max_stream_duration: 0.2s }, timeout: 5s")
            .answers([stalls()])
            .get("/"),
        scene("a request that does not come whole")
            .http("request_timeout: 0.3s")
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
            .step(Step::Answer { to_head: false }),
        scene("a head that does not come whole").http("request_headers_timeout: 0.3s").send("GET / HTTP/1.1\r\nhost:").step(Step::ToEnd),
        scene("an idle connection is closed").http("common_http_protocol_options: { idle_timeout: 0.3s }").get("/").step(Step::ToEnd),
        scene("a connection's longest life")
            .http("common_http_protocol_options: { max_connection_duration: 0.3s }, drain_timeout: 0.2s")
            .get("/")
            .step(Step::Pause(500))
            .step(Step::ToEnd),
        scene("so many requests a connection")
            .http("common_http_protocol_options: { max_requests_per_connection: 2 }")
            .get("/1")
            .get("/2")
            .get("/3"),
        scene("a per-try timeout without retries")
            .route("retry_policy: { retry_on: 5xx, num_retries: 0, per_try_timeout: 0.2s }")
            .answers([stalls()])
            .get("/"),
    ]
}

fn failures() -> Vec<Scene> {
    vec![
        scene("nobody listens").absent(Role::App).get("/"),
        scene("nobody listens, over HTTP/2").absent(Role::App).h2(Role::App).get("/"),
        scene("a reset before the answer").answers([Reply::does([Act::Reset])]).post("/", "x"),
        scene("a close before the answer").answers([Reply::does([Act::Close])]).post("/", "x"),
        scene("a close in the middle of the head").answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-").then(Act::Close)]).post("/", "x"),
        scene("a close in the middle of the body")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").then(Act::Pause(50)).then(Act::Close)])
            .get("/"),
        scene("a close in the middle of chunks")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab").then(Act::Pause(50)).then(Act::Close)])
            .get("/"),
        scene("an answer that is none").answers([Reply::raw("nonsense\r\n\r\n")]).get("/"),
        scene("an answer of two lengths")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd")])
            .get("/"),
        scene("a stream reset").h2(Role::App).answers([Reply::does([Act::Reset]), reply(200)]).post("/", "x").get("/after"),
        scene("bytes after the answer")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhihello?"), reply(200)])
            .get("/1")
            .step(Step::Pause(50))
            .get("/2"),
        scene("an answer without a request")
            .answers([
                Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                    .then(Act::Pause(50))
                    .then(raw("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"))
                    .then(Act::Close),
                reply(200),
            ])
            .get("/1")
            .step(Step::Pause(200))
            .get("/2"),
        scene("the client goes in the middle of its upload")
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
            .until(Role::App, 1)
            .step(Step::Close)
            .step(Step::Pause(200)),
        scene("the client resets its stream")
            .h2(Role::App)
            .answers([stalls()])
            .step(h2_request("POST", "/").body("ab").reset_after(100).into()),
        scene("the client says that it has said all")
            .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .step(Step::Finish)
            .step(Step::Answer { to_head: false }),
    ]
}

fn many_headers(n: usize) -> String {
    (0..n).map(|i| format!("x-{i}: v\r\n")).collect()
}

fn sizes() -> Vec<Scene> {
    vec![
        scene("headers of 50 KiB").get_with("/", &format!("x-long: {}\r\n", "v".repeat(50_000))),
        scene("headers of 70 KiB").get_with("/", &format!("x-long: {}\r\n", "v".repeat(70_000))),
        scene("headers beyond a limit of its own")
            .http("max_request_headers_kb: 10")
            .get_with("/", &format!("x-long: {}\r\n", "v".repeat(12_000))),
        scene("90 headers").get_with("/", &many_headers(90)),
        scene("110 headers").get_with("/", &many_headers(110)),
        scene("more headers than a limit of its own")
            .http("common_http_protocol_options: { max_headers_count: 20 }")
            .get_with("/", &many_headers(30)),
        scene("more headers allowed").http("common_http_protocol_options: { max_headers_count: 300 }").get_with("/", &many_headers(200)),
        scene("a long path").get(&format!("/{}", "p".repeat(8_000))),
        scene("200 headers in an answer").answers([many_in_answer(90)]).get("/"),
        scene("underscores refused")
            .http("common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }")
            .get_with("/", "x_a: 1\r\n"),
        scene("underscores dropped")
            .http("common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }")
            .get_with("/", "x_a: 1\r\nx-b: 2\r\n"),
    ]
}

fn many_in_answer(n: usize) -> Reply {
    let lines: String = (0..n).map(|i| format!("x-{i}: v\r\n")).collect();
    Reply::raw(&format!("HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nok"))
}

fn breakers() -> Vec<Scene> {
    vec![
        scene("no request allowed").cluster(Role::App, "circuit_breakers: { thresholds: [{ max_requests: 0 }] }").h2(Role::App).get("/"),
        scene("an unhealthy endpoint").cluster(Role::App, "common_lb_config: { healthy_panic_threshold: { value: 0 } }").get("/"),
    ]
}

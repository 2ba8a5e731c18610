//! Bodies and their framing, in both directions.

use crate::scene::{Act, Reply, Role, Scene, Step, h2_get, h2_request, reply, scene};

/// 1 MiB that is not all the same.
fn large() -> String {
    "0123456789abcdef".repeat(65_536)
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = requests();
    all.extend(answers());
    all.extend(over_http2());
    all
}

fn requests() -> Vec<Scene> {
    vec![
        scene("chunks become chunks")
            .ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n5;ext=1\r\npedia\r\n0\r\n\r\n"),
        scene("chunks with trailers, which are not let in")
            .ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n"),
        scene("chunks with trailers, let in").http("http_protocol_options: { enable_trailers: true }").ask(
            "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n",
        ),
        scene("an empty body by length").ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        scene("an empty body in chunks").ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        scene("a POST without length").ask("POST / HTTP/1.1\r\nhost: a\r\n\r\n"),
        scene("a GET with a body").ask("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"),
        scene("a DELETE with a body").ask("DELETE /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"),
        scene("an upload of a megabyte").post("/up", &large()),
        scene("an upload in two parts")
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
            .step(Step::Pause(100))
            .ask("def"),
        scene("an answer before the body has come")
            .answers([reply(413).early()])
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
            .step(Step::Answer { to_head: false }),
        scene("a method of its own").ask("PURGE /x HTTP/1.1\r\nhost: a\r\n\r\n"),
        scene("pipelined requests")
            .send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
            .step(Step::Answer { to_head: false })
            .step(Step::Answer { to_head: false }),
        scene("an upload over two connections").post("/1", "one").step(Step::Connect).post("/2", "two"),
    ]
}

fn answers() -> Vec<Scene> {
    vec![
        scene("an answer in chunks")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")])
            .get("/"),
        scene("an answer with trailers").answers([reply(200).body("b").trailer("x-t", "1")]).get("/"),
        scene("an answer with trailers, let through")
            .http("http_protocol_options: { enable_trailers: true }")
            .cluster(Role::App, &trailers_up())
            .answers([reply(200).body("b").trailer("x-t", "1")])
            .get_with("/", "te: trailers\r\n"),
        scene("an answer until close").answers([Reply::raw("HTTP/1.1 200 OK\r\n\r\nuntil the end").then(Act::Close)]).get("/1").get("/2"),
        scene("an answer to HEAD").ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").get("/after"),
        scene("an answer to HEAD in chunks")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), reply(200)])
            .ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            .get("/after"),
        scene("204").answers([reply(204)]).get("/1").get("/2"),
        scene("304 with a length")
            .answers([Reply::raw("HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n")])
            .get("/1")
            .get("/2"),
        scene("an empty answer").answers([reply(200).body("")]).get("/1").get("/2"),
        scene("a megabyte").answers([reply(200).body(large())]).get("/"),
        scene("a status of its own").answers([Reply::raw("HTTP/1.1 299 Whatever\r\ncontent-length: 0\r\n\r\n")]).get("/"),
        scene("an answer in pieces")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-le")
                .then(Act::Pause(50))
                .then(raw("ngth: 4\r\n\r\nab"))
                .then(Act::Pause(50))
                .then(raw("cd"))])
            .get("/"),
        scene("content-length and chunked in an answer")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")])
            .get("/"),
        scene("an answer of HTTP/1.0").answers([Reply::raw("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi").then(Act::Close)]).get("/1"),
    ]
}

fn raw(text: &str) -> Act {
    Act::Raw(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

fn trailers_up() -> String {
    "typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { \"@type\": \
     type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: { http_protocol_options: { enable_trailers: true } } } }"
        .into()
}

fn over_http2() -> Vec<Scene> {
    vec![
        scene("HTTP/2 to HTTP/1.1 with a body of unknown length").step(h2_request("POST", "/").body("abc").into()),
        scene("HTTP/2 to HTTP/1.1 with a length").step(h2_request("POST", "/").header("content-length", "3").body("abc").into()),
        scene("HTTP/2 to HTTP/1.1, answer in chunks")
            .answers([Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")])
            .step(h2_get("/").into()),
        scene("HTTP/2 on both sides, with trailers")
            .h2(Role::App)
            .answers([reply(200).body("b").header("content-type", "application/grpc").trailer("grpc-status", "0")])
            .step(
                h2_request("POST", "/svc/Call")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body("frame")
                    .trailer("x-t", "1")
                    .into(),
            ),
        scene("an answer of trailers only")
            .h2(Role::App)
            .answers([reply(200).body("").header("content-type", "application/grpc").header("grpc-status", "12")])
            .step(h2_request("POST", "/svc/Call").header("content-type", "application/grpc").header("te", "trailers").body("frame").into()),
        scene("HTTP/1.1 to HTTP/2").h2(Role::App).post("/", "abc").get("/next"),
        scene("HTTP/1.1 chunks to HTTP/2")
            .h2(Role::App)
            .ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        scene("HEAD over HTTP/2").step(h2_request("HEAD", "/").into()),
        scene("a megabyte over HTTP/2")
            .h2(Role::App)
            .answers([reply(200).body(large())])
            .step(h2_request("POST", "/").body(large()).into()),
        scene("an empty data frame").step(h2_request("POST", "/").body("").into()),
    ]
}

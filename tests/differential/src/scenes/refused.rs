//! Requests that no proxy should let pass, and those at the edge: smuggling, broken syntax, wrong versions.

use crate::scene::{Scene, Step, scene};

/// Sends bytes and reads until the other side closes.
fn bytes(name: &'static str, text: &str) -> Scene {
    scene(name).send(text).step(Step::Answer { to_head: false })
}

pub(super) fn scenes() -> Vec<Scene> {
    let mut all = smuggling();
    all.extend(syntax());
    all.extend(http10());
    all
}

fn smuggling() -> Vec<Scene> {
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        bytes(
            "content-length and chunked",
            &format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"),
        ),
        bytes("two different lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        bytes("two equal lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
        bytes("a length list", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\nhello"),
        bytes("a length with a plus", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello"),
        bytes("a length in hex", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nhello"),
        bytes("a negative length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"),
        bytes("a length too large to count", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n"),
        bytes("chunked not last", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        bytes("an unknown transfer encoding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        bytes(
            "chunked twice",
            &format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"),
        ),
        bytes("a space before the colon", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 5\r\n\r\nhello"),
        bytes("a folded header", "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n"),
        bytes("a chunk size that is not one", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        bytes("a chunk longer than it says", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"),
        bytes("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        bytes("a NUL in a value", "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n"),
        bytes("a bare CR in a value", "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\rc\r\n\r\n"),
    ]
}

fn syntax() -> Vec<Scene> {
    vec![
        bytes("no host", "GET / HTTP/1.1\r\nx-a: b\r\n\r\n"),
        bytes("an empty host", "GET / HTTP/1.1\r\nhost:\r\n\r\n"),
        bytes("HTTP/1.2", "GET / HTTP/1.2\r\nhost: a\r\n\r\n"),
        bytes("HTTP/3.0 in plain text", "GET / HTTP/3.0\r\nhost: a\r\n\r\n"),
        bytes("no version", "GET /\r\n\r\n"),
        bytes("no path", "GET HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("a path without a slash", "GET x HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("two spaces", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("a header name with a space", "GET / HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n"),
        bytes("a header without a name", "GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n"),
        bytes("a header line without a colon", "GET / HTTP/1.1\r\nhost: a\r\nnothing\r\n\r\n"),
        bytes("an underscore in a name", "GET / HTTP/1.1\r\nhost: a\r\nx_a: b\r\n\r\n"),
        bytes("empty lines before the request", "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("bare line feeds", "GET / HTTP/1.1\nhost: a\n\n"),
        bytes("CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n"),
        bytes("TRACE", "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("an upgrade that nobody allows", "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        bytes("an unknown expectation", "POST / HTTP/1.1\r\nhost: a\r\nexpect: the-unexpected\r\ncontent-length: 0\r\n\r\n"),
        bytes("plain nonsense", "\u{1}\u{2}\u{3}\u{4}\r\n\r\n"),
        bytes("a control character in the path", "GET /a\u{7}b HTTP/1.1\r\nhost: a\r\n\r\n"),
        bytes("bytes above ASCII in the path", "GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n"),
    ]
}

fn http10() -> Vec<Scene> {
    vec![
        bytes("HTTP/1.0 by default", "GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
        bytes("HTTP/1.0 allowed", "GET / HTTP/1.0\r\nhost: a\r\n\r\n").http("http_protocol_options: { accept_http_10: true }"),
        bytes("HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n")
            .http("http_protocol_options: { accept_http_10: true, default_host_for_http_10: ten.example }"),
        bytes("HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            .http("http_protocol_options: { accept_http_10: true }"),
    ]
}

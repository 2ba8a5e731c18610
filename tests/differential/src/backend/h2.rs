//! HTTP/2 of a scripted backend.

use super::{Script, Seen};
use crate::scene::reply::{Act, Answer};
use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, script: Arc<Script>) {
    let Ok(mut served) = h2::server::handshake(stream).await else { return };
    let mut streams = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = served.accept().await {
        let nth = script.log.begin(head(&request));
        streams.spawn(one(request.into_body(), respond, script.clone(), nth));
    }
}

async fn one(mut body: RecvStream, mut respond: SendResponse<Bytes>, script: Arc<Script>, nth: usize) {
    let reply = script.reply(nth);
    if reply.reads_body {
        read(&mut body, &script, nth).await;
    }
    for act in &reply.acts {
        match act {
            Act::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Act::Answer(answer) => answered(answer, &mut respond, script.role.name()),
            Act::Close | Act::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
            Act::Stall => std::future::pending().await,
            // Of HTTP/1.1 only.
            Act::Raw(_) | Act::Echo => {}
        }
    }
    if !reply.reads_body {
        read(&mut body, &script, nth).await;
    }
}

fn answered(answer: &Answer, respond: &mut SendResponse<Bytes>, name: &'static str) {
    let mut head = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        head = head.header(*name, value);
    }
    let body = answer.body.clone().unwrap_or(Bytes::from_static(name.as_bytes()));
    let Ok(head) = head.body(()) else { return };
    // Whoever has reset the stream gets no answer.
    let Ok(mut stream) = respond.send_response(head, body.is_empty() && answer.trailers.is_empty()) else { return };
    if !body.is_empty() {
        let _ = stream.send_data(body, answer.trailers.is_empty());
    }
    if !answer.trailers.is_empty() {
        let pairs = answer.trailers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        let _ = stream.send_trailers(pairs.collect());
    }
}

async fn read(body: &mut RecvStream, script: &Script, nth: usize) {
    let (mut bytes, mut whole) = (BytesMut::new(), true);
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else {
            whole = false;
            break;
        };
        // Capacity that cannot be given back belongs to a stream that is over.
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    let trailers = if whole { body.trailers().await.ok().flatten().unwrap_or_default() } else { HeaderMap::new() };
    script.log.change(nth, |s| {
        (s.body, s.trailers, s.end) = (bytes.freeze(), lines(&trailers), if whole { "whole" } else { "cut" });
    });
}

fn head(request: &Request<RecvStream>) -> Seen {
    let uri = request.uri();
    let mut head = format!("{} {} HTTP/2\r\n", request.method(), uri.path_and_query().map_or("", |p| p.as_str()));
    let _ = write!(head, "host: {}\r\n", uri.authority().map_or("", |a| a.as_str()));
    head.push_str(&lines(request.headers()));
    let framing = if request.body().is_end_stream() { "no body" } else { "data frames" };
    Seen { head, framing: framing.into(), body: Bytes::new(), trailers: String::new(), end: "unread" }
}

/// Header lines.
pub fn lines(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let _ = write!(text, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text
}

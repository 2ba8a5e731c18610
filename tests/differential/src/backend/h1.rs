//! HTTP/1.1 of a scripted backend.

use super::{Script, Seen};
use crate::scene::reply::{Act, Answer};
use crate::wire::{Framing, Message, Wire};
use bytes::Bytes;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, script: Arc<Script>) {
    let mut wire = Wire::new(stream);
    while let Some(mut message) = wire.request(false).await {
        let nth = script.log.begin(seen(&message));
        let reply = script.reply(nth);
        if reply.reads_body {
            wire.body(&mut message).await;
            script.log.change(nth, |s| *s = seen(&message));
        }
        let to_head = message.head.starts_with("HEAD ");
        for act in &reply.acts {
            match act {
                Act::Raw(bytes) => drop(wire.write(bytes).await),
                Act::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Act::Close => return,
                Act::Reset => return wire.reset(),
                Act::Stall => {
                    // Held open until the other side goes.
                    while wire.more().await.is_some() {}
                    return;
                }
                Act::Echo => return echo(&mut wire).await,
                Act::Answer(answer) => drop(wire.write(&written(answer, script.role.name(), to_head)).await),
            }
        }
        if !reply.reads_body {
            wire.body(&mut message).await;
            script.log.change(nth, |s| *s = seen(&message));
        }
    }
}

async fn echo(wire: &mut Wire) {
    loop {
        let bytes = wire.rest();
        if !bytes.is_empty() && !wire.write(&bytes).await {
            return;
        }
        if wire.more().await.is_none() {
            return;
        }
    }
}

fn written(answer: &Answer, name: &'static str, to_head: bool) -> Vec<u8> {
    let body = answer.body.clone().unwrap_or(Bytes::from_static(name.as_bytes()));
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let bodiless = answer.status == 204 || answer.status == 304;
    let mut bytes;
    if answer.trailers.is_empty() {
        if !bodiless {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        bytes = (head + "\r\n").into_bytes();
        if !(to_head || bodiless) {
            bytes.extend_from_slice(&body);
        }
    } else {
        bytes = (head + "transfer-encoding: chunked\r\n\r\n").into_bytes();
        bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\r\n0\r\n");
        for (name, value) in &answer.trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown")
}

fn seen(message: &Message) -> Seen {
    let framing = match message.framing {
        Framing::None | Framing::Close => "no body".into(),
        Framing::Length(n) => format!("content-length {n}"),
        Framing::Chunked => "chunked".into(),
    };
    let end = if message.whole { "whole" } else { "cut" };
    Seen { head: message.head.clone(), framing, body: message.body.clone(), trailers: message.trailers.clone(), end }
}

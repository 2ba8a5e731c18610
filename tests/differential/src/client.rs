//! The client of a scene: takes its steps one after the other and writes down what came back.

mod h2;

use crate::backend::Log;
use crate::scene::{Role, Step};
use crate::transcript::{self, shown};
use crate::wire::{Framing, Message, PATIENCE, Wire};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A client of one proxy's listener.
pub struct Client {
    listener: SocketAddr,
    admin: SocketAddr,
    logs: BTreeMap<Role, Arc<Log>>,
    wire: Option<Wire>,
    h2: Option<h2::H2>,
    /// What it has written down.
    pub notes: Vec<String>,
}

impl Client {
    /// A client that has done nothing yet.
    pub fn new(listener: SocketAddr, admin: SocketAddr, logs: BTreeMap<Role, Arc<Log>>) -> Self {
        Self { listener, admin, logs, wire: None, h2: None, notes: Vec::new() }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    async fn wire(&mut self) -> Option<&mut Wire> {
        if self.wire.is_none() {
            match TcpStream::connect(self.listener).await {
                Ok(stream) => self.wire = Some(Wire::new(stream)),
                Err(why) => self.note(format!("client: cannot connect: {why}")),
            }
        }
        self.wire.as_mut()
    }

    /// Takes one step.
    pub async fn take(&mut self, step: &Step) {
        match step {
            Step::Connect => {
                self.wire = None;
                self.wire().await;
            }
            Step::Send(bytes) => self.send(bytes).await,
            Step::Answer { to_head } => self.answer(*to_head).await,
            Step::Interim => {
                let head = match self.wire().await {
                    Some(wire) => wire.head().await,
                    None => None,
                };
                self.note(head.map_or("client: no interim answer".into(), |h| format!("client: interim {}", h.trim_end())));
            }
            Step::Read(n) => {
                let bytes = match self.wire().await {
                    Some(wire) => wire.exactly(*n).await,
                    None => Default::default(),
                };
                self.note(format!("client: reads {}", shown(&bytes)));
            }
            Step::ToEnd => self.until_end().await,
            Step::Finish => {
                if let Some(wire) = self.wire().await {
                    wire.finish().await;
                }
            }
            Step::Close => self.wire = None,
            Step::Reset => {
                if let Some(wire) = self.wire.take() {
                    wire.reset();
                }
            }
            Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Step::Until(role, n) => self.until(*role, *n).await,
            Step::H2(request) => self.over_h2(request).await,
            Step::Admin(path) => {
                let status = admin(self.admin, "POST", path).await.map_or(0, |a| a.status());
                self.note(format!("client: admin {status}"));
            }
            Step::Many(n, text) => self.many(*n, text).await,
            Step::AtOnce(n, text) => self.at_once(*n, text).await,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        if let Some(wire) = self.wire().await
            && !wire.write(bytes).await
        {
            self.note("client: cannot send");
        }
    }

    async fn answer(&mut self, to_head: bool) {
        loop {
            let Some(wire) = &mut self.wire else { return };
            match wire.answer(to_head).await {
                None => {
                    self.note("client: the connection ends without an answer");
                    self.wire = None;
                    return;
                }
                Some(message) => {
                    let interim = (100..200).contains(&message.status()) && message.status() != 101;
                    let closes = message.framing == Framing::Close && message.status() != 101;
                    self.notes.extend(answer_lines(&message));
                    if closes || message.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                        self.wire = None;
                    }
                    if !interim {
                        return;
                    }
                }
            }
        }
    }

    async fn until_end(&mut self) {
        if let Some(wire) = &mut self.wire {
            let (bytes, how) = wire.until_end().await;
            self.wire = None;
            self.note(format!("client: until the end ({how}): {}", transcript::text(&bytes)));
        }
    }

    async fn until(&mut self, role: Role, n: usize) {
        let begun = Instant::now();
        while self.logs[&role].count() < n && begun.elapsed() < PATIENCE / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn over_h2(&mut self, request: &crate::scene::H2Request) {
        if self.h2.is_none() {
            self.h2 = h2::H2::connect(self.listener).await;
        }
        let said = match &mut self.h2 {
            Some(h2) => h2.ask(request).await,
            None => vec!["client: no HTTP/2 connection".into()],
        };
        self.notes.extend(said);
    }

    async fn many(&mut self, n: usize, text: &str) {
        let mut statuses = BTreeMap::<u16, usize>::new();
        for _ in 0..n {
            let status = ask_once(&mut self.wire, self.listener, text).await;
            *statuses.entry(status).or_default() += 1;
        }
        self.note(format!("client: {n} requests, answers by status {statuses:?}"));
    }

    async fn at_once(&mut self, n: usize, text: &str) {
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..n {
            let (listener, text) = (self.listener, text.to_owned());
            asked.spawn(async move { ask_once(&mut None, listener, &text).await });
        }
        let mut statuses = BTreeMap::<u16, usize>::new();
        while let Some(status) = asked.join_next().await {
            *statuses.entry(status.unwrap_or_default()).or_default() += 1;
        }
        self.note(format!("client: {n} requests at once, answers by status {statuses:?}"));
    }
}

async fn ask_once(wire: &mut Option<Wire>, listener: SocketAddr, text: &str) -> u16 {
    if wire.is_none() {
        *wire = TcpStream::connect(listener).await.ok().map(Wire::new);
    }
    let Some(open) = wire else { return 0 };
    let answer = if open.write(text.as_bytes()).await { open.answer(false).await } else { None };
    let closes = answer.as_ref().is_none_or(|a| a.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")));
    if closes {
        *wire = None;
    }
    answer.map_or(0, |a| a.status())
}

fn answer_lines(message: &Message) -> Vec<String> {
    let mut lines = vec!["client: answer".to_owned()];
    lines.extend(transcript::head(&message.head));
    let end = if message.whole { "" } else { ", cut" };
    match message.framing {
        Framing::None => {}
        Framing::Length(_) => lines.push(format!("  body by length{end}: {}", shown(&message.body))),
        Framing::Chunked => lines.push(format!("  body in chunks{end}: {}", shown(&message.body))),
        Framing::Close => lines.push(format!("  body until close{end}: {}", shown(&message.body))),
    }
    lines.extend(message.trailers.lines().map(|l| format!("  trailer {l}")));
    lines
}

/// One request to an admin listener, on a connection of its own; asked again while it is too busy (503), as when many scenes ask at once.
pub async fn admin(address: SocketAddr, method: &str, path: &str) -> Option<Message> {
    let begun = Instant::now();
    loop {
        let mut wire = Wire::new(TcpStream::connect(address).await.ok()?);
        let text = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        wire.write(text.as_bytes()).await;
        let answer = wire.answer(false).await;
        if answer.as_ref().is_some_and(|a| a.status() != 503) || begun.elapsed() > PATIENCE {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

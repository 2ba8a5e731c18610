//! HTTP/1.1 on a socket, read byte by byte as it is: heads raw, bodies decoded with how they were framed. Used by client and backends alike.
//!
//! A reader of its own, because a library would hide what is compared here: letter case, framing, early ends.

use bytes::{Buf as _, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nobody waits longer than this for a byte that is to come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// How a message's body was delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// `content-length`.
    Length(usize),
    /// Chunked.
    Chunked,
    /// Until the connection closes.
    Close,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Start line and header lines, raw.
    pub head: String,
    /// How the body was framed.
    pub framing: Framing,
    /// The body, decoded.
    pub body: Bytes,
    /// Trailer lines, raw.
    pub trailers: String,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Message {
    /// First value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The status of an answer, 0 when there is none.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.trim().parse().ok()).unwrap_or_default()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|l| l.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()))
}

impl Wire {
    /// Takes a connection.
    pub fn new(stream: TcpStream) -> Self {
        // Small writes are to go out at once.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: BytesMut::new() }
    }

    /// Writes all; false when the other side is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Says that nothing more is sent.
    pub async fn finish(&mut self) {
        // Gone already is as good.
        let _ = self.stream.shutdown().await;
    }

    /// Makes the coming close a TCP reset.
    pub fn reset(self) {
        // Where it cannot be set, the close is a plain one, and the scene shows it.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// More bytes; None at the end, on an error, or when nothing came for too long.
    pub async fn more(&mut self) -> Option<usize> {
        match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(n)) if n > 0 => Some(n),
            _ => None,
        }
    }

    /// Everything until the end, and how it ended.
    pub async fn until_end(&mut self) -> (Bytes, &'static str) {
        let how = loop {
            match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => break "closed",
                Ok(Ok(_)) => {}
                Ok(Err(_)) => break "reset",
                Err(_) => break "still open",
            }
        };
        (self.buffer.split().freeze(), how)
    }

    /// Exactly so many bytes, or as many as came.
    pub async fn exactly(&mut self, n: usize) -> Bytes {
        while self.buffer.len() < n && self.more().await.is_some() {}
        self.buffer.split_to(n.min(self.buffer.len())).freeze()
    }

    /// Takes what has been read and not used yet.
    pub fn rest(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// A message's head; None when the connection ends before it.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            // An empty line before a start line is skipped.
            while self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
            }
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return Some(String::from_utf8_lossy(&head[..end + 2]).into_owned());
            }
            self.more().await?;
        }
    }

    /// A request.
    pub async fn request(&mut self, with_body: bool) -> Option<Message> {
        let head = self.head().await?;
        let framing = match framing(&head) {
            Framing::Close => Framing::None,
            other => other,
        };
        let mut message = Message { head, framing, body: Bytes::new(), trailers: String::new(), whole: framing == Framing::None };
        if with_body {
            self.body(&mut message).await;
        }
        Some(message)
    }

    /// An answer (interim ones are messages of their own).
    pub async fn answer(&mut self, to_head: bool) -> Option<Message> {
        let head = self.head().await?;
        let mut message = Message { head, framing: Framing::None, body: Bytes::new(), trailers: String::new(), whole: true };
        let status = message.status();
        if !(to_head || status < 200 || status == 204 || status == 304) {
            message.framing = framing(&message.head);
            self.body(&mut message).await;
        }
        Some(message)
    }

    /// Reads a message's body into it.
    pub async fn body(&mut self, message: &mut Message) {
        match message.framing {
            Framing::None => message.whole = true,
            Framing::Length(n) => {
                message.body = self.exactly(n).await;
                message.whole = message.body.len() == n;
            }
            Framing::Chunked => message.whole = self.chunks(message).await.is_some(),
            Framing::Close => {
                let (body, how) = self.until_end().await;
                (message.body, message.whole) = (body, how == "closed");
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self, message: &mut Message) -> Option<()> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await;
            let size = line.and_then(|l| usize::from_str_radix(l.split(';').next().unwrap_or("").trim(), 16).ok());
            let Some(size) = size else {
                message.body = body.freeze();
                return None;
            };
            if size == 0 {
                break;
            }
            let chunk = self.exactly(size).await;
            body.extend_from_slice(&chunk);
            if chunk.len() < size || self.line().await.is_none() {
                message.body = body.freeze();
                return None;
            }
        }
        message.body = body.freeze();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(());
            }
            message.trailers.push_str(&line);
            message.trailers.push('\n');
        }
    }
}

fn framing(head: &str) -> Framing {
    if header(head, "transfer-encoding").is_some_and(|t| t.to_ascii_lowercase().contains("chunked")) {
        return Framing::Chunked;
    }
    header(head, "content-length").and_then(|n| n.parse().ok()).map_or(Framing::Close, Framing::Length)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

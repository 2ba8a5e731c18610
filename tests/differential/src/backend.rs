//! A scripted backend on loopback: does what its replies say, request by request, and writes down every request as it came.

mod h1;
mod h2;

use crate::scene::{Reply, Role};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A request as a backend saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Start line and header lines; HTTP/2's pseudo headers make the start line and `host`.
    pub head: String,
    /// How the body was framed, in words.
    pub framing: String,
    /// The body.
    pub body: Bytes,
    /// Trailer lines.
    pub trailers: String,
    /// How it ended: `whole`, `cut`, `unread`.
    pub end: &'static str,
}

impl Seen {
    /// Value of `x-request-id`, by which tries of one request are known.
    pub fn request_id(&self) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix("x-request-id: "))
    }
}

/// What a backend has seen.
#[derive(Debug, Default)]
pub struct Log {
    seen: Mutex<Vec<Seen>>,
}

impl Log {
    /// A request begins; its number.
    fn begin(&self, seen: Seen) -> usize {
        let mut all = self.all();
        all.push(seen);
        all.len() - 1
    }

    fn change(&self, nth: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.all().get_mut(nth) {
            change(seen);
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.all().clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.all().len()
    }
}

/// A running backend; gone with its connections when dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has seen.
    pub log: Arc<Log>,
    accepting: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What all connections of a backend share.
#[derive(Debug)]
struct Script {
    role: Role,
    replies: Vec<Reply>,
    log: Arc<Log>,
}

impl Script {
    /// The reply to the nth request.
    fn reply(&self, nth: usize) -> Reply {
        self.replies.get(nth).or(self.replies.last()).cloned().unwrap_or_default()
    }
}

impl Backend {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(role: Role, replies: Vec<Reply>, http2: bool) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let log = Arc::<Log>::default();
        let script = Arc::new(Script { role, replies, log: log.clone() });
        let accepting = tokio::spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if http2 {
                    held.spawn(h2::serve(stream, script.clone()));
                } else {
                    held.spawn(h1::serve(stream, script.clone()));
                }
            }
        });
        Ok(Self { address, log, accepting })
    }
}

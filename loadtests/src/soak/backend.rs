//! An application that may misbehave: HTTP/1.1 by hand, so that it can do what no server library does. Killed and started again at the same port.

use crate::demo::error::Error;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest request head read.
const HEAD: usize = 64 << 10;

/// The application.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    seed: u64,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Backend {
    /// Starts at a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(seed: u64) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| Error::failed("starting a backend", e))?;
        let address = listener.local_addr().map_err(|e| Error::failed("starting a backend", e))?;
        Ok(Self { address, seed, serving: Mutex::new(Some(tokio::spawn(serve(listener, seed)))) })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends it with all its connections, in the middle of whatever they do.
    pub fn kill(&self) {
        if let Some(serving) = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            serving.abort();
        }
    }

    /// Starts it again, unless it runs.
    pub async fn revive(&self) {
        if self.serving.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        for _ in 0..100 {
            if let Ok(listener) = TcpListener::bind(self.address).await {
                *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(serve(listener, self.seed)));
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(listener: TcpListener, seed: u64) {
    // Aborted with this task: connections die with their backend.
    let mut connections = tokio::task::JoinSet::new();
    let mut count = 0;
    while let Ok((stream, _)) = listener.accept().await {
        count += 1;
        connections.spawn(connection(stream, ChaCha8Rng::seed_from_u64(seed ^ (count << 8))));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, mut rng: ChaCha8Rng) {
    let mut buffer = Vec::new();
    while let Ok(Some(length)) = head(&mut stream, &mut buffer).await {
        if skip(&mut stream, &mut buffer, length).await.is_err() || !answer(&mut stream, &mut rng).await.unwrap_or(false) {
            return;
        }
    }
}

/// Reads a request's head off the buffer: how its body is framed; None at the end.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Framing>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            buffer.drain(..end + 4);
            if text.contains("transfer-encoding: chunked") {
                return Ok(Some(Framing::Chunked));
            }
            let length = text.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|v| v.trim().parse().ok());
            return Ok(Some(Framing::Length(length.unwrap_or(0))));
        }
        if buffer.len() > HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

async fn skip(stream: &mut TcpStream, buffer: &mut Vec<u8>, framing: Framing) -> io::Result<()> {
    match framing {
        Framing::Length(mut left) => loop {
            let here = left.min(buffer.len());
            buffer.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        },
        Framing::Chunked => loop {
            if let Some(end) = buffer.windows(5).position(|w| w == b"0\r\n\r\n") {
                buffer.drain(..end + 5);
                return Ok(());
            }
            let keep = buffer.len().saturating_sub(4);
            buffer.drain(..keep);
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        },
    }
}

/// Answers, mostly well; whether the connection goes on.
async fn answer(stream: &mut TcpStream, rng: &mut ChaCha8Rng) -> io::Result<bool> {
    let body = vec![b'x'; if rng.random_bool(0.1) { rng.random_range(0..200_000) } else { rng.random_range(0..2_000) }];
    let head = |status: &str, length: usize| format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    match rng.random_range(0..100) {
        // Slow.
        0..3 => tokio::time::sleep(Duration::from_millis(rng.random_range(20..800))).await,
        // Breaks off before an answer.
        3 => return Ok(false),
        // Breaks off in the middle of one.
        4 | 5 => {
            stream.write_all(head("200 OK", body.len() + 1).as_bytes()).await?;
            stream.write_all(&body).await?;
            return Ok(false);
        }
        // Talks nonsense.
        6 => {
            stream.write_all(b"\x00\xffnot HTTP at all\r\n\r\n").await?;
            return Ok(false);
        }
        7 | 8 => {
            stream.write_all(head("503 Service Unavailable", 0).as_bytes()).await?;
            return Ok(true);
        }
        // Dribbles.
        9 => {
            let some = &body[..body.len().min(40)];
            stream.write_all(head("200 OK", some.len()).as_bytes()).await?;
            for byte in some {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            return Ok(true);
        }
        // Chunks with a trailer.
        10..15 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for part in body.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                stream.write_all(part).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\nx-trailer: 1\r\n\r\n").await?;
            return Ok(true);
        }
        _ => {}
    }
    stream.write_all(head("200 OK", body.len()).as_bytes()).await?;
    stream.write_all(&body).await?;
    Ok(true)
}

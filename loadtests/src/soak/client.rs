//! Clients that may misbehave, one connection each after the other, as fast as they are served.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer takes no longer than this, whatever the backends do: the proxy's timeouts end it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What clients did and saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests whose head was sent whole.
    pub sent: AtomicU64,
    /// Answers received whole.
    pub answered: AtomicU64,
    /// Answers that broke off.
    pub broken: AtomicU64,
    /// Requests given up on purpose.
    pub given_up: AtomicU64,
    /// Waited longer than any answer may take.
    pub stuck: AtomicU64,
}

/// Sends until told to stop.
pub async fn run(address: SocketAddr, seed: u64, stop: Arc<AtomicBool>, tally: Arc<Tally>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mut buffer = Vec::new();
        for _ in 0..rng.random_range(1..200) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let exchanged = tokio::time::timeout(PATIENCE, exchange(&mut stream, &mut rng, &mut buffer, &tally)).await;
            let count = |of: &AtomicU64| {
                of.fetch_add(1, Ordering::Relaxed);
            };
            match exchanged {
                Ok(Ok(Outcome::Answered(goes_on))) => {
                    count(&tally.answered);
                    if goes_on {
                        continue;
                    }
                }
                Ok(Ok(Outcome::GivenUp)) => count(&tally.given_up),
                Ok(Err(_)) => count(&tally.broken),
                Err(_) => count(&tally.stuck),
            }
            break;
        }
        if rng.random_bool(0.3) {
            // Without a farewell.
            let _ = stream.set_zero_linger();
        }
    }
}

enum Outcome {
    /// Whole; whether the connection goes on.
    Answered(bool),
    GivenUp,
}

async fn exchange(stream: &mut TcpStream, rng: &mut ChaCha8Rng, buffer: &mut Vec<u8>, tally: &Tally) -> io::Result<Outcome> {
    let user = rng.random_range(0..1_000);
    let path = ["/", "/a", "/reports/1", "/a/../b"][rng.random_range(0..4)];
    let length = match rng.random_range(0..10) {
        0 => rng.random_range(0..300_000),
        1 | 2 => rng.random_range(1..3_000),
        _ => 0,
    };
    let method = if length > 0 { "POST" } else { "GET" };
    let head = format!("{method} {path}?u={user} HTTP/1.1\r\nhost: soak\r\nx-user: {user}\r\ncontent-length: {length}\r\n\r\n");
    match rng.random_range(0..200) {
        // A head that never ends.
        0 => {
            stream.write_all(&head.as_bytes()[..head.len() / 2]).await?;
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
            return Ok(Outcome::GivenUp);
        }
        // A head letter by letter.
        1 => {
            for byte in head.as_bytes() {
                stream.write_all(&[*byte]).await?;
                tokio::task::yield_now().await;
            }
        }
        _ => stream.write_all(head.as_bytes()).await?,
    }
    tally.sent.fetch_add(1, Ordering::Relaxed);
    let body = vec![b'y'; length];
    if length > 0 && rng.random_range(0..40) == 0 {
        stream.write_all(&body[..length / 2]).await?;
        return Ok(Outcome::GivenUp);
    }
    for part in body.chunks(20_000) {
        stream.write_all(part).await?;
        if length > 100_000 && rng.random_bool(0.05) {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    if rng.random_range(0..60) == 0 {
        // Goes away without reading, or with something of it read.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
        return Ok(Outcome::GivenUp);
    }
    answer(stream, buffer).await.map(Outcome::Answered)
}

/// Reads one answer; whether the connection goes on.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    buffer.drain(..end + 4);
    if !head.starts_with("http/1.1 ") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|v| v.trim().parse::<usize>().ok());
    match length {
        Some(mut left) => loop {
            let here = left.min(buffer.len());
            buffer.drain(..here);
            left -= here;
            if left == 0 {
                break;
            }
            more(stream, buffer).await?;
        },
        None => chunks(stream, buffer).await?,
    }
    Ok(!head.contains("connection: close"))
}

async fn chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = line(stream, buffer).await?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if size == 0 {
            while !self::line(stream, buffer).await?.trim().is_empty() {}
            return Ok(());
        }
        while buffer.len() < size + 2 {
            more(stream, buffer).await?;
        }
        buffer.drain(..size + 2);
    }
}

async fn line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<String> {
    loop {
        if let Some(end) = buffer.windows(2).position(|w| w == b"\r\n") {
            let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 2);
            return Ok(line);
        }
        more(stream, buffer).await?;
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if stream.read_buf(buffer).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

//! The backend: HTTP/1.1 with nothing in it, so that it costs as little as can be. `/N` answers N bytes.
//!
//! Its requests have no body. One thread, answers made once.

use bytes::Bytes;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Sizes that can be asked for.
pub const SIZES: [usize; 4] = [0, 1 << 10, 64 << 10, 1 << 20];

type Answers = Rc<HashMap<String, Bytes>>;

/// Serves until ended.
///
/// # Errors
/// When the port cannot be had.
pub async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let answers: Answers = Rc::new(SIZES.iter().map(|n| (n.to_string(), answer(*n))).collect());
    LocalSet::new()
        .run_until(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                // Small answers are not to wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                let answers = answers.clone();
                spawn_local(async move {
                    // Whoever breaks off is not of interest here.
                    let _ = connection(stream, &answers).await;
                });
            }
        })
        .await
}

fn answer(size: usize) -> Bytes {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes.into()
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        buffer.clear();
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let path = buffer.split(|b| *b == b' ').nth(1).unwrap_or_default();
        let size = std::str::from_utf8(path.get(1..).unwrap_or_default()).unwrap_or_default();
        match answers.get(size).or_else(|| answers.get("0")) {
            Some(answer) => stream.write_all(answer).await?,
            None => return Ok(()),
        }
    }
}

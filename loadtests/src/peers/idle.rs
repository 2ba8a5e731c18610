//! Memory with idle connections: opens them, has one request answered on each, leaves them open for a while.

use crate::demo::error::Error;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// So long nothing happens on any connection before memory is looked at: for every proxy the same.
const IDLE: Duration = Duration::from_secs(5);

/// So many connections that have had one small answer each.
///
/// # Errors
/// When one cannot be made or is not answered.
pub async fn open(port: u16, count: usize) -> Result<Vec<TcpStream>, Error> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let one = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"GET /0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            let mut buffer = [0; 1024];
            let mut n = 0;
            while !buffer[..n].windows(4).any(|w| w == b"\r\n\r\n") {
                let read = stream.read(&mut buffer[n..]).await?;
                if read == 0 {
                    return Err(std::io::Error::other("closed without an answer"));
                }
                n += read;
            }
            Ok::<_, std::io::Error>(stream)
        };
        held.push(one.await.map_err(|e| Error::failed("opening connections", e))?);
    }
    tokio::time::sleep(IDLE).await;
    Ok(held)
}

//! The backend of the WebSocket cases: sends back every message.

use futures::{SinkExt as _, StreamExt as _};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A running backend, ended with this.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Starts it.
///
/// # Errors
/// When no port can be had.
pub async fn start() -> io::Result<Echo> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever breaks the protocol is closed by the library, with the code that says so.
            tokio::spawn(serve(stream));
        }
    });
    Ok(Echo { address, serving })
}

async fn serve(stream: TcpStream) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut stream = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = stream.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => stream.send(message).await?,
            // Pings and closing are answered by the library.
            _ => stream.flush().await?,
        }
    }
    Ok(())
}

//! The endpoint's side of an exchange that has become a stream of bytes: a connection of its own, or a stream of a shared one.

use super::answer::{Flight, UpstreamBody};
use crate::error::ProxyError;
use crate::listener::stream::Stream;
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is left of an exchange when HTTP is over on it: a stream of bytes, and the account.
#[derive(Debug)]
pub struct Changed {
    /// Bytes to and from the endpoint.
    pub stream: Side,
    /// What it has sent already.
    pub read: Bytes,
    /// The account, open until the tunnel ends.
    pub flight: Flight,
    /// How long nothing may move.
    pub idle: Option<Duration>,
}

/// A stream of bytes.
#[derive(Debug)]
pub enum Side {
    /// A connection.
    Own(Stream),
    /// A stream of an HTTP/2 connection.
    Shared(TokioIo<Upgraded>),
}

impl Changed {
    /// Takes it out of an answer by which the endpoint consents; over HTTP/2 that came with the `stream`.
    ///
    /// # Errors
    /// When the connection broke meanwhile.
    pub async fn of(body: UpstreamBody, stream: Option<OnUpgrade>, idle: Option<Duration>) -> Result<Self, ProxyError> {
        let (connection, flight) = body.into_parts();
        let side = match (connection, stream) {
            (Some(connection), _) => connection.into_stream().await.map(|(stream, read)| (Side::Own(stream), read)),
            (None, Some(stream)) => stream.await.ok().map(|stream| (Side::Shared(TokioIo::new(stream)), Bytes::new())),
            (None, None) => return Err(flight.fail(ProxyError::Upgrade)),
        };
        match side {
            Some((stream, read)) => Ok(Self { stream, read, flight, idle }),
            None => Err(flight.fail(ProxyError::Reset("connection termination"))),
        }
    }

    /// The endpoint.
    pub fn address(&self) -> Option<SocketAddr> {
        self.flight.address()
    }
}

impl AsyncRead for Side {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Shared(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Shared(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_flush(cx),
            Self::Shared(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Shared(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

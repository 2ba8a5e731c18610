//! Which HTTP a client begins with, on connections whose handshake has not settled it.

use super::stream::Stream;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, ReadBuf};

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads as little as tells; what was read goes on to whoever serves.
#[derive(Debug, Default)]
pub struct Preface {
    read: [u8; 24],
    length: usize,
}

impl Preface {
    /// Ready with true for HTTP/2.
    pub fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.read[..self.length] != PREFACE[..self.length] {
                return Poll::Ready(Ok(false));
            }
            if self.length == PREFACE.len() {
                return Poll::Ready(Ok(true));
            }
            let mut space = ReadBuf::new(&mut self.read[self.length..]);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut space))?;
            match space.filled().len() {
                0 => return Poll::Ready(Ok(false)),
                more => self.length += more,
            }
        }
    }

    /// Whether anything came.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What was read.
    pub fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.read[..self.length])
    }
}

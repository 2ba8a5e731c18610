//! A client's bytes as hyper reads and writes them, with the connection's account told of both. Used by [`super::http1`] and [`super::http2`].

use crate::listener::stream::Stream;
use crate::worker::connections::Connection;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that tells its connection when bytes arrive, and whether some wait to be sent.
pub struct Watched {
    /// What was read before it was given to hyper.
    pub first: Bytes,
    /// The bytes.
    pub stream: Stream,
    /// The account.
    pub connection: Rc<Connection>,
}

impl Watched {
    /// Waits for the client's next byte without any buffer for it. Ready with false when there will be none.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.first.is_empty() {
            return Poll::Ready(true);
        }
        let stream = match &mut self.stream {
            // Its end is noticed by whoever reads.
            Stream::Plain(stream) => return stream.poll_read_ready(cx).map(|ready| ready.is_ok()),
            tls @ Stream::Tls(_) => tls,
        };
        let mut byte = [0; 1];
        let mut space = ReadBuf::new(&mut byte);
        let read = ready!(Pin::new(stream).poll_read(cx, &mut space));
        self.first = Bytes::copy_from_slice(space.filled());
        Poll::Ready(read.is_ok() && !self.first.is_empty())
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let n = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(n));
            self.connection.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.heard();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.unsent(true);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// hyper flushes when it has written everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() {
            self.connection.unsent(false);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.connection.unsent(true);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! A connection or a stream that is a tunnel now: bytes go to and fro between client and endpoint, and nobody looks at them.
//!
//! Bounded: one buffer a direction; whoever does not read stops whoever writes. Ends when both sides have ended, when one breaks, or when nothing moved
//! for the stream's idle timeout. Its account stays open until then.

use crate::upstream::changed::Changed;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Bytes held a direction.
const BUFFER: usize = 16 << 10;

/// One direction.
struct Way {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
    closed: bool,
    moved: u64,
}

impl Way {
    /// Begins with what was read already.
    fn new(first: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER.max(first.len())].into_boxed_slice();
        buffer[..first.len()].copy_from_slice(first);
        Self { buffer, start: 0, end: first.len(), ended: false, closed: false, moved: 0 }
    }

    /// Moves what can be moved; ready when this direction is over.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.start < self.end {
                let n = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer[self.start..self.end]))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += n;
                self.moved += n as u64;
            }
            (self.start, self.end) = (0, 0);
            if self.ended {
                if !self.closed {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut space = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut space)? {
                Poll::Ready(()) => self.end = space.filled().len(),
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
            self.ended = self.end == 0;
        }
    }
}

/// Runs until it is over.
pub async fn run(mut client: impl AsyncRead + AsyncWrite + Unpin, read: Bytes, changed: Changed) {
    let Changed { stream: mut endpoint, read: answer, mut flight, idle } = changed;
    let (mut up, mut down) = (Way::new(&read), Way::new(&answer));
    let mut told = (0, 0);
    let ended = loop {
        let mut patience = std::pin::pin!(sleep_until(Instant::now() + idle.unwrap_or(Duration::from_secs(86_400 * 365))));
        let over = std::future::poll_fn(|cx| {
            let there = up.poll(&mut client, &mut endpoint, cx)?;
            let back = down.poll(&mut endpoint, &mut client, cx)?;
            if there.is_ready() && back.is_ready() {
                return Poll::Ready(Ok(true));
            }
            patience.as_mut().poll(cx).map(|()| Ok::<_, io::Error>(false))
        })
        .await;
        let now = (up.moved, down.moved);
        flight.moved(now.0 - told.0, now.1 - told.1);
        match over {
            Ok(false) if now != told => told = now,
            Ok(over) => break Ok(over),
            Err(error) => break Err(error),
        }
    };
    match ended {
        Ok(true) => flight.over(),
        Ok(false) => flight.gave_up("idle"),
        // One side closed without a farewell: usual for changed protocols.
        Err(_) => flight.over(),
    }
}

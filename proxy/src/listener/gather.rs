//! Writes of one wake-up, gathered into one. An HTTP/2 codec writes and flushes frame by frame; what it writes is held here and goes to the system in
//! one piece, by a small task whose turn comes when everything that was ready has run.
//!
//! Bounded: [`MOST`] bytes are held, then whoever does not read stops whoever writes. A connection that holds nothing has no buffer. A failed write is
//! told with the next one.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes held of one connection.
const MOST: usize = 64 << 10;

thread_local! {
    /// The buffer of whoever writes next: usually everything is written before another connection's turn comes.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream whose writes are gathered.
pub struct Gather<S>(Rc<RefCell<Out<S>>>);

/// Writes what was gathered.
struct Writer<S>(Rc<RefCell<Out<S>>>);

struct Out<S> {
    stream: S,
    held: Vec<u8>,
    /// So much of what is held was written.
    written: usize,
    /// Why no more can be written.
    failed: Option<io::ErrorKind>,
    /// Nobody uses the stream any more.
    gone: bool,
    writer: Option<Waker>,
    /// Waits until everything was written.
    codec: Option<Waker>,
}

impl<S: AsyncWrite + Unpin + 'static> Gather<S> {
    /// Gathers the writes to a stream, from now on.
    pub fn new(stream: S) -> Self {
        let out = Out { stream, held: Vec::new(), written: 0, failed: None, gone: false, writer: None, codec: None };
        let out = Rc::new(RefCell::new(out));
        tokio::task::spawn_local(Writer(out.clone()));
        Self(out)
    }
}

impl<S> Drop for Gather<S> {
    fn drop(&mut self) {
        let mut out = self.0.borrow_mut();
        out.gone = true;
        out.wake_writer();
    }
}

impl<S> Out<S> {
    fn wake_writer(&self) {
        if let Some(writer) = &self.writer {
            writer.wake_by_ref();
        }
    }

    fn broken(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Ready when nothing is held.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.broken()?;
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.codec = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> Out<S> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.written = 0;
        self.held.clear();
        if self.held.capacity() > 0 {
            SPARE.set(std::mem::take(&mut self.held));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Future for Writer<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut out = self.0.borrow_mut();
        if out.gone {
            return Poll::Ready(());
        }
        if !out.writer.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            out.writer = Some(cx.waker().clone());
        }
        if let Err(why) = ready!(out.poll_out(cx)) {
            out.failed = Some(why.kind());
        }
        if let Some(codec) = out.codec.take() {
            codec.wake();
        }
        if out.failed.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut out = self.0.borrow_mut();
        out.broken()?;
        if out.held.len() >= MOST {
            ready!(out.poll_empty(cx))?;
        }
        if out.held.is_empty() {
            out.held = SPARE.take();
            out.held.reserve_exact(MOST);
            out.wake_writer();
        }
        let before = out.held.len();
        for buf in bufs {
            let taken = buf.len().min(MOST - out.held.len());
            out.held.extend_from_slice(&buf[..taken]);
        }
        Poll::Ready(Ok(out.held.len() - before))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow().broken())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.0.borrow_mut();
        ready!(out.poll_empty(cx))?;
        Pin::new(&mut out.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn what_is_written_in_a_turn_goes_in_one_piece() {
        let test = async {
            let (near, mut far) = duplex(1 << 20);
            let mut stream = Gather::new(near);
            let mut read = [0; 16];
            for _ in 0..2 {
                for part in ["one ", "two ", "three"] {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
                let n = far.read(&mut read).await.unwrap();
                assert_eq!(&read[..n], b"one two three");
            }
            assert_eq!(stream.0.borrow().held.capacity(), 0);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn no_more_is_held_than_may_be_and_nothing_is_lost() {
        let test = async {
            let (near, mut far) = duplex(1_000);
            let mut stream = Gather::new(near);
            let sent: Vec<u8> = (0..MOST * 3).map(|i| i as u8).collect();
            let writing = async {
                let mut left = &sent[..];
                while !left.is_empty() {
                    let n = stream.write(left).await.unwrap();
                    assert!(stream.0.borrow().held.len() <= MOST);
                    left = &left[n..];
                }
                stream.shutdown().await.unwrap();
            };
            let mut read = Vec::new();
            let ((), n) = tokio::join!(writing, far.read_to_end(&mut read));
            assert!(n.is_ok() && read == sent);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn who_writes_hears_that_nobody_reads_any_more() {
        let test = async {
            let (near, far) = duplex(16);
            let mut stream = Gather::new(near);
            drop(far);
            let _ = stream.write(b"x").await;
            let told = async {
                while stream.write(b"x").await.is_ok() {
                    tokio::task::yield_now().await;
                }
            };
            told.await;
            assert!(stream.flush().await.is_err() && stream.shutdown().await.is_err());
        };
        LocalSet::new().run_until(test).await;
    }
}

//! Collects a request's body for its copies while it passes by.
//!
//! Frames are shared (`Bytes`), never copied. A copy whose body grows beyond its own or the policy's bound is refused at once, its bytes are let
//! go, and production's body goes on as if nothing had been.

use super::caps::Caps;
use crate::config::model::MirrorLimits;
use crate::stats::MirrorStats;
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A body collected for a copy, or why it was not.
#[derive(Debug, Default)]
pub struct Collected {
    /// Its frames.
    pub frames: Vec<Bytes>,
    /// Why there is no body.
    pub refused: Option<&'static str>,
    /// Keeps the bytes on the account as long as the copy has them.
    _held: Option<Hold>,
}

/// Bytes held on a policy's account; given back on drop.
#[derive(Debug)]
struct Hold {
    stats: Rc<MirrorStats>,
    caps: Arc<Caps>,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.stats.buffered.sub(self.bytes as u64);
        self.caps.give_bytes(self.bytes as u64);
    }
}

#[derive(Debug)]
struct Collector {
    to: oneshot::Sender<Collected>,
    frames: Vec<Bytes>,
    hold: Hold,
    max_body: usize,
    max_all: usize,
}

/// All collectors of one request.
#[derive(Debug, Default)]
pub struct Tee(Vec<Collector>);

impl Tee {
    /// One more copy wants the body.
    pub fn collect(&mut self, stats: &Rc<MirrorStats>, caps: &Arc<Caps>, limits: &MirrorLimits) -> oneshot::Receiver<Collected> {
        let (to, wait) = oneshot::channel();
        let hold = Hold { stats: stats.clone(), caps: caps.clone(), bytes: 0 };
        self.0.push(Collector { to, frames: Vec::new(), hold, max_body: limits.max_body_bytes, max_all: limits.max_buffered_bytes });
        wait
    }

    /// A frame passed by.
    pub fn offer(&mut self, frame: &Bytes) {
        let mut i = 0;
        while i < self.0.len() {
            match self.0[i].offer(frame) {
                Ok(()) => i += 1,
                Err(reason) => {
                    // A receiver that is gone does not want to know.
                    let _ = self.0.swap_remove(i).to.send(Collected { refused: Some(reason), ..Collected::default() });
                }
            }
        }
    }

    /// The body is complete.
    pub fn finish(&mut self) {
        for it in self.0.drain(..) {
            let _ = it.to.send(Collected { frames: it.frames, refused: None, _held: Some(it.hold) });
        }
    }
}

/// Whether so many bytes of a body could be held for a copy now.
///
/// # Errors
/// The reason why not.
pub fn fits(size: u64, caps: &Caps, limits: &MirrorLimits) -> Result<(), &'static str> {
    if size > limits.max_body_bytes as u64 {
        return Err("body_too_large");
    }
    if !caps.has_bytes(size, limits.max_buffered_bytes as u64) {
        return Err("overflow_bytes");
    }
    Ok(())
}

impl Collector {
    fn offer(&mut self, frame: &Bytes) -> Result<(), &'static str> {
        if self.hold.bytes + frame.len() > self.max_body {
            return Err("body_too_large");
        }
        if !self.hold.caps.take_bytes(frame.len() as u64, self.max_all as u64) {
            return Err("overflow_bytes");
        }
        self.hold.bytes += frame.len();
        self.hold.stats.buffered.add(frame.len() as u64);
        self.frames.push(frame.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_bound_is_let_go_at_once() {
        let stats = Rc::new(MirrorStats::default());
        let caps = Arc::default();
        let limits = MirrorLimits { max_body_bytes: 10, max_buffered_bytes: 12, ..MirrorLimits::default() };
        let mut tee = Tee::default();
        let (mut first, mut second) = (tee.collect(&stats, &caps, &limits), tee.collect(&stats, &caps, &limits));
        tee.offer(&Bytes::from_static(b"123456"));
        assert_eq!(stats.buffered.get(), 12);
        tee.offer(&Bytes::from_static(b"7"));
        assert_eq!(first.try_recv().unwrap().refused, Some("overflow_bytes"));
        assert!(stats.buffered.get() <= 12);
        tee.finish();
        drop(second.try_recv());
        assert_eq!(stats.buffered.get(), 0);
    }

    #[test]
    fn a_complete_body_arrives_in_order() {
        let stats = Rc::new(MirrorStats::default());
        let mut tee = Tee::default();
        let mut wait = tee.collect(&stats, &Arc::default(), &MirrorLimits::default());
        tee.offer(&Bytes::from_static(b"ab"));
        tee.offer(&Bytes::from_static(b"c"));
        tee.finish();
        let body = wait.try_recv().unwrap();
        assert_eq!((body.frames.concat(), stats.buffered.get()), (b"abc".to_vec(), 3));
        drop(body);
        assert_eq!(stats.buffered.get(), 0);
    }
}

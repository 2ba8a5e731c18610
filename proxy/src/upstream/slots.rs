//! Circuit breaker of HTTP/1.1 connections: so many exchanges at once, so many more may wait for one to end, the rest is refused.

use crate::error::ProxyError;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::oneshot;

/// Places for connections of one cluster in one worker.
#[derive(Debug)]
pub struct Slots {
    free: Cell<u32>,
    waiting: RefCell<VecDeque<oneshot::Sender<Slot>>>,
}

/// The right to use one connection; passed on to whoever waits when dropped.
#[derive(Debug)]
pub struct Slot(Rc<Slots>);

impl Slots {
    /// So many.
    pub fn new(free: u32) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(free), waiting: RefCell::default() })
    }

    /// Takes a place at once, if there is one.
    pub fn try_take(self: &Rc<Self>) -> Option<Slot> {
        let free = self.free.get().checked_sub(1)?;
        self.free.set(free);
        Some(Slot(self.clone()))
    }

    /// Waits for a place among at most `most`.
    ///
    /// # Errors
    /// When so many wait already.
    pub async fn wait(self: &Rc<Self>, most: u32) -> Result<Slot, ProxyError> {
        let wait = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|w| !w.is_closed());
            if waiting.len() >= most as usize {
                return Err(ProxyError::Overflow);
            }
            let (to, wait) = oneshot::channel();
            waiting.push_back(to);
            wait
        };
        wait.await.map_err(|_| ProxyError::Overflow)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let next = self.0.waiting.borrow_mut().pop_front();
        match next {
            // One who has given up hands it back, and so on to the next.
            Some(next) => drop(next.send(Slot(self.0.clone()))),
            None => self.0.free.set(self.0.free.get() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_handed_on_in_order() {
        let slots = Slots::new(1);
        let first = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        let (mut gone, mut next) = (Box::pin(slots.wait(2)), Box::pin(slots.wait(2)));
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(gone.as_mut().poll(cx).is_pending() && next.as_mut().poll(cx).is_pending());
        assert!(matches!(slots.wait(2).await, Err(ProxyError::Overflow)));
        drop(gone);
        drop(first);
        let held = next.await.unwrap();
        assert_eq!(slots.free.get(), 0);
        drop(held);
        assert_eq!(slots.free.get(), 1);
    }
}

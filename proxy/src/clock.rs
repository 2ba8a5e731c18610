//! Coarse deadlines of one worker, for the request path.
//!
//! Nearly every request ends long before its deadline, so arming and disarming have to be cheap and firing may be late: a deadline is a place in a
//! list, a task looks at the list every [`TICK`] while there is any. Promises: fires never early, at most about one tick late.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(20);

thread_local! {
    static CLOCK: Clock = const { Clock { places: RefCell::new(Vec::new()), free: RefCell::new(Vec::new()), armed: Cell::new(0), ticking: Cell::new(false) } };
}

struct Clock {
    places: RefCell<Vec<Option<Armed>>>,
    free: RefCell<Vec<usize>>,
    armed: Cell<usize>,
    ticking: Cell<bool>,
}

struct Armed {
    at: Instant,
    waker: Waker,
    fired: bool,
}

/// A moment that one task waits for; armed by its first poll, disarmed when dropped. Lives and dies on its worker's thread.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    place: Option<usize>,
    /// Places are the thread's own.
    _local: std::marker::PhantomData<*const ()>,
}

impl Deadline {
    /// Not armed yet.
    pub const fn new(at: Instant) -> Self {
        Self { at, place: None, _local: std::marker::PhantomData }
    }

    /// Ready once the moment has passed and a tick has noticed.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        CLOCK.with(|clock| match self.place {
            None => {
                self.place = Some(clock.arm(self.at, cx.waker()));
                Poll::Pending
            }
            Some(place) => clock.look(place, cx.waker()),
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The thread may be ending.
            let _ = CLOCK.try_with(|clock| clock.disarm(place));
        }
    }
}

impl Clock {
    fn arm(&self, at: Instant, waker: &Waker) -> usize {
        self.armed.set(self.armed.get() + 1);
        if !self.ticking.replace(true) {
            tokio::task::spawn_local(tick());
        }
        let armed = Some(Armed { at, waker: waker.clone(), fired: false });
        let mut places = self.places.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            places[place] = armed;
            return place;
        }
        places.push(armed);
        places.len() - 1
    }

    fn look(&self, place: usize, waker: &Waker) -> Poll<()> {
        match &mut self.places.borrow_mut()[place] {
            Some(armed) if !armed.fired => {
                armed.waker.clone_from(waker);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn disarm(&self, place: usize) {
        self.armed.set(self.armed.get() - 1);
        drop(self.places.borrow_mut()[place].take());
        self.free.borrow_mut().push(place);
    }

    fn fire(&self, now: Instant) -> Vec<Waker> {
        let mut places = self.places.borrow_mut();
        let due = places.iter_mut().flatten().filter(|a| !a.fired && a.at <= now);
        due.map(|a| {
            a.fired = true;
            a.waker.clone()
        })
        .collect()
    }
}

/// Runs while anything is armed.
async fn tick() {
    while CLOCK.with(|c| c.armed.get()) > 0 {
        tokio::time::sleep(TICK).await;
        CLOCK.with(|c| c.fire(Instant::now())).into_iter().for_each(Waker::wake);
    }
    CLOCK.with(|c| c.ticking.set(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn fires_after_its_moment_and_leaves_nothing_behind() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let begun = Instant::now();
                let mut long = Deadline::new(begun + Duration::from_secs(3600));
                let mut short = Deadline::new(begun + Duration::from_millis(30));
                poll_fn(|cx| {
                    assert!(long.poll(cx).is_pending());
                    short.poll(cx)
                })
                .await;
                assert!(begun.elapsed() >= Duration::from_millis(30));
                drop((long, short));
                assert_eq!(CLOCK.with(|c| (c.armed.get(), c.free.borrow().len())), (0, 2));
            })
            .await;
    }
}

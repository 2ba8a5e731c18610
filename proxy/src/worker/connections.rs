//! The client connections of one worker: who is idle, who is slow, who has to go.
//!
//! Connections keep their own small account; a sweep every [`SWEEP`] looks through all of them, so that no request arms a timer for its connection.
//! Called by the accept loops and the worker's shell. Promises: a connection told to finish answers what it has taken on.

use super::place::Place;
use crate::config::model::{FilterChain, HttpManager};
use crate::memory;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How often connections are looked through.
pub const SWEEP: Duration = Duration::from_millis(250);
/// Connections on which nothing happened for so long rest: they let go of their buffers.
const REST: Duration = Duration::from_secs(1);

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Go on.
    Stay,
    /// Finish what is under way and close.
    Finish,
    /// Close at once.
    Cut,
}

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    /// What serves it.
    pub place: Place,
    idle: Cell<Option<Duration>>,
    head: Cell<Option<Duration>>,
    /// When it is to end, and after how many requests.
    end: Cell<(Option<Instant>, Option<u32>)>,
    active: Cell<u32>,
    served: Cell<u64>,
    /// Bytes came that no request has accounted for yet: part of a head.
    heard: Cell<bool>,
    multiplexed: Cell<bool>,
    /// Bytes wait to be sent.
    unsent: Cell<bool>,
    /// It is to rest as soon as it can.
    tired: Cell<bool>,
    resting: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    quiet_since: Cell<Instant>,
    served_then: Cell<u64>,
    heard_since: Cell<Option<Instant>>,
}

/// A request under way on a connection; over when dropped.
#[derive(Debug)]
pub struct Busy(Rc<Connection>);

/// So many connections let go of their memory before it is given back to the system.
const GIVE_BACK: u32 = 64;
/// And not more often than at every so manyth sweep.
const GIVE_BACK_EVERY: u32 = 8;

/// All connections of a worker.
#[derive(Debug, Default)]
pub struct Connections {
    all: RefCell<HashMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
    draining: Cell<bool>,
    /// Those of all workers.
    everywhere: Arc<AtomicU64>,
    /// Connections that rested or ended since memory was given back, and sweeps since.
    eased: Cell<(u32, u32)>,
}

/// A place in [`Connections`]; given up when dropped.
#[derive(Debug)]
pub struct Registered {
    connections: Rc<Connections>,
    key: u64,
}

impl Connection {
    /// It is known what serves it.
    pub fn settle(&self, chain: &FilterChain, manager: &HttpManager) {
        self.place.settle(chain);
        self.idle.set(manager.idle_timeout);
        self.head.set(manager.request_headers_timeout);
        let options = &manager.connection;
        self.end.set((options.max_duration.map(|d| Instant::now() + d), options.max_requests));
        self.quiet_since.set(Instant::now());
    }

    /// A request begins; `multiplexed` says that it came over HTTP/2.
    pub fn begin(self: &Rc<Self>, multiplexed: bool) -> Busy {
        self.heard.set(false);
        self.multiplexed.set(multiplexed);
        self.served.set(self.served.get() + 1);
        self.active.set(self.active.get() + 1);
        Busy(self.clone())
    }

    /// Whether the request that began last is the last one it takes; then it finishes.
    pub fn is_last(&self) -> bool {
        let last = self.end.get().1.is_some_and(|most| self.served.get() >= u64::from(most));
        if last {
            self.tell(Order::Finish);
        }
        last
    }

    /// Bytes arrived.
    pub fn heard(&self) {
        self.heard.set(true);
    }

    /// Whether bytes wait to be sent.
    pub fn unsent(&self, some: bool) {
        self.unsent.set(some);
    }

    /// Whether it is to rest and can: no request is under way, none has begun to arrive, and everything was sent.
    pub fn may_rest(&self) -> bool {
        self.tired.replace(false) && self.active.get() == 0 && !self.heard.get() && !self.unsent.get()
    }

    /// Whether it rests now.
    pub fn rests(&self, now: bool) {
        self.resting.set(now);
    }

    /// Whether it is cut.
    pub fn is_cut(&self) -> bool {
        self.order.get() == Order::Cut
    }

    /// What it is to do now; its task is woken when that changes.
    pub fn order(&self, waker: &Waker) -> Order {
        let mut mine = self.waker.borrow_mut();
        if !mine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
        self.order.get()
    }

    fn tell(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn sweep(&self, now: Instant) {
        if self.end.get().0.is_some_and(|end| now >= end) {
            self.tell(Order::Finish);
        }
        if self.active.get() > 0 || self.served.get() != self.served_then.get() {
            self.served_then.set(self.served.get());
            self.quiet_since.set(now);
            self.heard_since.set(None);
            return;
        }
        if self.idle.get().is_some_and(|limit| now - self.quiet_since.get() >= limit) {
            self.tell(Order::Finish);
        }
        if !self.heard.get() || self.multiplexed.get() {
            self.heard_since.set(None);
            if !self.resting.get() && !self.multiplexed.get() && now - self.quiet_since.get() >= REST {
                self.tired.set(true);
                self.wake();
            }
            return;
        }
        let since = self.heard_since.get().unwrap_or(now);
        self.heard_since.set(Some(since));
        if self.head.get().is_some_and(|limit| now - since >= limit) {
            self.tell(Order::Cut);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.heard.set(false);
        self.0.active.set(self.0.active.get() - 1);
    }
}

impl Connections {
    /// None yet; `everywhere` counts those of all workers.
    pub fn new(everywhere: Arc<AtomicU64>) -> Self {
        Self { everywhere, ..Self::default() }
    }

    /// How many there are in all workers.
    pub fn everywhere(&self) -> u64 {
        self.everywhere.load(Ordering::Relaxed)
    }

    /// A new connection.
    pub fn register(self: &Rc<Self>, listener: Rc<str>) -> (Rc<Connection>, Registered) {
        let connection = Rc::new(Connection {
            place: Place::new(listener),
            idle: Cell::new(None),
            head: Cell::new(None),
            end: Cell::new((None, None)),
            active: Cell::new(0),
            served: Cell::new(0),
            heard: Cell::new(false),
            multiplexed: Cell::new(false),
            unsent: Cell::new(false),
            tired: Cell::new(false),
            resting: Cell::new(false),
            order: Cell::new(Order::Stay),
            waker: RefCell::default(),
            quiet_since: Cell::new(Instant::now()),
            served_then: Cell::new(0),
            heard_since: Cell::new(None),
        });
        let key = self.next.replace(self.next.get() + 1);
        self.all.borrow_mut().insert(key, connection.clone());
        self.everywhere.fetch_add(1, Ordering::Relaxed);
        (connection, Registered { connections: self.clone(), key })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Whether answers are to tell HTTP/1.1 clients to close.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Looks through all of them.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.all.borrow().values().for_each(|c| c.sweep(now));
        let (eased, sweeps) = self.eased.get();
        let due = eased >= GIVE_BACK && sweeps >= GIVE_BACK_EVERY;
        if due {
            memory::give_back();
        }
        self.eased.set(if due { (0, 0) } else { (eased, sweeps.saturating_add(1)) });
    }

    /// A connection has let go of its memory.
    pub fn eased(&self) {
        let (eased, sweeps) = self.eased.get();
        self.eased.set((eased.saturating_add(1), sweeps));
    }

    /// HTTP/2 clients are told to go away at once. HTTP/1.1 has no such word: its clients are told with their next answer, since a connection
    /// that closes while a request is on its way loses it.
    pub fn begin_drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        self.all.borrow().values().filter(|c| c.multiplexed.get()).for_each(|c| c.tell(Order::Finish));
    }

    /// Whoever is still there finishes what is under way, and closes.
    pub fn finish_all(&self) {
        self.finish(|_| true);
    }

    /// Connections of listeners that are no more.
    pub fn finish(&self, which: impl Fn(&Connection) -> bool) {
        self.all.borrow().values().filter(|c| which(c)).for_each(|c| c.tell(Order::Finish));
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.all.borrow_mut().remove(&self.key);
        self.connections.everywhere.fetch_sub(1, Ordering::Relaxed);
        self.connections.eased();
    }
}

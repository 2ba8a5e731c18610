//! A worker: one thread, one single-threaded runtime, its own listeners (SO_REUSEPORT), pools and counters.
//!
//! Told what to do through a channel ([`Order`]); shares nothing with other workers. Called by [`crate::control`].

pub mod accept;
pub mod connections;
pub mod greet;
pub mod place;
pub mod serve;
pub mod tunnel;

use crate::access_log::Outs;
use crate::access_log::writer::Sender;
use crate::config::model::{Config, Endpoint};
use crate::runtime::Overrides;
use crate::state::{Endpoints, Shared, State};
use crate::stats::WorkerStats;
use crate::tls::contexts::Contexts;
use accept::Accepting;
use connections::{Connections, SWEEP};
use foreshadow_snapshot::Snapshot;
use std::cell::RefCell;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior};

/// While draining, idle HTTP/1.1 connections stay open this long, so that their clients can be told to close with one more answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Clients are told to close only this long after the listeners went, so that none of them comes back to a listener that is just going.
const HUSH: Duration = Duration::from_millis(50);
/// How often a drain is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// What a worker is told.
pub enum Order {
    /// Serve this configuration; the listeners that are new come with their sockets, by index.
    Config(Arc<Config>, Vec<(usize, StdListener)>, Endpoints, Arc<Contexts>),
    /// TLS contexts changed.
    Tls(Arc<Contexts>),
    /// A cluster's endpoints changed.
    Endpoints(String, Vec<Endpoint>),
    /// The health of a cluster's endpoints changed.
    Health(String),
    /// Run-time values changed.
    Overrides(Arc<Overrides>),
    /// Add your numbers.
    Snapshot(Box<Snapshot>, oneshot::Sender<Box<Snapshot>>),
    /// Stop accepting, finish what is under way within the time, end.
    Drain(Duration),
}

/// A running worker.
pub struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker thread.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(nth: usize, writer: Sender, shared: Shared) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name(format!("worker-{nth}")).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    // The one who waits for this outlives it.
                    let _ = ready.send(Ok(()));
                    runtime.block_on(Shell::new(writer, shared).run(inbox));
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        started.recv().unwrap_or_else(|_| Err(std::io::Error::other("the worker ended at once")))?;
        Ok(Self { orders, thread })
    }

    /// Tells it something; a worker that has ended hears nothing.
    pub fn tell(&self, order: Order) {
        // A send fails only when the worker has ended.
        let _ = self.orders.send(order);
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// A listener of this worker; stops when dropped.
struct Listening {
    name: String,
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

struct Shell {
    state: Rc<RefCell<Option<Rc<State>>>>,
    stats: Rc<WorkerStats>,
    overrides: Arc<Overrides>,
    listening: Vec<Listening>,
    connections: Rc<Connections>,
    logs: Outs,
    shared: Shared,
    /// When a drain began and when it is to be over.
    drain: Option<(Instant, Instant)>,
}

impl Shell {
    fn new(writer: Sender, shared: Shared) -> Self {
        Self {
            state: Rc::default(),
            stats: Rc::default(),
            overrides: Arc::default(),
            listening: Vec::new(),
            connections: Rc::new(Connections::new(shared.connections.clone())),
            logs: Outs::new(writer),
            shared,
            drain: None,
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                _ = sweep.tick() => {
                    self.connections.sweep();
                    self.logs.flush();
                    if let Some(state) = self.state.borrow().as_ref() {
                        state.sweep();
                    }
                }
                () = tokio::time::sleep(DRAIN_LOOK), if self.drain.is_some() => {}
            }
            if self.drained() {
                self.logs.flush();
                return;
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Config(config, sockets, endpoints, tls) => self.configure(config, sockets, &endpoints, &tls),
            Order::Tls(tls) => {
                if let Some(state) = self.state.borrow().as_ref() {
                    state.set_tls(&tls);
                }
            }
            Order::Endpoints(cluster, endpoints) => {
                if let Some(state) = self.state.borrow().as_ref() {
                    state.set_endpoints(&cluster, &endpoints);
                }
            }
            Order::Health(cluster) => {
                if let Some(state) = self.state.borrow().as_ref() {
                    state.health_changed(&cluster);
                }
            }
            Order::Overrides(overrides) => {
                self.overrides = overrides;
                if let Some(state) = self.state.borrow().as_ref() {
                    state.override_fractions(&self.overrides);
                }
            }
            Order::Snapshot(mut sum, back) => {
                self.stats.fill(&mut sum);
                let (written, dropped) = self.logs.counts();
                sum.downstream.access_log_written += written;
                sum.downstream.access_log_dropped += dropped;
                // The one who asked may have given up.
                let _ = back.send(sum);
            }
            Order::Drain(grace) => {
                self.listening.clear();
                let now = Instant::now();
                self.drain.get_or_insert((now, now + grace));
            }
        }
    }

    /// Moves a drain on; whether it is over.
    fn drained(&self) -> bool {
        let Some((begun, end)) = self.drain else { return false };
        let now = Instant::now();
        if now >= begun + HUSH {
            self.connections.begin_drain();
        }
        if now >= begun + FAREWELL.min((end - begun) / 2) {
            self.connections.finish_all();
        }
        now >= end || self.connections.is_empty()
    }

    fn configure(&mut self, config: Arc<Config>, sockets: Vec<(usize, StdListener)>, endpoints: &Endpoints, tls: &Arc<Contexts>) {
        let state = State::new(config.clone(), endpoints, &self.overrides, &self.stats, &self.logs, &self.shared);
        state.set_tls(tls);
        self.state.replace(Some(Rc::new(state)));
        self.listening.retain(|l| config.listeners.iter().any(|c| c.name == l.name && c.address == l.address));
        self.connections.finish(|c| c.place.chain(&config).is_none());
        for (index, socket) in sockets {
            let (listener, stop) = (&config.listeners[index], watch::Sender::new(false));
            let accepting = Accepting {
                name: listener.name.as_str().into(),
                state: self.state.clone(),
                stats: self.stats.clone(),
                connections: self.connections.clone(),
            };
            match TcpListener::from_std(socket) {
                Ok(socket) => drop(spawn_local(accepting.run(socket, stop.subscribe()))),
                Err(error) => tracing::error!(listener = listener.name, %error, "the listener's socket cannot be used"),
            }
            self.listening.push(Listening { name: listener.name.clone(), address: listener.address, stop });
        }
    }
}

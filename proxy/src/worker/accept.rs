//! Accepts connections of one listener and gives each a task of its own (see [`super::serve`]).

use super::connections::{Connection, Connections};
use super::greet::greet;
use super::serve::Serving;
use crate::listener::client::Client;
use crate::listener::original;
use crate::state::State;
use crate::stats::WorkerStats;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

/// After an accept that failed for want of descriptors, this long is waited before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Client connections of one worker; more are closed at once and counted.
const MAX_CONNECTIONS: usize = 16_384;

/// What an accept loop needs.
#[derive(Clone)]
pub struct Accepting {
    /// The listener's name.
    pub name: Rc<str>,
    /// The state now in force.
    pub state: Rc<RefCell<Option<Rc<State>>>>,
    /// The worker's numbers.
    pub stats: Rc<WorkerStats>,
    /// The worker's connections.
    pub connections: Rc<Connections>,
}

impl Accepting {
    /// Accepts until told to stop; what the kernel has accepted by then is still served.
    pub async fn run(self, socket: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|s| *s) => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        tracing::warn!(listener = &*self.name, %error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Asked of the kernel itself: what the runtime has not heard of yet counts, too.
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((stream, peer)) = socket.accept() {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.begin(stream, peer);
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(state) = self.state.borrow().clone() else { return };
        let Some(accepted_by) = state.config.listeners.iter().position(|l| *l.name == *self.name) else { return };
        if self.connections.len() >= MAX_CONNECTIONS {
            self.stats.downstream.refused.add("connections");
            return;
        }
        if state.config.max_connections.is_some_and(|most| self.connections.everywhere() >= most) {
            self.stats.listener(&self.name).add("downstream_global_cx_overflow");
            return;
        }
        // Gone already.
        let Ok(local) = stream.local_addr() else { return };
        // Small answers are not to wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let settings = &state.config.listeners[accepted_by];
        let wanted = if settings.original_dst { original::destination(&stream) } else { None };
        let handed_to = wanted.filter(|_| settings.hand_over).and_then(|to| original::listener_for(&state.config, to));
        let listener = handed_to.unwrap_or(accepted_by);
        let name = if listener == accepted_by { self.name.clone() } else { state.config.listeners[listener].name.as_str().into() };
        let (connection, registered) = self.connections.register(name);
        let client = Client::new(peer, wanted.unwrap_or(local));
        let it = self.clone();
        spawn_local(async move {
            let stats = it.stats.clone();
            stats.downstream.connections.add(1);
            stats.downstream.connections_total.add(1);
            it.serve(state, listener, stream, client, connection, wanted).await;
            stats.downstream.connections.sub(1);
            drop(registered);
        });
    }

    async fn serve(
        self,
        now: Rc<State>,
        listener: usize,
        stream: TcpStream,
        mut client: Client,
        connection: Rc<Connection>,
        wanted: Option<SocketAddr>,
    ) {
        let listener = &now.config.listeners[listener];
        let numbers = self.stats.listener(&listener.name);
        // Rare, and large: not to be part of every connection's future.
        let greeted = Box::pin(greet(&now, listener, stream, &mut client, &numbers)).await;
        let Some((stream, chain)) = greeted else { return };
        let manager = now.config.managers[chain.manager].clone();
        connection.settle(chain, &manager);
        let buffer_limit = listener.buffer_limit;
        // The next configuration is not to wait for this connection's end.
        drop(now);
        let Self { state, stats, connections, .. } = self;
        let serving =
            Serving { state, stats, connections, connection, client: Rc::new(client), wanted, buffer_limit, changed: Cell::default() };
        serving.run(stream, &manager).await;
    }
}

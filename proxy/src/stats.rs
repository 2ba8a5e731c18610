//! Counters and histograms of one worker. Everything here belongs to one thread: plain cells, no locks, no atomics.
//!
//! Kept by name, so that numbers outlive a reload of configuration. [`WorkerStats::fill`] adds a worker's numbers to a snapshot; it runs between
//! polls of the worker's tasks, which is why accounts close exactly in every snapshot.

use foreshadow_snapshot::{ClusterRole, ClusterSnapshot, LatencyHistogram, MirrorSnapshot, RequestShape, RouteSnapshot, Snapshot};
use http::StatusCode;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Distinct request shapes remembered.
const SHAPES: usize = 64;
/// Named routes whose numbers are kept apart.
const ROUTES: usize = 128;
/// What stands for the routes beyond these.
const OTHER_ROUTES: &str = "(other)";

/// A counter of one thread.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    /// Takes `n` off a gauge.
    pub fn sub(&self, n: u64) {
        self.0.set(self.0.get().saturating_sub(n));
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number of one thread that is set.
#[derive(Debug, Default)]
pub struct Gauge(Cell<u64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.set(n);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A sum of one thread.
#[derive(Debug, Default)]
pub struct Sum(Cell<f64>);

impl Sum {
    /// Adds `x`.
    pub fn add(&self, x: f64) {
        self.0.set(self.0.get() + x);
    }

    /// The value.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// Counts by reason; reasons are constants, so the set is bounded.
#[derive(Debug, Default)]
pub struct Reasons(RefCell<BTreeMap<&'static str, u64>>);

impl Reasons {
    /// Counts one.
    pub fn add(&self, reason: &'static str) {
        *self.0.borrow_mut().entry(reason).or_default() += 1;
    }

    fn add_to(&self, sum: &mut BTreeMap<String, u64>) {
        for (reason, n) in self.0.borrow().iter() {
            *sum.entry((*reason).to_owned()).or_default() += n;
        }
    }
}

/// Numbers of one upstream cluster.
#[derive(Debug, Default)]
pub struct ClusterStats {
    /// Requests started.
    pub requests: Counter,
    /// Whole answers by status class.
    pub responses: [Counter; 5],
    /// Answers made here for want of one, by status class.
    own: [Counter; 5],
    /// Ended without a whole answer.
    pub failures: Reasons,
    /// What happened besides, by Envoy's names (`upstream_rq_retry`, ...).
    pub events: Reasons,
    /// Under way.
    pub in_flight: Counter,
    /// Arrival to end of answer.
    pub total: RefCell<LatencyHistogram>,
    /// Arrival to first byte of answer.
    pub first_byte: RefCell<LatencyHistogram>,
    /// Connection establishment.
    pub connect: RefCell<LatencyHistogram>,
    /// Body bytes to upstream.
    pub bytes_sent: Counter,
    /// Body bytes from upstream.
    pub bytes_received: Counter,
    /// Round trip times of connections, sampled.
    pub rtt: RefCell<LatencyHistogram>,
    /// The same, smoothed, in microseconds.
    pub rtt_now: Gauge,
    /// Connections that could have been looked at for it.
    pub looks: Counter,
}

/// Numbers of one named route towards one cluster.
#[derive(Debug, Default)]
pub struct RouteStats {
    /// Requests sent.
    pub requests: Counter,
    /// Whole answers by status class.
    pub responses: [Counter; 5],
    /// Ended without a whole answer, for whatever reason.
    pub failures: Counter,
    /// Arrival to end of answer.
    pub total: RefCell<LatencyHistogram>,
    /// Arrival to first byte of answer.
    pub first_byte: RefCell<LatencyHistogram>,
}

impl RouteStats {
    /// The head of an answer came so long after its request.
    pub fn head(&self, status: u16, us: u64) {
        if status < 500 {
            self.first_byte.borrow_mut().record_us(us);
        }
    }

    /// The answer is complete.
    pub fn done(&self, status: u16, us: u64) {
        self.responses[usize::from(status / 100).clamp(1, 5) - 1].add(1);
        if status < 500 {
            self.total.borrow_mut().record_us(us);
        }
    }

    fn fill(&self, sum: &mut RouteSnapshot) {
        sum.requests += self.requests.get();
        sum.failures += self.failures.get();
        sum.responses.iter_mut().zip(&self.responses).for_each(|(sum, mine)| *sum += mine.get());
        // One shape everywhere: adding cannot fail.
        let _ = sum.total_us.add(&**self.total.borrow());
        let _ = sum.first_byte_us.add(&**self.first_byte.borrow());
    }
}

/// Numbers of one mirror policy.
#[derive(Debug, Default)]
pub struct MirrorStats {
    /// Requests the policy applied to.
    pub eligible_requests: Counter,
    /// Copy opportunities.
    pub eligible: Counter,
    /// Whole answers.
    pub completed: Counter,
    /// Waiting or under way.
    pub in_flight: Counter,
    /// Not made or not finished.
    pub dropped: Reasons,
    /// Body bytes held.
    pub buffered: Counter,
    /// Same status class on both sides.
    pub status_match: Counter,
    /// Different status classes.
    pub status_mismatch: Counter,
    /// Same body.
    pub body_match: Counter,
    /// Different bodies.
    pub body_mismatch: Counter,
    /// By how much the copy's first byte came later than production's.
    pub slower: RefCell<LatencyHistogram>,
    /// By how much it came sooner.
    pub faster: RefCell<LatencyHistogram>,
    /// Requests that the copies stand for: the sum of one by the probability of each.
    pub represented: Sum,
}

/// Numbers of the downstream side.
#[derive(Debug, Default)]
pub struct DownstreamStats {
    /// Requests received.
    pub requests: Counter,
    /// Connections open.
    pub connections: Counter,
    /// Connections open on which nothing happens, so that they hold no buffers.
    pub resting: Counter,
    /// Connections accepted.
    pub connections_total: Counter,
    /// Refused before routing.
    pub refused: Reasons,
    /// What happened besides, by Envoy's names.
    pub events: Reasons,
    /// Answers by status class, those made here included.
    pub responses: [Counter; 5],
}

/// All numbers of one worker.
#[derive(Debug, Default)]
pub struct WorkerStats {
    clusters: RefCell<BTreeMap<String, Rc<ClusterStats>>>,
    mirrors: RefCell<BTreeMap<String, Rc<MirrorStats>>>,
    routes: RefCell<BTreeMap<(String, String), Rc<RouteStats>>>,
    listeners: RefCell<BTreeMap<String, Rc<Reasons>>>,
    /// Downstream side.
    pub downstream: DownstreamStats,
    shapes: RefCell<VecDeque<RequestShape>>,
}

impl WorkerStats {
    /// Numbers of the cluster of this name, new or old.
    pub fn cluster(&self, name: &str) -> Rc<ClusterStats> {
        self.clusters.borrow_mut().entry(name.to_owned()).or_default().clone()
    }

    /// Numbers of the mirror policy of this name, new or old.
    pub fn mirror(&self, name: &str) -> Rc<MirrorStats> {
        self.mirrors.borrow_mut().entry(name.to_owned()).or_default().clone()
    }

    /// Numbers of a named route towards a cluster, new or old; beyond a bound, those of all other routes to it.
    pub fn route(&self, cluster: &str, route: &str) -> Rc<RouteStats> {
        let mut routes = self.routes.borrow_mut();
        let mut key = (cluster.to_owned(), route.to_owned());
        if routes.len() >= ROUTES && !routes.contains_key(&key) {
            key.1 = OTHER_ROUTES.to_owned();
        }
        routes.entry(key).or_default().clone()
    }

    /// Events of the listener of this name, new or old, by Envoy's names.
    pub fn listener(&self, name: &str) -> Rc<Reasons> {
        self.listeners.borrow_mut().entry(name.to_owned()).or_default().clone()
    }

    /// Remembers the shape of a request unless it is known.
    pub fn remember(&self, method: &str, host: &str, path: &str) {
        let mut shapes = self.shapes.borrow_mut();
        if shapes.iter().any(|s| s.path == path && s.method == method && s.host == host) {
            return;
        }
        shapes.truncate(SHAPES - 1);
        shapes.push_front(RequestShape { method: method.to_owned(), path: path.to_owned(), host: host.to_owned() });
    }

    /// Adds this worker's numbers to `sum`. Clusters and mirrors that `sum` does not know (removed by a reload) are left out.
    pub fn fill(&self, sum: &mut Snapshot) {
        for cluster in &mut sum.clusters {
            if let Some(stats) = self.clusters.borrow().get(&cluster.name) {
                stats.fill(cluster);
            }
        }
        for mirror in &mut sum.mirrors {
            if let Some(stats) = self.mirrors.borrow().get(&mirror.policy) {
                stats.fill(mirror);
            }
        }
        for ((cluster, route), stats) in self.routes.borrow().iter() {
            stats.fill(sum.route(cluster, route));
        }
        for listener in &mut sum.listeners {
            if let Some(events) = self.listeners.borrow().get(&listener.name) {
                events.add_to(&mut listener.events);
            }
        }
        let (down, mine) = (&mut sum.downstream, &self.downstream);
        down.requests += mine.requests.get();
        down.connections += mine.connections.get();
        down.connections_resting += mine.resting.get();
        down.connections_total += mine.connections_total.get();
        mine.refused.add_to(&mut down.refused);
        mine.events.add_to(&mut down.events);
        down.responses.iter_mut().zip(&mine.responses).for_each(|(sum, mine)| *sum += mine.get());
        for shape in self.shapes.borrow().iter() {
            if sum.recent_requests.len() < SHAPES && !sum.recent_requests.contains(shape) {
                sum.recent_requests.push(shape.clone());
            }
        }
    }
}

impl ClusterStats {
    /// A client was answered here, for want of an answer.
    pub fn own(&self, status: StatusCode) {
        self.own[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].add(1);
    }

    fn fill(&self, sum: &mut ClusterSnapshot) {
        sum.requests += self.requests.get();
        for (sum, mine) in sum.responses.iter_mut().zip(&self.responses) {
            *sum += mine.get();
        }
        sum.own_responses.iter_mut().zip(&self.own).for_each(|(sum, mine)| *sum += mine.get());
        self.failures.add_to(&mut sum.failures);
        self.events.add_to(&mut sum.events);
        sum.in_flight += self.in_flight.get();
        // One shape everywhere: adding cannot fail.
        let _ = sum.total_us.add(&**self.total.borrow());
        let _ = sum.first_byte_us.add(&**self.first_byte.borrow());
        let _ = sum.connect_us.add(&**self.connect.borrow());
        sum.bytes_sent += self.bytes_sent.get();
        sum.bytes_received += self.bytes_received.get();
        let _ = sum.tcp_rtt_us.add(&**self.rtt.borrow());
        sum.rtt_us = mean_of_known(sum.rtt_us, self.rtt_now.get());
    }
}

impl MirrorStats {
    fn fill(&self, sum: &mut MirrorSnapshot) {
        sum.eligible_requests += self.eligible_requests.get();
        sum.eligible += self.eligible.get();
        sum.completed += self.completed.get();
        sum.in_flight += self.in_flight.get();
        self.dropped.add_to(&mut sum.dropped);
        sum.buffered_bytes += self.buffered.get();
        sum.status_match += self.status_match.get();
        sum.status_mismatch += self.status_mismatch.get();
        sum.body_match += self.body_match.get();
        sum.body_mismatch += self.body_mismatch.get();
        sum.represented += self.represented.get();
        // One shape everywhere: adding cannot fail.
        let _ = sum.slower_us.add(&**self.slower.borrow());
        let _ = sum.faster_us.add(&**self.faster.borrow());
    }
}

/// The mean of two numbers of which 0 means that nothing is known.
pub fn mean_of_known(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, known) | (known, 0) => known,
        (a, b) => a.midpoint(b),
    }
}

/// Role of a cluster as the snapshot says it.
pub fn role(mirror_only: bool) -> ClusterRole {
    if mirror_only { ClusterRole::Mirror } else { ClusterRole::Production }
}

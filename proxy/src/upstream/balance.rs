//! Which endpoint a request goes to: first a priority, then (where localities have weights) a locality, then an endpoint by the cluster's policy.
//!
//! Built anew whenever endpoints or their health change, by [`super::Upstream`]; choosing changes only cursors. Envoy's rules for priorities,
//! overprovisioning and panic. Not here: connections, what is done when the chosen one fails.

mod edf;
mod levels;
mod maglev;
mod ring;

use super::endpoint::EndpointState;
use crate::config::model::{LbPolicy, LbSettings, Locality};
use edf::Edf;
use maglev::Maglev;
use rand::RngExt as _;
use ring::Ring;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

type Host = Rc<EndpointState>;

/// The endpoints of a cluster in the order of choice.
#[derive(Debug, Default)]
pub struct Balancer {
    levels: Vec<Level>,
    /// Percent of the load by level; their sum is 100 when there is any endpoint.
    loads: Vec<u32>,
    panic: bool,
}

/// One priority.
#[derive(Debug)]
struct Level {
    groups: Vec<Group>,
    /// Between groups, when there are several.
    between: Option<RefCell<Edf>>,
}

/// Endpoints among which the policy chooses.
#[derive(Debug)]
struct Group {
    hosts: Vec<Host>,
    weight: f64,
    how: How,
}

#[derive(Debug)]
enum How {
    Turns(Cell<usize>),
    /// Weighted turns; `Some(bias)` = less the more requests are under way.
    Weighted(RefCell<Edf>, Option<f64>),
    Least(u32),
    Random,
    Ring(Ring),
    Maglev(Maglev),
}

impl Balancer {
    /// For these endpoints, of which those that are not usable are left out unless too many of them are.
    pub fn new(policy: LbPolicy, settings: &LbSettings, hosts: &[Host]) -> Self {
        let mut by_priority: BTreeMap<u32, Vec<Host>> = BTreeMap::new();
        hosts.iter().for_each(|h| by_priority.entry(h.priority.get()).or_default().push(h.clone()));
        let counts: Vec<_> = by_priority.values().map(|all| (all.len(), all.iter().filter(|h| h.usable.get()).count())).collect();
        let shares = levels::shares(&counts, settings.overprovisioning, settings.panic_percent);
        let levels = by_priority.into_values().zip(&shares).map(|(all, share)| {
            let used: Vec<_> = all.iter().filter(|h| share.panic || h.usable.get()).cloned().collect();
            Level::new(policy, settings, &all, &used)
        });
        Self {
            levels: levels.collect(),
            loads: shares.iter().map(|s| s.load).collect(),
            panic: shares.iter().any(|s| s.panic && s.load > 0),
        }
    }

    /// Whether all endpoints of a priority are used because too few of them are healthy.
    pub fn in_panic(&self) -> bool {
        self.panic
    }

    /// All endpoints that may be chosen.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.levels.iter().flat_map(|l| &l.groups).flat_map(|g| &g.hosts)
    }

    /// An endpoint; `hash` is the request's, `attempt` counts up when the one before was not wanted.
    pub fn choose(&self, hash: Option<u64>, attempt: u32) -> Option<&Host> {
        let level = match self.levels.as_slice() {
            [only] => only,
            several => {
                let draw = hash.map_or_else(|| rand::rng().random_range(0..100), |h| (h % 100) as u32);
                let mut sum = 0;
                let share = |load: &u32| {
                    sum += load;
                    draw < sum
                };
                several.get(self.loads.iter().position(share)?)?
            }
        };
        level.choose(hash, attempt)
    }
}

impl Level {
    fn new(policy: LbPolicy, settings: &LbSettings, all: &[Host], used: &[Host]) -> Self {
        if !settings.by_locality {
            return Self { groups: vec![Group::new(policy, settings, used, 1.0)], between: None };
        }
        let mut localities: BTreeMap<Arc<Locality>, (usize, Vec<Host>)> = BTreeMap::new();
        all.iter().for_each(|h| localities.entry(h.locality.borrow().clone()).or_default().0 += 1);
        used.iter().for_each(|h| localities.entry(h.locality.borrow().clone()).or_default().1.push(h.clone()));
        let groups: Vec<_> = localities
            .into_iter()
            .filter(|(locality, (_, used))| locality.weight > 0 && !used.is_empty())
            .map(|(locality, (all, used))| {
                let healthy = used.len() as f64 / all as f64;
                let share = (healthy * f64::from(settings.overprovisioning) / 100.0).min(1.0);
                Group::new(policy, settings, &used, f64::from(locality.weight) * share)
            })
            .collect();
        let between = (groups.len() > 1).then(|| RefCell::new(Edf::new(groups.iter().map(|g| g.weight))));
        Self { groups, between }
    }

    fn choose(&self, hash: Option<u64>, attempt: u32) -> Option<&Host> {
        let group = match &self.between {
            None => self.groups.first()?,
            Some(_) if hash.is_some() => self.by_hash(hash.unwrap_or_default())?,
            Some(turns) => &self.groups[turns.borrow_mut().next(|nth| self.groups[nth].weight)?],
        };
        group.choose(hash, attempt)
    }

    /// A key stays in its locality.
    fn by_hash(&self, hash: u64) -> Option<&Group> {
        let total: f64 = self.groups.iter().map(|g| g.weight).sum();
        // Other bits than those that choose the endpoint.
        let mut left = (hash.rotate_left(32) >> 11) as f64 / (1u64 << 53) as f64 * total;
        let falls_in = |group: &&Group| {
            left -= group.weight;
            left < 0.0
        };
        self.groups.iter().find(falls_in).or(self.groups.last())
    }
}

impl Group {
    fn new(policy: LbPolicy, settings: &LbSettings, hosts: &[Host], weight: f64) -> Self {
        let weights = || hosts.iter().map(|h| f64::from(h.weight.get()));
        let equal = hosts.windows(2).all(|pair| pair[0].weight.get() == pair[1].weight.get());
        let start = || if hosts.len() > 1 { rand::rng().random_range(0..hosts.len()) } else { 0 };
        let keys = || hosts.iter().map(|h| (h.hash_key(settings.hash_names), h.weight.get())).collect::<Vec<_>>();
        let how = match policy {
            LbPolicy::RoundRobin if equal => How::Turns(Cell::new(start())),
            LbPolicy::RoundRobin => How::Weighted(RefCell::new(Edf::new(weights())), None),
            LbPolicy::LeastRequest if equal => How::Least(settings.choices),
            LbPolicy::LeastRequest => How::Weighted(RefCell::new(Edf::new(weights())), Some(settings.active_bias)),
            LbPolicy::Random => How::Random,
            LbPolicy::RingHash => How::Ring(Ring::new(&keys(), settings.ring_min, settings.ring_max)),
            LbPolicy::Maglev => How::Maglev(Maglev::new(&keys(), settings.table_size)),
        };
        Self { hosts: hosts.to_vec(), weight, how }
    }

    fn choose(&self, hash: Option<u64>, attempt: u32) -> Option<&Host> {
        let n = self.hosts.len();
        if n <= 1 {
            return self.hosts.first();
        }
        let hash = || hash.unwrap_or_else(|| rand::rng().random());
        let at = match &self.how {
            How::Turns(next) => {
                let turn = next.get();
                next.set(if turn + 1 < n { turn + 1 } else { 0 });
                turn
            }
            How::Weighted(turns, bias) => turns.borrow_mut().next(|nth| self.weight_now(nth, *bias))?,
            How::Least(choices) => self.least(*choices),
            How::Random => rand::rng().random_range(0..n),
            How::Ring(ring) => ring.find(hash(), attempt)?,
            How::Maglev(table) => table.find(hash(), attempt)?,
        };
        self.hosts.get(at)
    }

    fn weight_now(&self, nth: usize, bias: Option<f64>) -> f64 {
        let (weight, active) = (f64::from(self.hosts[nth].weight.get()), f64::from(self.hosts[nth].active.get()));
        match bias {
            None => weight,
            Some(1.0) => weight / (active + 1.0),
            Some(bias) => weight / (active + 1.0).powf(bias),
        }
    }

    /// The power of two (or more) choices.
    fn least(&self, choices: u32) -> usize {
        let mut rng = rand::rng();
        let mut best = rng.random_range(0..self.hosts.len());
        for _ in 1..choices {
            let other = rng.random_range(0..self.hosts.len());
            if self.hosts[other].active.get() < self.hosts[best].active.get() {
                best = other;
            }
        }
        best
    }
}

#[cfg(test)]
#[path = "balance/tests.rs"]
mod tests;

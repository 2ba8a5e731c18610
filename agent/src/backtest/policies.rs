//! The policies, each put through the history with replicas of its own: those asked for take traffic a start-up time later.
//!
//! The autoscaler is Kubernetes' algorithm in short (ratio, 10 % tolerance, a sync every 15 s on use averaged over the 30 s before, the largest recommendation of
//! the window on the way down); the full one with its behaviour rules is what the simulator runs.

use crate::backtest::model::Model;
use crate::backtest::walk::{Past, Point};
use foreshadow_brain::Settings;
use foreshadow_brain::plan::{Outlook, Planner};
use std::collections::VecDeque;

const SYNC_S: f64 = 15.0;
const LAG_S: f64 = 30.0;
const TOLERANCE: f64 = 0.1;

/// A policy with its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// What ran.
    Recorded,
    /// The autoscaler at a processor target, down after five minutes.
    Hpa(f64),
    /// A fixed rate a replica, as a share of the capacity known when judging begins.
    Keda(f64),
    /// The floor at a headroom over the autoscaler at 90 %, down after a minute; with the shadow's numbers or without.
    Foreshadow(f64, bool),
    /// Knows load and capacity two start-up times ahead.
    Oracle(f64),
}

impl Policy {
    /// Name and setting.
    pub fn name(self) -> (&'static str, f64) {
        match self {
            Self::Recorded => ("recorded", 0.0),
            Self::Hpa(target) => ("hpa", target),
            Self::Keda(share) => ("keda", share),
            Self::Foreshadow(headroom, true) => ("foreshadow", headroom),
            Self::Foreshadow(headroom, false) => ("foreshadow-no-shadow", headroom),
            Self::Oracle(share) => ("oracle", share),
        }
    }
}

/// What a policy did at each point: replicas asked for, and those that took traffic.
pub type Track = Vec<(u32, u32)>;

/// Puts a policy through the history. None: it cannot be known what it would have done (no processor use in the history).
pub fn run(policy: Policy, past: &Past, model: &Model, judged: usize) -> Option<Track> {
    if policy == Policy::Recorded {
        return Some(past.points.iter().map(|p| (p.desired, p.ready)).collect());
    }
    let measured = past.points.iter().any(|p| p.cpu_per_request.is_some() && p.replica_cores.is_some());
    let target = match policy {
        Policy::Hpa(target) => measured.then_some((target, 300.0))?,
        _ => (0.9, 60.0),
    };
    let mut pool = Pool::new(past);
    let mut autoscaler = Autoscaler {
        target: target.0,
        window_s: target.1,
        due_s: 0.0,
        uses: VecDeque::new(),
        recommended: VecDeque::new(),
        asks: pool.desired,
    };
    let settings = match policy {
        Policy::Foreshadow(headroom, _) => Settings { headroom, ..past.settings.clone() }.sane(),
        _ => past.settings.clone().sane(),
    };
    let mut planner = Planner::new(&settings);
    let fixed_rps = model.capacity.get(judged).copied().flatten().unwrap_or(1.0);
    let step = |(i, point): (usize, &Point)| {
        pool.start(point.at_s);
        let asks = match policy {
            Policy::Keda(share) => autoscaler.step(point.at_s, point.load_rps.map(|l| l / (share * fixed_rps)), pool.desired, 1.0),
            Policy::Oracle(share) => oracle(past, model, i, share, settings.replica_start_s),
            Policy::Foreshadow(_, shadow) => {
                let reactive = if measured {
                    autoscaler.step(point.at_s, used(point), pool.desired, autoscaler.target)
                } else {
                    settings.min_replicas.max(1)
                };
                let floor = planner.plan(&outlook(point, shadow, &pool, reactive, &settings), &settings).floor;
                if measured { reactive.max(floor.unwrap_or(0)) } else { floor.unwrap_or(pool.desired) }
            }
            _ => autoscaler.step(point.at_s, used(point), pool.desired, autoscaler.target),
        };
        pool.ask(point.at_s, asks.clamp(settings.min_replicas.max(1), settings.max_replicas));
        (pool.desired, pool.ready)
    };
    Some(past.points.iter().enumerate().map(step).collect())
}

/// Replicas' worth of processor in use.
fn used(point: &Point) -> Option<f64> {
    Some(point.load_rps? * point.cpu_per_request? / point.replica_cores?)
}

fn outlook(point: &Point, shadow: bool, pool: &Pool, reactive: u32, settings: &Settings) -> Outlook {
    Outlook {
        at_s: point.at_s,
        horizon_s: settings.replica_start_s,
        load: point.load_then,
        capacity: if shadow { point.capacity_then } else { point.capacity_then_alone },
        capacity_now: if shadow { point.capacity } else { point.capacity_then_alone },
        capacity_before: None,
        ready: pool.ready,
        desired: pool.desired,
        reactive,
        stale: point.load_rps.is_none(),
        cannot_help: point.cannot_help.clone(),
        demoted: None,
        machines: None,
    }
}

fn oracle(past: &Past, model: &Model, i: usize, share: f64, start_s: f64) -> u32 {
    let until = past.points[i].at_s + 2.0 * start_s;
    let coming = past.points[i..].iter().zip(&model.capacity[i..]).take_while(|(p, _)| p.at_s <= until);
    // Arrivals of a second are mostly chance: what is known ahead is their mean over a few.
    let needs: Vec<f64> = coming.filter_map(|(p, c)| Some(p.load_rps? / (share * (*c)?))).collect();
    needs.chunks(5).map(|c| c.iter().sum::<f64>() / c.len() as f64).fold(1.0, f64::max).ceil() as u32
}

/// Replicas of a policy.
struct Pool {
    desired: u32,
    ready: u32,
    start_s: f64,
    coming: VecDeque<f64>,
}

impl Pool {
    fn new(past: &Past) -> Self {
        let first = past.points.first().map_or((1, 1), |p| (p.desired, p.ready));
        Self { desired: first.0, ready: first.1, start_s: past.settings.replica_start_s, coming: VecDeque::new() }
    }

    fn start(&mut self, now_s: f64) {
        while self.coming.front().is_some_and(|t| *t <= now_s) {
            self.coming.pop_front();
            self.ready += 1;
        }
    }

    fn ask(&mut self, now_s: f64, replicas: u32) {
        self.desired = replicas;
        while self.ready + (self.coming.len() as u32) < replicas {
            self.coming.push_back(now_s + self.start_s);
        }
        while self.ready + (self.coming.len() as u32) > replicas && self.coming.pop_back().is_some() {}
        self.ready = self.ready.min(replicas);
    }
}

/// The autoscaler.
struct Autoscaler {
    target: f64,
    window_s: f64,
    due_s: f64,
    uses: VecDeque<(f64, f64)>,
    recommended: VecDeque<(f64, u32)>,
    asks: u32,
}

impl Autoscaler {
    /// Replicas asked for, from the use in replicas' worth and what share of it one may carry.
    fn step(&mut self, now_s: f64, used: Option<f64>, current: u32, target: f64) -> u32 {
        self.uses.extend(used.map(|u| (now_s, u)));
        while self.uses.front().is_some_and(|u| u.0 < now_s - LAG_S) {
            self.uses.pop_front();
        }
        if now_s < self.due_s || self.uses.is_empty() {
            return self.asks;
        }
        self.due_s = now_s + SYNC_S;
        let mean = self.uses.iter().map(|u| u.1).sum::<f64>() / self.uses.len() as f64;
        let need = mean / target.max(0.01);
        let steady = (need / f64::from(current.max(1)) - 1.0).abs() <= TOLERANCE;
        let wanted = if steady { current } else { need.ceil().clamp(1.0, 1e5) as u32 };
        self.recommended.push_back((now_s, wanted));
        while self.recommended.front().is_some_and(|r| r.0 <= now_s - self.window_s) {
            self.recommended.pop_front();
        }
        let held = self.recommended.iter().map(|r| r.1).max().unwrap_or(wanted);
        self.asks = if wanted >= current { wanted } else { held.min(current) };
        self.asks
    }
}

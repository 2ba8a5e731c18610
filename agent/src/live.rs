//! What the outside may see of a running agent: the latest of everything and a bounded past.
//!
//! Written by the control loop once a tick, read by the server. Promises: readers never hold the loop up for longer than a copy, and
//! memory is bounded (so many points, `KEEP_ACTIONS` actions).

use crate::config::model::Mode;
use crate::local::api::Workload;
use crate::observe::accounts::Account;
use crate::record::{Action, ActionKind, Session};
use foreshadow_brain::decision::Band;
use foreshadow_brain::sample::PathSample;
use foreshadow_brain::{Decision, Sample};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

/// Points kept: an hour at one a second.
const KEEP: usize = 3_600;
/// Points kept by who looks after many workloads: ten minutes.
pub const KEEP_OF_MANY: usize = 600;
/// Actions kept.
const KEEP_ACTIONS: usize = 500;

/// One tick, as drawn.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Point {
    /// End of the interval, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Production; `None` = a gap.
    pub production: Option<PathPoint>,
    /// Shadow; `None` = a gap or no shadow.
    pub shadow: Option<PathPoint>,
    /// Capacity of one replica, requests per second.
    pub capacity_rps: Option<Band>,
    /// Forecast load at the horizon that matters most, requests per second.
    pub forecast_rps: Option<Band>,
    /// Seconds ahead of that forecast.
    pub forecast_s: f64,
    /// Forecast load over what the ready replicas take.
    pub margin: Option<f64>,
    /// Replicas ready, starting, asked for.
    pub ready: u32,
    /// Replicas started but not ready.
    pub starting: u32,
    /// Replicas asked for.
    pub desired: u32,
    /// Floor in force.
    pub floor: u32,
    /// Floor that the plan wants (also when the mode only observes).
    pub planned_floor: Option<u32>,
    /// What the reactive scaler asks for.
    pub reactive: Option<u32>,
    /// Copies per request now in force.
    pub fraction: f64,
    /// Alarms standing.
    pub alarms: usize,
}

/// One path of a point.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PathPoint {
    /// Offered load, requests per second.
    pub rps: f64,
    /// Share of ended requests that were bad; `None` when none ended.
    pub bad_ratio: Option<f64>,
    /// Median latency, milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 % latency, milliseconds.
    pub p99_ms: Option<f64>,
    /// Requests under way.
    pub in_flight: f64,
    /// Cores.
    pub cpu_cores: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
}

/// The latest of everything.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// The run.
    pub session: Option<Session>,
    /// The last sample.
    pub sample: Option<Arc<Sample>>,
    /// The last decision.
    pub decision: Option<Arc<Decision>>,
    /// The workload.
    pub workload: Arc<Workload>,
    /// Why the source of instances did not answer.
    pub source_error: Option<String>,
    /// Sidecars polled, and how many of them did not answer.
    pub proxies: (usize, usize),
    /// The account of copies.
    pub account: Account,
    /// Snapshots whose account did not close.
    pub account_mismatches: u64,
    /// Why the last tick could not be recorded.
    pub history_error: Option<String>,
    /// Ticks done in this run.
    pub ticks: u64,
}

#[derive(Debug)]
struct Inner {
    keep: usize,
    latest: Latest,
    points: VecDeque<Point>,
    actions: VecDeque<Action>,
}

/// Shared between loop and server.
#[derive(Debug, Clone)]
pub struct Live {
    inner: Arc<RwLock<Inner>>,
}

impl Default for Live {
    fn default() -> Self {
        Self::keeping(KEEP)
    }
}

impl Live {
    /// One that keeps so many points.
    pub fn keeping(points: usize) -> Self {
        let inner = Inner { keep: points, latest: Latest::default(), points: VecDeque::new(), actions: VecDeque::new() };
        Self { inner: Arc::new(RwLock::new(inner)) }
    }

    /// Publishes a tick.
    pub fn publish(&self, latest: Latest, point: Point, actions: &[Action]) {
        let mut guard = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *guard;
        inner.latest = latest;
        push(&mut inner.points, point, inner.keep);
        for action in actions.iter().filter(|a| worth_telling(&a.kind)) {
            push(&mut inner.actions, action.clone(), KEEP_ACTIONS);
        }
    }

    /// Fills in actions of earlier runs, oldest first.
    pub fn remember(&self, actions: impl Iterator<Item = Action>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        actions.filter(|a| worth_telling(&a.kind)).for_each(|a| push(&mut inner.actions, a, KEEP_ACTIONS));
    }

    /// The latest.
    pub fn latest(&self) -> Latest {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).latest.clone()
    }

    /// Points not older than `since_ms`, thinned to at most `most`, oldest first.
    pub fn points(&self, since_ms: u64, most: usize) -> Vec<Point> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let first = inner.points.partition_point(|p| p.at_ms < since_ms);
        let count = inner.points.len() - first;
        let step = count.div_ceil(most.max(1)).max(1);
        // Counted from the newest, so that the same points stay in view while time goes on.
        let mut thinned: Vec<Point> = inner.points.range(first..).rev().step_by(step).cloned().collect();
        thinned.reverse();
        thinned
    }

    /// The newest actions, newest first.
    pub fn actions(&self, most: usize) -> Vec<Action> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).actions.iter().rev().take(most).cloned().collect()
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, keep: usize) {
    if ring.len() >= keep {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Whether a person wants to read of it: renewals and the small steps of the rates of copies are in the history only.
fn worth_telling(kind: &ActionKind) -> bool {
    !matches!(kind, ActionKind::SetFloor { renewal: true, .. } | ActionKind::SetFraction { .. } | ActionKind::SetSynthetic { .. })
}

impl Point {
    /// What a tick looks like, drawn.
    pub fn new(sample: &Sample, decision: &Decision, start_up_s: f64) -> Self {
        let nearest =
            decision.forecasts.iter().min_by(|a, b| (a.horizon_s - start_up_s).abs().total_cmp(&(b.horizon_s - start_up_s).abs()));
        Self {
            at_ms: sample.at_ms,
            production: sample.production.as_ref().map(|p| PathPoint::new(p, sample.interval_ms)),
            shadow: sample.shadow.as_ref().map(|s| PathPoint::new(&s.path, sample.interval_ms)),
            capacity_rps: decision.capacity_rps,
            forecast_rps: nearest.and_then(|f| f.load_rps),
            forecast_s: nearest.map_or(0.0, |f| f.horizon_s),
            margin: decision.margin,
            ready: sample.scale.ready,
            starting: sample.scale.starting,
            desired: sample.scale.desired,
            floor: sample.scale.floor,
            planned_floor: decision.plan.floor,
            reactive: sample.scale.reactive,
            fraction: sample.shadow.as_ref().map_or(0.0, |s| s.fraction),
            alarms: decision.alarms.len(),
        }
    }
}

impl PathPoint {
    fn new(path: &PathSample, interval_ms: u32) -> Self {
        let seconds = f64::from(interval_ms.max(1)) / 1_000.0;
        Self {
            rps: path.arrivals as f64 / seconds,
            bad_ratio: (path.requests > 0).then(|| path.bad as f64 / path.requests as f64),
            p50_ms: path.latency.quantile_us(0.5).map(|us| us / 1_000.0),
            p99_ms: path.latency.quantile_us(0.99).map(|us| us / 1_000.0),
            in_flight: path.in_flight,
            cpu_cores: path.cpu_cores,
            memory_bytes: path.memory_bytes,
        }
    }
}

/// Name of a mode, for people.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Recommend => "recommend",
        Mode::Act => "act",
    }
}

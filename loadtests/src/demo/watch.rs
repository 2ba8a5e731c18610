//! What an arm's programs said while it ran, as the report's series.
//!
//! Pure: fed by [`crate::demo::arm`] with what it polled, and when. Promises: a floor raise is recorded when it is seen standing at the
//! orchestrator, not when it was decided; every list is bounded. Not here: polling, judgement.

use crate::demo::wire::{Decision, Mirror, Telemetry, Workload};
use crate::report::document::{AlarmSpan, Arm, Copies, DecisionNote, FloorRaise, ScalePoint, TrackPoint, Verdict};
use std::collections::BTreeMap;

/// Most entries of any list: hours at the rates used here.
const MOST: usize = 100_000;
/// Most notes.
const MOST_NOTES: usize = 20;

/// Collects over one arm.
#[derive(Debug, Default)]
pub struct Watch {
    scale: Vec<ScalePoint>,
    raises: Vec<FloorRaise>,
    floor: u32,
    costs: Vec<(f64, f64, f64)>,
    tracked: Vec<TrackPoint>,
    alarms: Vec<AlarmSpan>,
    decisions: Vec<DecisionNote>,
    verdict: Verdict,
    last_decision_ms: u64,
    policies: BTreeMap<(String, u64, String, String), Mirror>,
    notes: Vec<String>,
}

impl Watch {
    /// The workload as it was at `at_s` (negative: warm-up).
    pub fn workload(&mut self, at_s: f64, w: &Workload) {
        let count = |state: &str| w.replicas.iter().filter(|i| i.state == state).count() as u32;
        let requested = w.scale.requested.unwrap_or(0);
        let (desired, floor) = (w.scale.desired, w.scale.floor);
        if floor > self.floor && at_s >= 0.0 && self.raises.len() < MOST {
            let reason = w.scale.floor_reason.clone();
            self.raises.push(FloorRaise { at_s, from: self.floor, to: floor, reason, effective: floor > requested });
        }
        self.floor = floor;
        if self.scale.len() < MOST {
            let point = ScalePoint { at_s, desired, ready: count("ready"), starting: count("starting"), floor, requested };
            self.scale.push(point);
            self.costs.push((at_s, w.replica_seconds, w.shadow_replica_seconds));
        }
        for note in &w.notes {
            self.note(note);
        }
    }

    /// Something a reader should know; said once.
    pub fn note(&mut self, note: &str) {
        if self.notes.len() < MOST_NOTES && !self.notes.iter().any(|n| n == note) {
            self.notes.push(note.into());
        }
    }

    /// A decision, and when it was made; the same one may be given more than once.
    pub fn decision(&mut self, at_s: f64, d: &Decision) {
        if d.at_ms <= self.last_decision_ms || self.tracked.len() >= MOST {
            return;
        }
        self.last_decision_ms = d.at_ms;
        let p_violation = d.forecasts.iter().filter_map(|f| f.p_violation).max_by(f64::total_cmp);
        let capacity_rps = d.capacity_rps.map(|c| [c.p10, c.p50, c.p90]);
        self.tracked.push(TrackPoint { at_s, capacity_rps, margin: d.margin, p_violation, copy_rps: d.copies.rate_rps });
        self.verdict = Verdict { champion: d.champion.clone(), shadow: d.shadow_verdict.clone() };
        if d.plan.changed {
            let (reason, would_change) = (d.plan.reason.clone(), d.plan.would_change.clone());
            self.decisions.push(DecisionNote { at_s, floor: d.plan.floor, reason, would_change });
        }
        for alarm in &d.alarms {
            let start_s = at_s - d.at_ms.saturating_sub(alarm.since_ms) as f64 / 1_000.0;
            // The same alarm goes on while its beginning stays; the tolerance covers rounding of the time base.
            match self.alarms.iter_mut().rev().find(|a| a.kind == alarm.kind && (a.start_s - start_s).abs() < 0.5) {
                Some(standing) => standing.end_s = at_s,
                None => self.alarms.push(AlarmSpan { kind: alarm.kind.clone(), start_s, end_s: at_s, text: alarm.text.clone() }),
            }
        }
    }

    /// A proxy's mirror policies; the last state of each counts, also of proxies that have ended since.
    pub fn telemetry(&mut self, t: Telemetry) {
        for mirror in t.mirrors {
            let key = (t.proxy_id.clone(), t.start_time_unix_ms, mirror.policy.clone(), mirror.cluster.clone());
            self.policies.insert(key, mirror);
        }
    }

    /// Copies under way when last looked.
    pub fn copies_in_flight(&self) -> u64 {
        self.policies.values().map(|m| m.in_flight).sum()
    }

    /// Whether capacity is known yet.
    pub fn knows_capacity(&self) -> bool {
        self.tracked.last().is_some_and(|t| t.capacity_rps.is_some())
    }

    /// Latest state of the scale, for the progress line.
    pub fn latest(&self) -> Option<(ScalePoint, Option<f64>)> {
        let capacity = self.tracked.last().and_then(|t| t.capacity_rps).map(|c| c[1]);
        self.scale.last().map(|s| (*s, capacity))
    }

    /// Moves everything into the arm. `seconds` is the end of the judged part.
    pub fn into_arm(self, arm: &mut Arm, seconds: f64) {
        let copies = self.copies();
        let cost_at = |t: f64| {
            let before = self.costs.iter().rev().find(|c| c.0 <= t).or(self.costs.first());
            before.map_or((0.0, 0.0), |c| (c.1, c.2))
        };
        let ((from, shadow_from), (to, shadow_to)) = (cost_at(0.0), cost_at(seconds));
        arm.replica_seconds = to - from;
        arm.shadow_replica_seconds = shadow_to - shadow_from;
        arm.copies = copies;
        let judged = |at_s: f64| (0.0..=seconds).contains(&at_s);
        arm.floor_raises = self.raises.into_iter().filter(|r| judged(r.at_s)).collect();
        arm.scale = thinned(self.scale).into_iter().filter(|p| p.at_s <= seconds).collect();
        arm.tracked = self.tracked.into_iter().filter(|p| p.at_s <= seconds).collect();
        arm.alarms = self.alarms.into_iter().filter(|a| a.end_s >= 0.0 && a.start_s <= seconds).collect();
        arm.decisions = self.decisions.into_iter().filter(|d| judged(d.at_s)).collect();
        arm.verdict = self.verdict;
        arm.notes.extend(self.notes);
    }

    /// The account over all proxies. What was under way when a proxy was last seen is counted as dropped for that reason: nobody saw its end.
    fn copies(&self) -> Copies {
        let mut out = Copies::default();
        for m in self.policies.values() {
            out.add(&Copies { eligible: m.eligible, completed: m.completed, dropped: m.dropped.clone() });
            if m.in_flight > 0 {
                *out.dropped.entry("under_way_when_last_seen".into()).or_default() += m.in_flight;
            }
        }
        out
    }
}

/// Keeps points where something changed, the one before each, and the last: a staircase loses nothing.
fn thinned(points: Vec<ScalePoint>) -> Vec<ScalePoint> {
    let same = |a: &ScalePoint, b: &ScalePoint| ScalePoint { at_s: 0.0, ..*a } == ScalePoint { at_s: 0.0, ..*b };
    let last = points.len().saturating_sub(1);
    let changes = |i: usize| i == 0 || i == last || !same(&points[i], &points[i - 1]) || !same(&points[i], &points[i + 1]);
    (0..points.len()).filter(|&i| changes(i)).map(|i| points[i]).collect()
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

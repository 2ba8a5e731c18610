//! The verdict on an arm, from what the client saw: violations, and who noticed first.
//!
//! Pure. The rule, also printed in the report: a second is *beyond the objective* when over the [`WINDOW_S`] seconds that end with it more than
//! `1 - target` of the requests, and at least [`LEAST_BAD`], were bad, and it had bad requests itself. Seconds beyond the objective less than
//! [`QUIET_S`] apart are one violation; its onset is the start of its first second. It is attributed to the fault standing at onset (until
//! [`AFTERMATH_S`] after the fault is gone), else to `load`.
//!
//! Called after each arm and once at the end. Not here: where the seconds come from.

use crate::report::document::{AlarmSpan, Arm, Document, Fault, Lead, Objective, Second, Violation};

/// Length of the sliding count, in seconds.
pub const WINDOW_S: usize = 3;
/// Fewer bad requests than this in a window are never a violation.
pub const LEAST_BAD: u64 = 5;
/// Violations closer than this are one, in seconds.
pub const QUIET_S: f64 = 6.0;
/// A violation that begins this soon after a fault has gone still belongs to it, in seconds.
pub const AFTERMATH_S: f64 = 5.0;
/// How far back a signal may lie for a violation that no fault explains, in seconds.
pub const LOAD_WINDOW_S: f64 = 30.0;
/// Alarms that announce trouble for production; others (stale data, a useless shadow) are no forecast.
const FORECASTS: [&str; 2] = ["forecast_violation", "capacity_falling"];

/// The violations of an arm. `seconds` are in order, one a second.
pub fn violations(seconds: &[Second], objective: &Objective, faults: &[Fault]) -> Vec<Violation> {
    let mut found: Vec<Violation> = Vec::new();
    for (i, second) in seconds.iter().enumerate() {
        if !beyond(&seconds[(i + 1).saturating_sub(WINDOW_S)..=i], objective) {
            continue;
        }
        match found.last_mut().filter(|v| second.at_s - v.end_s < QUIET_S) {
            Some(v) => v.end_s = second.at_s + 1.0,
            None => {
                let fault = blame(second.at_s, faults);
                found.push(Violation { onset_s: second.at_s, end_s: second.at_s + 1.0, fault, bad: 0 });
            }
        }
    }
    for v in &mut found {
        v.bad = seconds.iter().filter(|s| (v.onset_s..v.end_s).contains(&s.at_s)).map(|s| s.bad).sum();
    }
    found
}

fn beyond(window: &[Second], objective: &Objective) -> bool {
    let (requests, bad) = window.iter().fold((0, 0), |(r, b), s| (r + s.requests, b + s.bad));
    let last_had_some = window.last().is_some_and(|s| s.bad > 0);
    last_had_some && bad >= LEAST_BAD && bad as f64 > (1.0 - objective.target_ratio) * requests as f64
}

/// The fault standing at `t`, or `load`.
fn blame(t: f64, faults: &[Fault]) -> String {
    let standing = faults.iter().rev().find(|f| f.start_s <= t && t < f.end_s + AFTERMATH_S);
    standing.map_or_else(|| "load".into(), |f| f.name.clone())
}

/// Fills what follows from an arm's client seconds: sums, violations, leads within the arm.
pub fn judge_arm(arm: &mut Arm, objective: &Objective, faults: &[Fault]) {
    arm.requests = arm.client.iter().map(|s| s.requests).sum();
    arm.bad = arm.client.iter().map(|s| s.bad).sum();
    arm.failed = arm.client.iter().map(|s| s.failed).sum();
    arm.violations = violations(&arm.client, objective, faults);
    // The sum of nothing is -0.0.
    arm.violation_seconds = arm.violations.iter().map(|v| v.end_s - v.onset_s).sum::<f64>() + 0.0;
    arm.lead_s = arm.violations.iter().map(|v| first_signal(arm, window_of(v, faults)).map(|at| v.onset_s - at)).collect();
}

/// Where a signal for this violation may lie.
fn window_of(v: &Violation, faults: &[Fault]) -> (f64, f64) {
    let fault = faults.iter().find(|f| f.name == v.fault && f.start_s <= v.onset_s && v.onset_s < f.end_s + AFTERMATH_S);
    (fault.map_or(v.onset_s - LOAD_WINDOW_S, |f| f.start_s), v.end_s)
}

/// A floor below what the reactive scaler asks for anyway changes nothing and is no signal.
fn first_raise(arm: &Arm, (from, to): (f64, f64)) -> Option<f64> {
    arm.floor_raises.iter().filter(|r| r.effective).map(|r| r.at_s).find(|&at| from <= at && at < to)
}

/// An alarm that already stood when the trouble began is no forecast of it.
fn first_alarm(arm: &Arm, (from, to): (f64, f64)) -> Option<f64> {
    let announces = |a: &&AlarmSpan| FORECASTS.contains(&a.kind.as_str()) && from <= a.start_s && a.start_s < to;
    arm.alarms.iter().filter(announces).map(|a| a.start_s).min_by(f64::total_cmp)
}

fn first_signal(arm: &Arm, window: (f64, f64)) -> Option<f64> {
    earlier(first_raise(arm, window), first_alarm(arm, window))
}

fn earlier(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Compares the arms: one lead a fault, then one a violation that no fault explains.
pub fn compare(doc: &mut Document) {
    let (reactive, foreshadow) = (doc.arm("reactive").cloned(), doc.arm("foreshadow").cloned());
    let mut leads: Vec<Lead> = doc.faults.iter().map(|f| lead_of_fault(f, reactive.as_ref(), foreshadow.as_ref())).collect();
    let lead_vs_reactive: Vec<_> = leads.iter().map(|l| l.lead_vs_reactive_s).collect();
    for v in foreshadow.iter().flat_map(|a| &a.violations).filter(|v| v.fault == "load") {
        leads.push(lead_of_load(v, foreshadow.as_ref()));
    }
    doc.leads = leads;
    if let Some(arm) = doc.arms.iter_mut().find(|a| a.name == "foreshadow") {
        arm.lead_vs_reactive_s = lead_vs_reactive;
    }
}

fn lead_of_fault(fault: &Fault, reactive: Option<&Arm>, foreshadow: Option<&Arm>) -> Lead {
    let window = (fault.start_s, fault.end_s + AFTERMATH_S);
    let onset = |arm: Option<&Arm>| {
        let mine = |v: &&Violation| v.fault == fault.name && (window.0..window.1).contains(&v.onset_s);
        arm.and_then(|a| a.violations.iter().find(mine)).map(|v| v.onset_s)
    };
    let first_raise_s = foreshadow.and_then(|a| first_raise(a, window));
    let first_alarm_s = foreshadow.and_then(|a| first_alarm(a, window));
    let (onset_s, reactive_onset_s) = (onset(foreshadow), onset(reactive));
    let before = |onset: Option<f64>| Some(onset? - earlier(first_raise_s, first_alarm_s)?);
    Lead {
        fault: fault.name.clone(),
        start_s: fault.start_s,
        first_raise_s,
        first_alarm_s,
        onset_s,
        reactive_onset_s,
        lead_s: before(onset_s),
        lead_vs_reactive_s: before(reactive_onset_s),
        averted: foreshadow.is_some() && onset_s.is_none() && reactive_onset_s.is_some(),
    }
}

fn lead_of_load(v: &Violation, foreshadow: Option<&Arm>) -> Lead {
    let window = (v.onset_s - LOAD_WINDOW_S, v.end_s);
    let first_raise_s = foreshadow.and_then(|a| first_raise(a, window));
    let first_alarm_s = foreshadow.and_then(|a| first_alarm(a, window));
    let lead_s = earlier(first_raise_s, first_alarm_s).map(|at| v.onset_s - at);
    Lead { fault: v.fault.clone(), start_s: v.onset_s, first_raise_s, first_alarm_s, onset_s: Some(v.onset_s), lead_s, ..Lead::default() }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

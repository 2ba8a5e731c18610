//! How well each forecaster warns while nothing is changed: thresholds that the runs before would have allowed, judged on the run after them.
//!
//! Pure. An observer's alarm stands while its score is beyond a threshold; the thresholds are the same for all, fine enough that none is favoured.

use crate::scaling::record::{Observed, Run, Warnings};
use crate::sim::judge::{Rule, Span, leads, standing};
use crate::sim::outcome::Outcome;
use crate::sim::policy::Observer;
use serde::Serialize;
use std::cmp::Reverse;

/// The mildest threshold, how much stricter each next one is, and how many there are.
const MILDEST: f64 = 0.2;
const STRICTER: f64 = 1.08;
const THRESHOLDS: i32 = 52;
/// False alarms a day that are borne.
const BORNE: f64 = 1.0;
const DAY_S: f64 = 86_400.0;

/// What an observer warned of, by thresholds from earlier runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Violations of the judged runs.
    pub violations: usize,
    /// Those that were warned of.
    pub warned: usize,
    /// Median lead less the start of a pod, in seconds.
    pub usable_lead_s: Option<f64>,
    /// False alarms a day that came of it.
    pub false_alarms_per_day: f64,
}

/// The warnings of each observer of a run at every threshold, the mildest first.
pub fn observed(observers: &[Observer], onsets: &[Span], outcome: &Outcome, rule: &Rule) -> Vec<Observed> {
    let judged_s = outcome.warmup_steps as f64 * outcome.step_s;
    let at = |observer: &Observer, factor: f64| {
        let mut raised = standing(observer.scores.iter().map(|s| f64::from(*s) > factor), outcome.step_s, rule);
        raised.retain(|s| s.1 >= judged_s);
        let (leads_s, false_alarms) = leads(&raised, onsets, rule);
        Warnings { factor, leads_s, false_alarms_per_day: false_alarms as f64 * DAY_S / outcome.seconds }
    };
    let every = |o: &Observer| (0..THRESHOLDS).map(|i| at(o, MILDEST * STRICTER.powi(i))).collect();
    observers.iter().map(|o| Observed { name: o.name.into(), warnings: every(o) }).collect()
}

/// Each observer over runs in their order: for every run but the first, of the thresholds that were false once a day at most in those before it, the one
/// that warned of most there (an alarm that never ends is never false, and warns of nothing).
pub fn walk_forward(runs: &[&Run]) -> Vec<Watched> {
    let names = runs.first().map(|r| r.observers.iter().map(|o| o.name.as_str()).collect::<Vec<_>>()).unwrap_or_default();
    names.iter().enumerate().filter(|_| runs.len() > 1).map(|(o, name)| watched(runs, o, name)).collect()
}

fn watched(runs: &[&Run], observer: usize, name: &str) -> Watched {
    let warnings = |run: &Run, i: usize| run.observers.get(observer).and_then(|o| o.warnings.get(i)).cloned().unwrap_or_default();
    let (mut leads_s, mut false_alarms, mut violations) = (Vec::new(), 0.0, 0);
    for (n, run) in runs.iter().enumerate().skip(1) {
        let before = |i: usize| {
            runs[..n].iter().map(|r| warnings(r, i)).fold((0.0, 0), |sum, w| (sum.0 + w.false_alarms_per_day, sum.1 + w.leads_s.len()))
        };
        let borne = (0..THRESHOLDS as usize).map(|i| (i, before(i))).filter(|(_, told)| told.0 <= BORNE * n as f64);
        let best = borne.max_by_key(|(i, told)| (told.1, Reverse(*i)));
        let now = warnings(run, best.map_or(THRESHOLDS as usize - 1, |b| b.0));
        leads_s.extend(now.leads_s.iter().map(|lead| lead - run.start_s));
        false_alarms += now.false_alarms_per_day;
        violations += run.control_violations;
    }
    leads_s.sort_by(f64::total_cmp);
    Watched {
        name: name.into(),
        violations,
        warned: leads_s.len(),
        usable_lead_s: leads_s.get(leads_s.len() / 2).copied(),
        false_alarms_per_day: false_alarms / (runs.len() - 1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of a day in which trouble begins at `onset` and the score stands at 3 from a minute before it, at 2 now and then without a reason.
    fn run(onset: usize, false_at: &[usize]) -> Run {
        let score = |i: usize| {
            if (onset - 60..onset + 30).contains(&i) {
                3.0
            } else if false_at.contains(&i) {
                2.0
            } else {
                0.5
            }
        };
        let observer = Observer { name: "o", scores: (0..86_400).map(score).collect() };
        let outcome = Outcome { step_s: 1.0, seconds: 86_400.0, ..Outcome::default() };
        let onsets = [(onset as f64, onset as f64 + 30.0)];
        let observers = observed(&[observer], &onsets, &outcome, &Rule::cluster(0.99));
        Run { observers, control_violations: 1, start_s: 30.0, ..Run::default() }
    }

    #[test]
    fn the_threshold_is_what_earlier_runs_allow() {
        let noisy = run(5_000, &[20_000, 40_000, 60_000]);
        let (calm, jumpy) = (run(9_000, &[]), run(7_000, &[30_000, 50_000]));
        let of = |runs: &[&Run]| walk_forward(runs).remove(0);
        let told = of(&[&noisy, &calm, &jumpy]);
        assert_eq!((told.violations, told.warned, told.usable_lead_s), (2, 2, Some(30.0)));
        assert_eq!(told.false_alarms_per_day, 0.0, "three false alarms a day before made the threshold strict");
        let told = of(&[&calm, &jumpy]);
        assert_eq!((told.warned, told.false_alarms_per_day), (1, 2.0), "nothing before spoke against a mild one");
        assert!(walk_forward(&[&calm]).is_empty(), "one run has none before it");
    }
}

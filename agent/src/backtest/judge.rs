//! Judges what policies did: bad requests by the curve, replicas, violations, leads; intervals over blocks of time.
//!
//! The first part of the history is never judged. What makes an alarm (asking for how many times what the control asks for) is chosen there, such that
//! it is false once a day at most.

use crate::backtest::model::Model;
use crate::backtest::policies::{Policy, Track, run};
use crate::backtest::walk::Past;
use serde::Serialize;

/// At least so long is not judged, and at least this share; at most half.
const EMBARGO_S: f64 = 600.0;
const EMBARGO: f64 = 0.25;
/// Fewest points worth a judgement.
const FEWEST: usize = 120;
/// Blocks of time that are drawn again and again, of at most so long; resamples.
const BLOCK_S: f64 = 1_800.0;
const FEWEST_BLOCKS: f64 = 12.0;
const RESAMPLES: usize = 500;
/// Violations and alarms closer than this are one; an alarm older than this is no warning.
const QUIET_S: f64 = 60.0;
const LONGEST_LEAD_S: f64 = 900.0;
/// A violation is a bad fraction of so many times the tolerated one.
const VIOLATION: f64 = 2.0;
const FACTORS: [f64; 6] = [1.0, 1.1, 1.2, 1.35, 1.6, 2.0];
const DAY_S: f64 = 86_400.0;

/// One policy at one setting; the keys are those of `cargo bench-scaling`'s runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Run {
    /// Name of the history.
    pub load: String,
    /// `history`.
    pub scenario: String,
    /// The policy.
    pub policy: String,
    /// Value of its parameter.
    pub setting: f64,
    /// 0: nothing is drawn.
    pub seed: u64,
    /// Requests of the judged part.
    pub requests: u64,
    /// Bad ones, estimated by the curve (also for what ran).
    pub bad: u64,
    /// 90 % interval of `bad` over blocks of time.
    pub bad_interval: (u64, u64),
    /// Bad ones that no scaling avoids.
    pub unavoidable_bad: u64,
    /// Mean replicas asked for, shadow counted for those that use it.
    pub mean_replicas: f64,
    /// 90 % interval of `mean_replicas`.
    pub replicas_interval: (f64, f64),
    /// Times beyond the objective.
    pub violations: usize,
    /// Seconds between the beginning of its alarm and the control's violations.
    pub leads_s: Vec<f64>,
    /// Alarms a day that nothing followed.
    pub false_alarms_per_day: f64,
    /// Changes of the replicas asked for.
    pub actions: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backtest {
    /// Version of this document.
    pub version: u32,
    /// Policies and settings.
    pub runs: Vec<Run>,
    /// Length of the judged part, and of what went before it, in seconds.
    pub judged_s: f64,
    /// See `judged_s`.
    pub embargo_s: f64,
    /// Bad requests of the judged part that were recorded.
    pub recorded_bad: u64,
    /// Those that the curve gives for the replicas that ran, over `recorded_bad`: how far estimates are to be trusted.
    pub model_over_recorded: Option<f64>,
    /// Steepness of the curve, and its share of bad requests without load.
    pub steepness: f64,
    /// See `steepness`.
    pub base: f64,
    /// The control that alarms and leads are counted against.
    pub control: String,
    /// Why something is missing or to be taken with care.
    pub notes: Vec<String>,
    /// What the decision core says of the shadow's worth.
    pub shadow_verdict: String,
    /// For the picture: seconds since the first point, load, capacity of a replica, replicas recorded, replicas of Foreshadow.
    pub timeline: Vec<Moment>,
}

/// Judges every policy over the history. The error is for people.
pub fn backtest(name: &str, past: &Past) -> Result<Backtest, String> {
    let points = &past.points;
    if points.len() < FEWEST {
        return Err(format!("holds {} samples; at least {FEWEST} are needed to learn from the first and judge the rest", points.len()));
    }
    let (first, last) = (points[0].at_s, points[points.len() - 1].at_s);
    let embargo_s = (EMBARGO * (last - first)).max(EMBARGO_S).min(0.5 * (last - first));
    let judged = points.partition_point(|p| p.at_s < first + embargo_s);
    let model = Model::fit(past, judged);
    if !model.capacity.iter().any(Option::is_some) {
        return Err("what a replica takes never became known: without that nothing can be said of other replica counts".into());
    }
    let control = run(Policy::Hpa(0.7), past, &model, judged);
    let hpa = control.is_some();
    let control = control.or_else(|| run(Policy::Recorded, past, &model, judged)).unwrap_or_default();
    let judge = Judge { name, past, model: &model, judged, control: &control, onsets: violations(past, &model, &control, 0) };
    let runs: Vec<Run> = policies().into_iter().filter_map(|p| Some(judge.run(p, &run(p, past, &model, judged)?))).collect();
    let ours = run(Policy::Foreshadow(past.settings.headroom, true), past, &model, judged).unwrap_or_default();
    let recorded_bad: f64 = points[judged..].iter().map(|p| p.bad).sum();
    let modelled: f64 = (judged..points.len()).map(|i| points[i].requests * model.bad(past, i, points[i].ready)).sum();
    Ok(Backtest {
        version: 1,
        runs,
        judged_s: last - points[judged.min(points.len() - 1)].at_s,
        embargo_s,
        recorded_bad: recorded_bad as u64,
        model_over_recorded: (recorded_bad >= 1.0).then(|| modelled / recorded_bad),
        steepness: model.steepness,
        base: model.base,
        control: if hpa { "hpa 0.7" } else { "recorded" }.into(),
        notes: notes(past, hpa, modelled, recorded_bad),
        shadow_verdict: past.shadow_verdict.clone(),
        timeline: timeline(past, &model, &ours),
    })
}

fn policies() -> Vec<Policy> {
    let headrooms = [0.8, 0.9, 1.0, 1.1];
    let mut all = vec![Policy::Recorded];
    all.extend([0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map(Policy::Hpa));
    all.extend([0.5, 0.6, 0.7, 0.8].map(Policy::Keda));
    all.extend(headrooms.map(|h| Policy::Foreshadow(h, true)));
    all.extend(headrooms.map(|h| Policy::Foreshadow(h, false)));
    all.extend([0.8, 0.9, 1.0, 1.1].map(Policy::Oracle));
    all
}

fn notes(past: &Past, hpa: bool, modelled: f64, recorded: f64) -> Vec<String> {
    let mut notes = vec![
        "demand and what a replica takes are as recorded, the latter in hindsight; bad requests of other replica counts are estimated by the failure curve, without queues that outlast their cause".to_string(),
    ];
    if !hpa {
        notes.push("the history has no processor use or no cores of a replica: the autoscaler cannot be replayed, the control is what ran, and Foreshadow stands without one".into());
    }
    if !past.configured {
        notes.push(format!(
            "the history has no settings: {} ms, {} % and a start of {} s are assumed",
            past.settings.threshold_ms,
            100.0 * past.settings.target_ratio,
            past.settings.replica_start_s
        ));
    }
    if recorded >= 30.0 && !(0.5..=2.0).contains(&(modelled / recorded)) {
        notes.push(format!(
            "the curve gives {:.2} of the bad requests that were recorded: only large differences between policies mean something",
            modelled / recorded
        ));
    }
    if recorded < 30.0 {
        notes.push("hardly a bad request was recorded: the curve is that of a usual pool, not this application's".into());
    }
    notes
}

fn timeline(past: &Past, model: &Model, ours: &Track) -> Vec<Moment> {
    let every = past.points.len().div_ceil(600).max(1);
    let row = |i: usize| {
        let p = &past.points[i];
        (p.at_s - past.points[0].at_s, p.load_rps.unwrap_or(0.0), model.capacity[i].unwrap_or(0.0), p.ready, ours.get(i).map_or(0, |t| t.1))
    };
    (0..past.points.len()).step_by(every).map(row).collect()
}

/// A moment of the picture: seconds, load, capacity of a replica, replicas recorded, replicas of Foreshadow.
pub type Moment = (f64, f64, f64, u32, u32);

type Span = (f64, f64);

fn extend(spans: &mut Vec<Span>, at_s: f64) {
    match spans.last_mut().filter(|s| at_s - s.1 < QUIET_S) {
        Some(span) => span.1 = at_s,
        None => spans.push((at_s, at_s)),
    }
}

fn violations(past: &Past, model: &Model, track: &Track, from: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    for (i, t) in track.iter().enumerate().skip(from) {
        if model.bad(past, i, t.1) > model.base + VIOLATION * model.tolerated {
            extend(&mut spans, past.points[i].at_s);
        }
    }
    spans
}

struct Judge<'a> {
    name: &'a str,
    past: &'a Past,
    model: &'a Model,
    judged: usize,
    control: &'a Track,
    onsets: Vec<Span>,
}

impl Judge<'_> {
    fn run(&self, policy: Policy, track: &Track) -> Run {
        let (past, points) = (self.past, &self.past.points);
        let shadow = matches!(policy, Policy::Foreshadow(_, true) | Policy::Recorded);
        // Of each point: bad requests, replica-seconds, seconds.
        let cost = |i: usize| {
            let replicas = f64::from(track[i].0) + if shadow { points[i].shadow } else { 0.0 };
            (points[i].requests * self.model.bad(past, i, track[i].1), replicas * points[i].seconds, points[i].seconds)
        };
        let costs: Vec<(f64, f64, f64)> = (self.judged..points.len()).map(cost).collect();
        let (bad, replicas) = sums(&costs);
        let (bads, means) = self.resampled(&costs);
        let (leads_s, false_alarms_per_day) = self.warnings(track);
        let requests: f64 = points[self.judged..].iter().map(|p| p.requests).sum();
        let (name, setting) = policy.name();
        Run {
            load: self.name.into(),
            scenario: "history".into(),
            policy: name.into(),
            setting,
            seed: 0,
            requests: requests as u64,
            bad: bad.round() as u64,
            bad_interval: (bads.0.round() as u64, bads.1.round() as u64),
            unavoidable_bad: (requests * self.model.base).round() as u64,
            mean_replicas: replicas,
            replicas_interval: means,
            violations: violations(past, self.model, track, self.judged).len(),
            leads_s,
            false_alarms_per_day,
            actions: track[self.judged..].windows(2).filter(|w| w[0].0 != w[1].0).count() as u64,
        }
    }

    /// 90 % intervals of the sum of bad requests and of mean replicas, blocks of time drawn with replacement.
    fn resampled(&self, costs: &[(f64, f64, f64)]) -> (Span, Span) {
        let seconds: f64 = costs.iter().map(|c| c.2).sum();
        let block_s = (seconds / FEWEST_BLOCKS).clamp(1.0, BLOCK_S);
        let mut blocks: Vec<(f64, f64, f64)> = vec![(0.0, 0.0, 0.0)];
        for c in costs {
            let full = blocks.last().is_some_and(|b| b.2 >= block_s);
            if full {
                blocks.push((0.0, 0.0, 0.0));
            }
            if let Some(b) = blocks.last_mut() {
                *b = (b.0 + c.0, b.1 + c.1, b.2 + c.2);
            }
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            // A xorshift generator (Marsaglia 2003): the same intervals every time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            blocks[(state % blocks.len() as u64) as usize]
        };
        let (mut bads, mut means): (Vec<f64>, Vec<f64>) =
            (0..RESAMPLES).map(|_| sums(&(0..blocks.len()).map(|_| draw()).collect::<Vec<_>>())).unzip();
        let interval = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            (values[RESAMPLES / 20], values[RESAMPLES - 1 - RESAMPLES / 20])
        };
        (interval(&mut bads), interval(&mut means))
    }

    /// Leads before the control's violations and false alarms a day, in the judged part, at the mildest alarm that was false once a day at most before it.
    fn warnings(&self, track: &Track) -> (Vec<f64>, f64) {
        let points = &self.past.points;
        let border = points[self.judged].at_s;
        let spans = |factor: f64| {
            let mut spans = Vec::new();
            for (i, (own, control)) in track.iter().zip(self.control).enumerate() {
                if f64::from(own.0) > factor * f64::from(control.0) {
                    extend(&mut spans, points[i].at_s);
                }
            }
            spans
        };
        let followed = |a: &Span| self.onsets.iter().any(|o| o.1 >= a.0 && o.0 <= a.1 + LONGEST_LEAD_S);
        let before_days = (border - points[0].at_s) / DAY_S;
        let false_before = |f: f64| spans(f).iter().filter(|a| a.1 < border && !followed(a)).count() as f64;
        let factor = FACTORS.into_iter().find(|f| false_before(*f) <= before_days.max(1.0)).unwrap_or(FACTORS[FACTORS.len() - 1]);
        let judged: Vec<Span> = spans(factor).into_iter().filter(|a| a.1 >= border).collect();
        let lead =
            |o: &Span| Some(o.0 - judged.iter().rev().find(|a| a.0 <= o.0 && a.1 + QUIET_S >= o.0)?.0).filter(|l| *l <= LONGEST_LEAD_S);
        let leads = self.onsets.iter().filter(|o| o.0 >= border).filter_map(lead).collect();
        let days = (points[points.len() - 1].at_s - border).max(1.0) / DAY_S;
        (leads, judged.iter().filter(|a| !followed(a)).count() as f64 / days)
    }
}

/// Bad requests, and mean replicas.
fn sums(costs: &[(f64, f64, f64)]) -> (f64, f64) {
    let s = costs.iter().fold((0.0, 0.0, 0.0), |s, c| (s.0 + c.0, s.1 + c.1, s.2 + c.2));
    (s.0, s.1 / s.2.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::walk::Point;
    use foreshadow_brain::Settings;
    use foreshadow_brain::capacity::grid::LogEstimate;
    use foreshadow_brain::load::LogLoad;

    /// An hour of a hundred requests a second; a replica takes 40, for ten minutes in the middle of the judged part only 15, which processor use does not show.
    fn past() -> Past {
        let settings = Settings { max_replicas: 20, target_ratio: 0.99, ..Settings::default() };
        let point = |i: u32| {
            let rps = if (2_000..2_600).contains(&i) { 15.0f64 } else { 40.0 };
            let known = Some(LogEstimate { mean: rps.ln(), sd: 0.05 });
            Point {
                at_s: f64::from(i),
                seconds: 1.0,
                load_rps: Some(100.0),
                requests: 100.0,
                bad: 0.0,
                ready: 4,
                desired: 4,
                cpu_per_request: Some(0.01),
                replica_cores: Some(0.4),
                shadow: 0.5,
                capacity: known,
                load_then: Some(LogLoad { mean: 100f64.ln(), sd: 0.05, surprise: 0.03 }),
                capacity_then: known,
                capacity_then_alone: None,
                cannot_help: None,
            }
        };
        Past { settings, configured: true, points: (0..3_600).map(point).collect(), shadow_verdict: String::new() }
    }

    #[test]
    fn what_processor_use_does_not_show_costs_the_autoscaler_and_not_the_floor() {
        let result = backtest("x", &past()).unwrap();
        let of = |policy: &str, setting: f64| result.runs.iter().find(|r| r.policy == policy && r.setting == setting).unwrap();
        let (hpa, ours, oracle) = (of("hpa", 0.7), of("foreshadow", 0.9), of("oracle", 1.0));
        assert!(hpa.bad > 5 * ours.bad && ours.bad > oracle.bad, "{} {} {}", hpa.bad, ours.bad, oracle.bad);
        assert!(hpa.violations == 1 && hpa.bad_interval.0 < hpa.bad && hpa.bad_interval.1 > hpa.bad);
        assert!(ours.mean_replicas > hpa.mean_replicas && ours.mean_replicas < 2.0 * hpa.mean_replicas);
        assert_eq!(of("foreshadow-no-shadow", 0.9).violations, 1, "production alone knows nothing here");
    }

    #[test]
    fn nothing_judged_is_seen_before() {
        let (mut a, mut b) = (past(), past());
        b.points[3_000..].iter_mut().for_each(|p| p.load_then = Some(LogLoad { mean: 9f64.ln(), sd: 0.05, surprise: 0.03 }));
        a.points[3_000..].iter_mut().for_each(|p| p.bad = 50.0);
        let model = |p: &Past| Model::fit(p, 900);
        let track = |p: &Past| run(Policy::Foreshadow(0.9, true), p, &model(p), 900).unwrap();
        assert_eq!(track(&a)[..3_000], track(&b)[..3_000]);
        assert_eq!(model(&a).steepness, model(&b).steepness, "the curve is fitted on the first part");
    }

    #[test]
    fn a_short_history_is_refused_in_words() {
        let short = Past { points: past().points[..50].to_vec(), ..past() };
        assert!(backtest("x", &short).unwrap_err().contains("50 samples"));
    }
}

//! Runs everything: the controls of each world first, then every policy at every setting, on as many threads as asked for.
//!
//! Promises: results do not depend on the number of threads or their order.

use crate::cpu::thread_cpu;
use crate::scaling::cases::Load;
use crate::scaling::observers::observed;
use crate::scaling::policies::{CpuHpa, Fixed};
use crate::scaling::portfolio::Kind;
use crate::scaling::record::{Run, Warnings};
use crate::sim::judge::{Span, alarms, leads, violations};
use crate::sim::outcome::Outcome;
use crate::sim::{self, Policy, Scenario};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Target of the control.
const CONTROL_TARGET: f64 = 0.7;
const DAY_S: f64 = 86_400.0;
/// An alarm is a time in which a policy asks for more than so many times what the control asks for.
const FACTORS: [f64; 6] = [1.0, 1.1, 1.2, 1.35, 1.6, 2.0];

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Loads.
    pub loads: Vec<Load>,
    /// Scenarios by name.
    pub scenarios: Vec<String>,
    /// Policies with the settings to sweep.
    pub policies: Vec<(Kind, Vec<f64>)>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Length in days.
    pub days: f64,
    /// Mean size in replicas.
    pub replicas: f64,
    /// Interval of samples in seconds.
    pub tick_s: f64,
    /// Threads.
    pub threads: usize,
}

/// A simulation that has ended. What it took is no part of a [`Run`]: two of the same seed are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// For people: load, scenario, policy.
    pub what: String,
    /// The policy's name, `control` or `plenty`.
    pub policy: String,
    /// Processor time in seconds.
    pub cpu_s: f64,
    /// Simulated time in days, the warm-up included.
    pub days: f64,
}

/// One world and what is known of it before any policy.
struct Case {
    load: String,
    scenario: Scenario,
    seed: u64,
    unavoidable_bad: u64,
    control: Outcome,
    onsets: Vec<Span>,
}

impl Plan {
    /// Runs that will be made, controls included.
    pub fn len(&self) -> usize {
        let worlds = self.loads.len() * self.scenarios.len() * self.seeds.len();
        worlds * (2 + self.policies.iter().map(|p| p.1.len()).sum::<usize>())
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs it; `done` is called after each run with what it was.
    pub fn run(&self, done: &(dyn Fn(&Done) + Sync)) -> Vec<Run> {
        let mut worlds = Vec::new();
        for load in &self.loads {
            for name in &self.scenarios {
                worlds.extend(self.seeds.iter().map(|seed| (load, name, *seed)));
            }
        }
        let cases = parallel(self.threads, &worlds, |(load, name, seed)| {
            let (case, took) = self.case(load, name, *seed);
            took.iter().for_each(done);
            case
        });
        let mut jobs = Vec::new();
        for case in &cases {
            for (kind, settings) in &self.policies {
                jobs.extend(settings.iter().map(|setting| (case, *kind, *setting)));
            }
        }
        parallel(self.threads, &jobs, |(case, kind, setting)| {
            let (run, took) = judged(case, *kind, *setting);
            done(&took);
            run
        })
    }

    fn case(&self, load: &Load, name: &str, seed: u64) -> (Case, [Done; 2]) {
        let mut scenario = load.scenario(name, self.replicas, self.days, seed);
        scenario.pace.sample_s = scenario.pace.sample_s.max(self.tick_s);
        let enough = scenario.bounds.1.max(scenario.replicas);
        let plenty = Scenario { replicas: enough, ..scenario.clone() };
        let (most, took_most) = timed(&load.name, "plenty", &plenty, &mut Fixed(enough), seed);
        let (control, took) = timed(&load.name, "control", &scenario, &mut CpuHpa::new(CONTROL_TARGET, &scenario.pace), seed);
        let onsets = judged_violations(&control, &scenario);
        (Case { load: load.name.clone(), scenario, seed, unavoidable_bad: most.bad, control, onsets }, [took_most, took])
    }
}

/// Violations in the judged part.
fn judged_violations(outcome: &Outcome, scenario: &Scenario) -> Vec<Span> {
    let mut spans = violations(&outcome.points, outcome.step_s, &scenario.rule);
    spans.retain(|s| s.0 >= scenario.pace.warmup_s);
    spans
}

/// A simulation, and what it took.
fn timed(load: &str, policy: &str, scenario: &Scenario, by: &mut dyn Policy, seed: u64) -> (Outcome, Done) {
    let before = thread_cpu();
    let outcome = sim::run(scenario, by, seed);
    let cpu_s = thread_cpu().saturating_sub(before).as_secs_f64();
    let what = format!("{load} {}: {policy}", scenario.name);
    (outcome, Done { what, policy: policy.into(), cpu_s, days: (scenario.pace.warmup_s + scenario.pace.seconds) / DAY_S })
}

fn judged(case: &Case, kind: Kind, setting: f64) -> (Run, Done) {
    let scenario = &case.scenario;
    let mut policy = kind.make(setting, scenario, case.seed);
    let (outcome, took) = timed(&case.load, kind.name(), scenario, policy.as_mut(), case.seed);
    let warned = |factor: f64| {
        let mut raised = alarms(&outcome.points, &case.control.points, factor, outcome.step_s, &scenario.rule);
        raised.retain(|s| s.1 >= scenario.pace.warmup_s);
        let (leads_s, false_alarms) = leads(&raised, &case.onsets, &scenario.rule);
        Warnings { factor, leads_s, false_alarms_per_day: false_alarms as f64 * DAY_S / outcome.seconds }
    };
    let warnings = FACTORS.map(warned);
    let learned = policy.learned();
    let run = Run {
        load: case.load.clone(),
        scenario: scenario.name.clone(),
        policy: kind.name().into(),
        setting,
        seed: case.seed,
        requests: outcome.requests,
        bad: outcome.bad,
        unavoidable_bad: case.unavoidable_bad,
        mean_replicas: outcome.mean_replicas(),
        shadow_replicas: outcome.shadow_replica_seconds / outcome.seconds,
        violations: judged_violations(&outcome, scenario).len(),
        control_violations: case.onsets.len(),
        leads_s: warnings[0].leads_s.clone(),
        false_alarms_per_day: warnings[0].false_alarms_per_day,
        actions: outcome.actions,
        warnings: warnings.into(),
        start_s: scenario.pace.start.median_s,
        members: learned.members,
        shadow_verdict: learned.verdict,
        cannot_help_s: learned.cannot_help_s,
        observers: observed(&learned.observers, &case.onsets, &outcome, &scenario.rule),
    };
    (run, took)
}

/// Applies `work` to every item on several threads; results are in the items' order.
fn parallel<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some((i, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?))) {
                    let result = work(item);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|r| r.0);
    results.into_iter().map(|r| r.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_threads() {
        let plan = |threads| Plan {
            loads: vec![Load::synthetic()],
            scenarios: vec!["demo".into()],
            policies: vec![(Kind::Hpa, vec![0.5, 0.7]), (Kind::Oracle, vec![1.0])],
            seeds: vec![1, 2],
            days: 0.1,
            replicas: 12.0,
            tick_s: 1.0,
            threads,
        };
        let count = AtomicUsize::new(0);
        let one = plan(1).run(&|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), plan(1).len());
        assert_eq!(one, plan(3).run(&|_| ()));
        assert_eq!(one.len(), 6);
        let hpa = |setting: f64| one.iter().filter(|r| r.policy == "hpa" && r.setting == setting).map(|r| r.mean_replicas).sum::<f64>();
        assert!(hpa(0.5) > 1.2 * hpa(0.7));
        assert!(one.iter().all(|r| r.requests > 30_000 && r.bad >= r.unavoidable_bad / 2));
    }
}

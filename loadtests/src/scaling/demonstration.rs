//! The demonstration, simulated: ten seeds of both arms in about a second, with the three figures that it is held to.
//!
//! Called by `bench-scaling --scenario demo` and by tests, for tuning the decision core without running real processes; and by `bench-demo`, which sets
//! the real demo's rows beside the simulated ones.

use crate::scaling::policies::foreshadow::Beneath;
use crate::scaling::policies::{CpuHpa, Foreshadow};
use crate::sim::judge::violations;
use crate::sim::outcome::{Outcome, Point};
use crate::sim::shadow::Profile;
use crate::sim::{self, Scenario};
use foreshadow_brain::Settings;
use serde::Serialize;
use std::fmt;

/// A violation that begins this soon after a fault has gone still belongs to it.
const AFTERMATH_S: f64 = 5.0;
/// Target of the reactive arm.
const REACTIVE_TARGET: f64 = 0.7;

/// One fault of one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultRow {
    /// Its name.
    pub fault: String,
    /// When it began.
    pub start_s: f64,
    /// When the reactive arm was first beyond the objective because of it.
    pub reactive_onset_s: Option<f64>,
    /// The same in Foreshadow's arm.
    pub onset_s: Option<f64>,
    /// When Foreshadow's floor first rose above what its reactive scaler asked for, or the fault's start when it stood there already.
    pub raise_s: Option<f64>,
}

impl FaultRow {
    /// Whether the floor rose before users noticed; None when neither arm was in danger.
    pub fn before(&self) -> Option<bool> {
        let danger = self.onset_s.or(self.reactive_onset_s)?;
        Some(self.raise_s.is_some_and(|r| r < danger))
    }
}

/// Both arms of one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The seed.
    pub seed: u64,
    /// Its faults.
    pub faults: Vec<FaultRow>,
    /// Bad fractions: reactive, Foreshadow.
    pub bad: (f64, f64),
    /// Replica-seconds, shadow counted: reactive, Foreshadow.
    pub replica_s: (f64, f64),
}

impl Row {
    /// Whether the floor rose before every violation.
    pub fn before(&self) -> bool {
        self.faults.iter().all(|f| f.before() != Some(false))
    }

    /// Whether the floor rose before the first violation that production had with Foreshadow; also when it had none.
    pub fn before_first(&self) -> bool {
        let suffered = self.faults.iter().filter_map(|f| Some((f.onset_s?, f.raise_s)));
        let first = suffered.min_by(|a, b| a.0.total_cmp(&b.0));
        first.is_none_or(|(onset, raise)| raise.is_some_and(|r| r < onset))
    }

    /// Bad requests of Foreshadow's arm over the reactive one's.
    pub fn bad_ratio(&self) -> f64 {
        self.bad.1 / self.bad.0.max(1e-9)
    }

    /// Cost of Foreshadow's arm over the reactive one's.
    pub fn cost_ratio(&self) -> f64 {
        self.replica_s.1 / self.replica_s.0.max(1e-9)
    }
}

/// Runs both arms of a seed.
pub fn compare(seed: u64, profile: Profile, change: impl Fn(&mut Settings)) -> Row {
    let scenario = Scenario::demo(seed);
    let mut settings = crate::scaling::policies::foreshadow::settings(&scenario, seed);
    change(&mut settings);
    let reactive = sim::run(&scenario, &mut CpuHpa::new(REACTIVE_TARGET, &scenario.pace), seed);
    let foreshadow = sim::run(&scenario, &mut Foreshadow::new(settings, Some(profile), Beneath::AsFound, &scenario), seed);
    row(seed, &scenario, &reactive, &foreshadow)
}

fn row(seed: u64, scenario: &Scenario, reactive: &Outcome, foreshadow: &Outcome) -> Row {
    let onsets = |o: &Outcome| violations(&o.points, o.step_s, &scenario.rule);
    let (theirs, ours) = (onsets(reactive), onsets(foreshadow));
    let faults = scenario.faults.iter().map(|f| {
        let within = |t: f64| t >= f.start_s && t < f.end_s + AFTERMATH_S;
        let first = |spans: &[(f64, f64)]| spans.iter().map(|s| s.0).find(|t| within(*t));
        let raised = |(i, pair): (usize, &[Point])| {
            let t = (i + 1) as f64 * foreshadow.step_s;
            let more = pair[1].floor > pair[1].reactive;
            let rose = pair[1].floor > pair[0].floor;
            let began = t < f.start_s + foreshadow.step_s;
            (more && within(t) && (rose || began)).then_some(t)
        };
        FaultRow {
            fault: f.kind.name().into(),
            start_s: f.start_s,
            reactive_onset_s: first(&theirs),
            onset_s: first(&ours),
            raise_s: foreshadow.points.windows(2).enumerate().find_map(raised),
        }
    });
    let replica_s = |o: &Outcome| o.replica_seconds + o.shadow_replica_seconds;
    Row {
        seed,
        faults: faults.collect(),
        bad: (reactive.bad_ratio(), foreshadow.bad_ratio()),
        replica_s: (replica_s(reactive), replica_s(foreshadow)),
    }
}

/// Rows and what they amount to, as text.
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed  bad reactive  foreshadow  ratio   cost ratio  floor before onset?")?;
        for row in self.0 {
            write!(
                f,
                "{:4}  {:10.2} %  {:8.2} %  {:5.2}  {:11.2}",
                row.seed,
                100.0 * row.bad.0,
                100.0 * row.bad.1,
                row.bad_ratio(),
                row.cost_ratio()
            )?;
            for fault in &row.faults {
                let at = |t: Option<f64>| t.map_or("-".into(), |t| format!("{:+.1}", t - fault.start_s));
                write!(
                    f,
                    "  {}: raise {} onset {} (reactive {})",
                    fault.fault,
                    at(fault.raise_s),
                    at(fault.onset_s),
                    at(fault.reactive_onset_s)
                )?;
            }
            writeln!(f)?;
        }
        let n = self.0.len().max(1) as f64;
        let bad = self.0.iter().fold((0.0, 0.0), |s, r| (s.0 + r.bad.0, s.1 + r.bad.1));
        let cost = self.0.iter().fold((0.0, 0.0), |s, r| (s.0 + r.replica_s.0, s.1 + r.replica_s.1));
        let meets = self.0.iter().filter(|r| r.before_first() && r.bad_ratio() <= 0.5 && r.cost_ratio() <= 1.15).count();
        writeln!(
            f,
            "floor before production's first violation in {} of {} (bar 8 of 10), before every violation of either arm in {}; bad ratio {:.2} pooled, {:.2} median (bar 0.5); cost ratio {:.2} (bar 1.15); all three in {meets}",
            self.0.iter().filter(|r| r.before_first()).count(),
            self.0.len(),
            self.0.iter().filter(|r| r.before()).count(),
            bad.1 / bad.0.max(1e-9 * n),
            median(self.0.iter().map(Row::bad_ratio).collect()),
            cost.1 / cost.0.max(1e-9),
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

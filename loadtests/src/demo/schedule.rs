//! What happens when: the load curve and the fault windows of a run, the same in every arm.
//!
//! Pure: a seed and a load shape give the same schedule, always. Called by the demo before the first arm. Not here: how arrivals are drawn
//! from the curve (the generator, with the same seed) and how a fault is put into an application ([`crate::demo::inject`]).

use crate::report::document::Fault;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Every replica's worker pool shrinks: capacity falls, processor use does not show it.
    HiddenLoss,
    /// More and more requests are of an expensive class.
    CostlierMix,
    /// Every replica leaks memory and slows down with it.
    Leak,
    /// A downstream dependency answers more slowly.
    SlowDependency,
    /// New replicas take longer to start while load rises.
    SlowStart,
    /// Load itself rises. The only trouble that can be given to an application that is not ours.
    Surge,
}

impl Kind {
    /// Every kind that the sample application can be given, in the order `--full` runs them.
    pub const INJECTED: [Self; 5] = [Self::HiddenLoss, Self::CostlierMix, Self::SlowDependency, Self::Leak, Self::SlowStart];

    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::HiddenLoss => "hidden-loss",
            Self::CostlierMix => "costlier-mix",
            Self::Leak => "leak",
            Self::SlowDependency => "slow-dependency",
            Self::SlowStart => "slow-start",
            Self::Surge => "surge",
        }
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::INJECTED.into_iter().chain([Self::Surge]).find(|k| k.name() == name)
    }

    /// Depth at full, its spread over seeds, and its sentence.
    fn depth(self) -> (f64, f64) {
        match self {
            Self::HiddenLoss => (0.55, 0.03),
            Self::CostlierMix => (1.70, 0.06),
            Self::Leak => (80.0, 6.0),
            Self::SlowDependency => (40.0, 6.0),
            Self::SlowStart => (10.0, 1.0),
            Self::Surge => (1.9, 0.1),
        }
    }

    fn text(self, depth: f64) -> String {
        match self {
            Self::HiddenLoss => format!("every replica's worker pool shrinks to {:.0} %", depth * 100.0),
            Self::CostlierMix => format!("requests become {depth:.2} times as expensive on average"),
            Self::Leak => format!("every replica leaks {depth:.0} MiB of its memory"),
            Self::SlowDependency => format!("a dependency takes {depth:.0} ms longer"),
            Self::SlowStart => format!("replicas take {depth:.0} s longer to start while load rises"),
            Self::Surge => format!("load rises to {depth:.2} times its level"),
        }
    }
}

/// The run's plan: load and faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Requests a second at each whole second, `seconds + 1` values.
    pub rps: Vec<f64>,
    /// Fault windows in order of time; they do not overlap.
    pub faults: Vec<Fault>,
}

/// What a schedule is made from.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// Seed.
    pub seed: u64,
    /// Length in whole seconds.
    pub seconds: u32,
    /// Mean load wished, requests per second, before any surge.
    pub mean_rps: f64,
    /// Shape: one value a bucket of the load file, evenly spaced; one bucket is replayed in one second.
    pub shape: &'a [f64],
    /// Faults, in this order.
    pub kinds: &'a [Kind],
}

/// Seconds before the first fault and after the last, as a share of the run.
const LEAD_IN: f64 = 0.08;
const LEAD_OUT: f64 = 0.04;

/// Makes the schedule.
pub fn schedule(spec: &Spec<'_>) -> Schedule {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let faults = windows(spec.kinds, f64::from(spec.seconds), &mut rng);
    let mut rps = excerpt(spec.shape, spec.seconds as usize + 1, spec.mean_rps, &mut rng);
    for fault in faults.iter().filter(|f| loads(&f.name).is_some()) {
        let peak = loads(&fault.name).unwrap_or(fault.depth);
        for (t, rate) in rps.iter_mut().enumerate() {
            *rate *= 1.0 + (peak.min(fault.depth) - 1.0) * strength(fault, t as f64);
        }
    }
    Schedule { rps, faults }
}

/// The most that a fault multiplies the load by; None when it leaves the load alone.
fn loads(name: &str) -> Option<f64> {
    match Kind::parse(name) {
        Some(Kind::Surge) => Some(f64::INFINITY),
        Some(Kind::SlowStart) => Some(1.5),
        _ => None,
    }
}

/// One slot a fault: a ramp, a hold, a way back, a pause; the start is jittered by the seed.
fn windows(kinds: &[Kind], seconds: f64, rng: &mut impl Rng) -> Vec<Fault> {
    let slot = seconds * (1.0 - LEAD_IN - LEAD_OUT) / kinds.len().max(1) as f64;
    let mut faults = Vec::with_capacity(kinds.len());
    for (i, kind) in kinds.iter().enumerate() {
        let begin = seconds * LEAD_IN + slot * i as f64;
        let start_s = tenth(begin + slot * rng.random_range(0.0..0.08));
        let full_s = tenth(start_s + (slot * 0.40).min(20.0));
        let easing_s = tenth(full_s + (slot * 0.22).min(40.0));
        let end_s = tenth(easing_s + (slot * 0.08).min(10.0));
        let (middle, spread) = kind.depth();
        let depth = ((middle + spread * rng.random_range(-1.0..1.0)) * 100.0).round() / 100.0;
        faults.push(Fault { name: kind.name().into(), start_s, full_s, easing_s, end_s, depth, text: kind.text(depth) });
    }
    faults
}

fn tenth(s: f64) -> f64 {
    (s * 10.0).round() / 10.0
}

/// How much of a fault stands at `t`, 0..1.
pub fn strength(fault: &Fault, t: f64) -> f64 {
    let up = (t - fault.start_s) / (fault.full_s - fault.start_s).max(1e-9);
    let down = (fault.end_s - t) / (fault.end_s - fault.easing_s).max(1e-9);
    up.min(down).clamp(0.0, 1.0)
}

/// Peak over mean that an excerpt should have: lively, but not itself the event of the run.
const PEAK: std::ops::Range<f64> = 1.08..1.35;

/// A window of the shape, chosen by the seed among the busier and not too spiky ones, scaled to the mean wished.
/// A shape shorter than the run is stretched to it; a flat or empty one gives a constant rate.
fn excerpt(shape: &[f64], points: usize, mean: f64, rng: &mut impl Rng) -> Vec<f64> {
    if shape.len() < points {
        return scaled(&stretched(shape, points), mean);
    }
    let last = shape.len() - points;
    let busy = busy_level(shape);
    let good = |start: usize| {
        let w = &shape[start..start + points];
        let m = average(w);
        m >= busy && PEAK.contains(&(w.iter().copied().fold(0.0, f64::max) / m.max(1e-12)))
    };
    // Bounded search: a shape may have no such window at all.
    let start = (0..256).map(|_| rng.random_range(0..=last)).find(|&s| good(s)).unwrap_or_else(|| rng.random_range(0..=last));
    scaled(&shape[start..start + points], mean)
}

/// The median bucket: windows below it are the quiet half.
fn busy_level(shape: &[f64]) -> f64 {
    let mut sorted = shape.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn stretched(shape: &[f64], points: usize) -> Vec<f64> {
    if shape.is_empty() {
        return vec![1.0; points];
    }
    let step = (shape.len() - 1) as f64 / (points - 1).max(1) as f64;
    let at = |x: f64| {
        let (i, part) = (x.floor() as usize, x.fract());
        let next = shape[(i + 1).min(shape.len() - 1)];
        shape[i.min(shape.len() - 1)] * (1.0 - part) + next * part
    };
    (0..points).map(|p| at(p as f64 * step)).collect()
}

fn scaled(window: &[f64], mean: f64) -> Vec<f64> {
    let m = average(window);
    if m <= 0.0 {
        return vec![mean; window.len()];
    }
    window.iter().map(|v| v / m * mean).collect()
}

fn average(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len().max(1) as f64
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;

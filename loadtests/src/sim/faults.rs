//! What goes wrong, when and how badly: windows of trouble and their combined effect at a moment.
//!
//! Pure. A seed gives the same windows in every run of a scenario. Not here: how an effect changes a replica ([`crate::sim::world`]).

use crate::sim::random::{Stream, between, stream};
use rand::seq::SliceRandom;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Load rises over minutes.
    Surge,
    /// Load jumps within a second.
    FlashCrowd,
    /// More and more requests are of an expensive class.
    CostlierMix,
    /// Every replica's worker pool shrinks over minutes; processor use does not show it.
    HiddenLoss,
    /// The same within a second.
    HiddenStep,
    /// Every request leaves memory behind; instances slow down, die and restart.
    Leak,
    /// A dependency of production and shadow alike answers late; more replicas do not help.
    SlowDependency,
    /// One node, with a quarter of the instances, is slow.
    NoisyNeighbour,
    /// A release that holds workers longer, rolled out and later rolled back.
    BadRelease,
    /// Caches are flushed; every instance is slow until it has warmed up.
    ColdCache,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Surge,
        Self::FlashCrowd,
        Self::CostlierMix,
        Self::HiddenLoss,
        Self::HiddenStep,
        Self::Leak,
        Self::SlowDependency,
        Self::NoisyNeighbour,
        Self::BadRelease,
        Self::ColdCache,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Surge => "surge",
            Self::FlashCrowd => "flash-crowd",
            Self::CostlierMix => "costlier-mix",
            Self::HiddenLoss => "hidden-loss",
            Self::HiddenStep => "hidden-step",
            Self::Leak => "leak",
            Self::SlowDependency => "slow-dependency",
            Self::NoisyNeighbour => "noisy-neighbour",
            Self::BadRelease => "bad-release",
            Self::ColdCache => "cold-cache",
        }
    }

    /// Bounds of its depth: a factor, a share, or (leak) the requests after which a replica's memory is full.
    fn depth(self) -> (f64, f64) {
        match self {
            Self::Surge => (1.6, 2.2),
            Self::FlashCrowd => (1.5, 2.0),
            Self::CostlierMix => (1.45, 1.8),
            Self::HiddenLoss | Self::HiddenStep => (0.45, 0.65),
            Self::Leak => (9_000.0, 16_000.0),
            Self::SlowDependency => (0.55, 0.8),
            Self::NoisyNeighbour => (1.6, 2.2),
            Self::BadRelease => (1.35, 1.7),
            Self::ColdCache => (1.0, 1.6),
        }
    }

    fn at_once(self) -> bool {
        matches!(self, Self::FlashCrowd | Self::HiddenStep | Self::Leak | Self::BadRelease | Self::ColdCache | Self::NoisyNeighbour)
    }
}

/// One window of trouble, in seconds since the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Begins to rise.
    pub start_s: f64,
    /// Stands in full.
    pub full_s: f64,
    /// Begins to fall.
    pub easing_s: f64,
    /// Gone.
    pub end_s: f64,
    /// Depth in full, in the kind's own unit.
    pub depth: f64,
}

impl Fault {
    /// How much of it stands at `t`, 0..1.
    pub fn strength(&self, t: f64) -> f64 {
        if t < self.start_s || t > self.end_s {
            return 0.0;
        }
        let up = (t - self.start_s) / (self.full_s - self.start_s).max(1e-9);
        let down = (self.end_s - t) / (self.end_s - self.easing_s).max(1e-9);
        up.min(down).clamp(0.0, 1.0)
    }
}

/// Everything that is wrong at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effects {
    /// Multiplies the load.
    pub load: f64,
    /// Mean cost of the mix over the ordinary one.
    pub cost: f64,
    /// Share of the workers that work.
    pub share: f64,
    /// Share of the memory limit that a request leaves behind.
    pub leak: f64,
    /// Wait for the dependency, as a multiple of the objective's threshold.
    pub dependency: f64,
    /// How many times slower the slow node is.
    pub noisy: f64,
    /// Cost of the release that should run now; 1 = the usual one.
    pub release: f64,
    /// How much slower a cold instance is at first (0 = not at all), and when caches were flushed.
    pub cold: f64,
    /// When caches were flushed last.
    pub flushed_s: f64,
}

impl Effects {
    /// Nothing is wrong.
    pub const NONE: Self = Self {
        load: 1.0,
        cost: 1.0,
        share: 1.0,
        leak: 0.0,
        dependency: 0.0,
        noisy: 1.0,
        release: 1.0,
        cold: 0.0,
        flushed_s: f64::NEG_INFINITY,
    };

    /// The combined effect of faults at `t`.
    pub fn at(faults: &[Fault], t: f64) -> Self {
        let mut e = Self::NONE;
        for fault in faults {
            let s = fault.strength(t);
            if s <= 0.0 {
                continue;
            }
            let factor = 1.0 + (fault.depth - 1.0) * s;
            match fault.kind {
                Kind::Surge | Kind::FlashCrowd => e.load *= factor,
                Kind::CostlierMix => e.cost *= factor,
                Kind::HiddenLoss | Kind::HiddenStep => e.share *= factor,
                Kind::Leak => e.leak = 1.0 / fault.depth,
                Kind::SlowDependency => e.dependency += fault.depth * s,
                Kind::NoisyNeighbour => e.noisy *= fault.depth,
                Kind::BadRelease => e.release = fault.depth,
                Kind::ColdCache => (e.cold, e.flushed_s) = (fault.depth, fault.start_s),
            }
        }
        e
    }
}

/// Length of the slot that one fault has in a long run, in seconds.
const SLOT_S: f64 = 2_400.0;

/// One window a slot of forty minutes, kinds in an order that the seed shuffles; none without kinds.
pub fn plan(kinds: &[Kind], seed: u64, from_s: f64, seconds: f64) -> Vec<Fault> {
    let mut rng = stream(seed, Stream::Faults);
    let slots = ((seconds / SLOT_S).round() as usize).max(1);
    let slot = seconds / slots as f64;
    let mut order: Vec<Kind> = Vec::new();
    let mut faults = Vec::with_capacity(slots);
    for i in 0..slots {
        if order.is_empty() {
            order = kinds.to_vec();
            order.shuffle(&mut rng);
        }
        let Some(kind) = order.pop() else { return faults };
        let start_s = from_s + slot * (i as f64 + between(&mut rng, 0.10, 0.30));
        let ramp = if kind.at_once() { 1.0 } else { slot * between(&mut rng, 0.06, 0.2) };
        let (full_s, hold) = (start_s + ramp, slot * between(&mut rng, 0.12, 0.25));
        let easing_s = full_s + hold;
        let end_s = easing_s + if kind.at_once() { 1.0 } else { slot * 0.06 };
        let (low, high) = kind.depth();
        faults.push(Fault { kind, start_s, full_s, easing_s, end_s, depth: between(&mut rng, low, high) });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_from_the_seed_and_do_not_overlap() {
        let a = plan(&Kind::ALL, 3, 900.0, 86_400.0);
        assert_eq!(a, plan(&Kind::ALL, 3, 900.0, 86_400.0));
        assert_ne!(a, plan(&Kind::ALL, 4, 900.0, 86_400.0));
        assert_eq!(a.len(), 36);
        assert!(a.windows(2).all(|w| w[0].end_s < w[1].start_s) && a[35].end_s < 87_300.0);
        assert!(Kind::ALL.iter().all(|k| a.iter().any(|f| f.kind == *k)));
        assert!(plan(&[], 3, 0.0, 1e5).is_empty());
    }

    #[test]
    fn effects_rise_and_go() {
        let fault = Fault { kind: Kind::HiddenLoss, start_s: 10.0, full_s: 20.0, easing_s: 30.0, end_s: 40.0, depth: 0.5 };
        let share = |t| Effects::at(std::slice::from_ref(&fault), t).share;
        assert_eq!([share(9.0), share(15.0), share(25.0), share(35.0), share(41.0)], [1.0, 0.75, 0.5, 0.75, 1.0]);
    }
}

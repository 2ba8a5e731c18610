//! The shadow: an instance of its own size that is fed with copies.
//!
//! Called by the world: [`Shadow::copy`] for every production request, [`Shadow::run`] once a step. What it does never touches production.
//! Copies above 100 % are spread over the moments after the original, as a sidecar does.

use crate::sim::faults::Effects;
use crate::sim::meter::Meter;
use crate::sim::random::{Stream, between, stream, whole};
use crate::sim::replica::{Replica, Size};
use crate::sim::service::Draw;
use foreshadow_brain::sample::ShadowSample;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

/// Extra copies of a request are spread over so many seconds.
const SPREAD_S: f64 = 0.25;
/// Copies on their way at most; more are dropped, as the sidecar's bounded queue does.
const MOST_PENDING: usize = 100_000;
/// Class drawn from the mix: a synthetic request.
const ANY: u8 = u8::MAX;

/// A shadow configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Share of a replica that it is and costs.
    pub size: f64,
}

impl Profile {
    /// A quarter of a replica's processor.
    pub const QUARTER: Self = Self { name: "cpu-quarter", size: 0.25 };
    /// Half of it.
    pub const HALF: Self = Self { name: "cpu-half", size: 0.5 };
    /// As production.
    pub const SAME: Self = Self { name: "same", size: 1.0 };
}

/// The instance and its numbers.
#[derive(Debug)]
pub struct Shadow {
    profile: Profile,
    size: Size,
    replica: Replica,
    ready_s: f64,
    meter: Meter,
    rng: ChaCha8Rng,
    pending: Vec<(f64, u8)>,
    fraction: f64,
    synthetic_rps: f64,
    synthetic: u64,
    gap: f64,
}

impl Shadow {
    /// A shadow of a profile of instances of a size, which is ready at `ready_s`.
    pub fn new(profile: Profile, production: Size, ready_s: f64, meter: Meter, seed: u64) -> Self {
        let mut rng = stream(seed, Stream::Copies);
        let size = production.fraction(profile.size);
        Self {
            profile,
            size,
            replica: Replica::new(size, ready_s, 0, between(&mut rng, 0.0, 1.0)),
            ready_s,
            meter,
            pending: Vec::new(),
            fraction: 0.0,
            synthetic_rps: 0.0,
            synthetic: 0,
            gap: Exp1.sample(&mut rng),
            rng,
        }
    }

    /// Sets what it is fed.
    pub fn feed(&mut self, fraction: f64, synthetic_rps: f64) {
        (self.fraction, self.synthetic_rps) = (fraction, synthetic_rps);
    }

    /// Starts anew, with this release.
    pub fn restart(&mut self, release: u32, ready_s: f64) {
        let luck = self.replica.luck;
        self.replica = Replica::new(self.size, ready_s, release, luck);
        self.ready_s = ready_s;
    }

    /// Release that it runs.
    pub fn release(&self) -> u32 {
        self.replica.release
    }

    /// The instance, for effects.
    pub fn replica(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// Production was asked at `t`: takes the copies of it.
    pub fn copy(&mut self, t: f64, class: u8) {
        if self.fraction <= 0.0 || t < self.ready_s {
            return;
        }
        let copies = whole(&mut self.rng, self.fraction);
        for i in 0..copies.min(MOST_PENDING - self.pending.len().min(MOST_PENDING)) {
            let later = if i == 0 { 0.0 } else { between(&mut self.rng, 0.0, SPREAD_S) };
            self.pending.push((t + later, class));
        }
    }

    /// Runs the step that ends at `end_s`.
    pub fn run(&mut self, start_s: f64, end_s: f64, draw: &Draw, effects: &Effects, timeout_s: f64) {
        self.synthesise(start_s, end_s);
        self.pending.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let due = self.pending.partition_point(|p| p.0 < end_s);
        for i in 0..due {
            let (t, class) = self.pending[i];
            let work = if class == ANY { draw.request(&mut self.rng) } else { draw.of(class, &mut self.rng) };
            let answer = self.replica.arrive(t, work, timeout_s);
            self.meter.request(t, answer.end_s, answer.failed);
            if let Some(at) = answer.start_s {
                self.meter.cpu(at, work.cpu_s);
            }
            if effects.leak > 0.0 {
                self.replica.leak(effects.leak / self.profile.size.max(0.05), t);
            }
        }
        self.pending.drain(..due);
        self.meter.advance();
    }

    fn synthesise(&mut self, start_s: f64, end_s: f64) {
        let mut t = start_s.max(self.ready_s);
        while self.synthetic_rps > 0.0 && t < end_s && self.pending.len() < MOST_PENDING {
            let left = (end_s - t) * self.synthetic_rps;
            if self.gap > left {
                self.gap -= left;
                return;
            }
            t += self.gap / self.synthetic_rps;
            self.gap = Exp1.sample(&mut self.rng);
            self.synthetic += 1;
            self.pending.push((t, ANY));
        }
    }

    /// Its numbers since the last call.
    pub fn sample(&mut self, at_s: f64, seconds: f64, noise: f64) -> ShadowSample {
        let mut path = self.meter.sample(seconds, noise);
        path.memory_bytes = Some(self.replica.memory * self.profile.size * crate::sim::pool::MEMORY_BYTES);
        ShadowSample {
            path,
            profile: self.profile.name.into(),
            size: self.profile.size,
            fraction: self.fraction,
            synthetic: std::mem::take(&mut self.synthetic),
            ready: at_s - seconds >= self.ready_s,
        }
    }
}

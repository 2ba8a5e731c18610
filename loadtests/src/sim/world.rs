//! The world, step by step: requests, pods, the shadow, samples, the policy.
//!
//! Called by [`crate::sim::run`]. Within a step production's requests and retries are served in order of time, then the shadow's copies (nothing
//! that the shadow does can reach production). Between steps the policy is asked.

mod clients;

use crate::sim::capacity::Knees;
use crate::sim::faults::{Effects, Kind};
use crate::sim::meter::Meter;
use crate::sim::outcome::{Outcome, Point};
use crate::sim::policy::{Policy, Truth, View, Want};
use crate::sim::pool::{Pool, slowness};
use crate::sim::random::{Drift, Stream, normal, stream};
use crate::sim::replica::{Answer, REFUSED_S};
use crate::sim::scenario::Scenario;
use crate::sim::service::Draw;
use crate::sim::shadow::Shadow;
use clients::{Clients, Try};
use foreshadow_brain::Sample;
use foreshadow_brain::sample::ScaleState;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

/// Spread of processor readings.
const PROCESSOR_NOISE: f64 = 0.04;
/// How long a release takes to roll, in starts of a pod: a quarter of the replicas at a time.
const ROLLING_STARTS: f64 = 5.0;
/// Share of its capacity that a leaking replica has on average, restarts and pressure counted.
const LEAKING: f64 = 0.55;
/// Simulated time begins here: milliseconds since the epoch.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// A scenario under way.
pub struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    pool: Pool,
    shadow: Option<Shadow>,
    meter: Meter,
    clients: Clients,
    draw: Draw,
    effects: Effects,
    costs: Vec<f64>,
    now_s: f64,
    gap: f64,
    load_rng: ChaCha8Rng,
    drift_rng: ChaCha8Rng,
    processor_rng: ChaCha8Rng,
    load_drift: Drift,
    service_drift: Drift,
    want: Want,
    desired: u32,
    truth: Foresight<'a>,
    out: Outcome,
}

impl<'a> World<'a> {
    /// The world before the first step.
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let (w, pace) = (&scenario.workload, &scenario.pace);
        let mut load_rng = stream(seed, Stream::Load);
        let mut drift_rng = stream(seed, Stream::Drift);
        let steps = ((pace.warmup_s + pace.seconds) / pace.step_s).round() as usize;
        let release = |f: &&crate::sim::faults::Fault| f.kind == Kind::BadRelease;
        let out = Outcome {
            step_s: pace.step_s,
            warmup_steps: (pace.warmup_s / pace.step_s).round() as usize,
            seconds: pace.seconds,
            points: vec![Point::default(); steps],
            faults: scenario.faults.clone(),
            ..Outcome::default()
        };
        Self {
            pool: Pool::new(scenario.replicas, w.size, scenario.balance, pace.start, seed),
            shadow: None,
            meter: Meter::new(pace.step_s, w.threshold_s),
            clients: Clients::new(w.retries, stream(seed, Stream::Retries)),
            draw: Draw::new(w.io_s, w.cpu_s),
            effects: Effects::NONE,
            costs: std::iter::once(1.0).chain(scenario.faults.iter().filter(release).map(|f| f.depth)).collect(),
            now_s: 0.0,
            gap: Exp1.sample(&mut load_rng),
            load_rng,
            load_drift: Drift::new(w.load_drift.0, w.load_drift.1, pace.step_s, &mut drift_rng),
            service_drift: Drift::new(w.service_drift.0, w.service_drift.1, pace.step_s, &mut drift_rng),
            drift_rng,
            processor_rng: stream(seed, Stream::Processor),
            want: Want { replicas: scenario.replicas, ..Want::default() },
            desired: scenario.replicas,
            truth: Foresight { scenario, knees: Knees::default() },
            out,
            scenario,
            seed,
        }
    }

    /// Runs to the end.
    pub fn run(mut self, policy: &mut dyn Policy) -> Outcome {
        let pace = self.scenario.pace;
        if let Some(profile) = policy.shadow() {
            let meter = Meter::new(pace.step_s, self.scenario.workload.threshold_s);
            self.shadow = Some(Shadow::new(profile, self.scenario.workload.size, pace.start.median_s, meter, self.seed));
        }
        let per_sample = ((pace.sample_s / pace.step_s).round() as usize).max(1);
        for step in 0..self.out.points.len() {
            self.prepare();
            self.serve(step);
            self.now_s = (step + 1) as f64 * pace.step_s;
            self.meter.advance();
            let sample = ((step + 1) % per_sample == 0).then(|| self.sample(per_sample as f64 * pace.step_s));
            self.bill(step, policy.shadow().map_or(0.0, |p| p.size));
            self.ask(policy, sample.as_ref());
        }
        let seen = self.out.attempts;
        while let Some(again) = self.clients.next_before(f64::INFINITY) {
            self.attempt(again);
        }
        self.out.attempts = seen;
        self.sums()
    }

    fn prepare(&mut self) {
        let (t, w) = (self.now_s, &self.scenario.workload);
        let leaking = self.effects.leak > 0.0;
        self.effects = Effects::at(&self.scenario.faults, t);
        let drawn = w.draw(&self.effects);
        let common = self.service_drift.next(&mut self.drift_rng).exp();
        // A release is a property of a replica, not of the request.
        self.draw = Draw { slower: common, ..drawn };
        let release = self.release();
        self.pool.step(t, release, &self.effects, &self.costs);
        if leaking && self.effects.leak <= 0.0 {
            self.pool.heal();
        }
        let Some(shadow) = &mut self.shadow else { return };
        let dead = shadow.replica().dies_s <= t;
        if shadow.release() != release || dead {
            shadow.restart(release, t + self.scenario.pace.start.median_s);
        }
        let replica = shadow.replica();
        if leaking && self.effects.leak <= 0.0 {
            replica.memory = replica.memory.min(0.4);
        }
        replica.set_share(self.effects.share);
        replica.slower = slowness(replica, t, &self.effects, &self.costs);
    }

    /// The release that should run: the usual one, or the bad one whose window stands.
    fn release(&self) -> u32 {
        let bad = self.scenario.faults.iter().filter(|f| f.kind == Kind::BadRelease);
        bad.enumerate().find(|(_, f)| f.strength(self.now_s) > 0.0).map_or(0, |(i, _)| i as u32 + 1)
    }

    fn serve(&mut self, step: usize) {
        let (start_s, end_s) = (self.now_s, (step + 1) as f64 * self.scenario.pace.step_s);
        let noise = self.load_drift.next(&mut self.drift_rng).exp();
        let rps = self.scenario.load.at(start_s) * self.effects.load * noise;
        let mut t = start_s;
        loop {
            let left = (end_s - t) * rps;
            let next = if self.gap < left { t + self.gap / rps } else { f64::INFINITY };
            while let Some(again) = self.clients.next_before(next.min(end_s)) {
                self.attempt(again);
            }
            if next.is_infinite() {
                self.gap -= left.max(0.0);
                break;
            }
            t = next;
            self.gap = Exp1.sample(&mut self.load_rng);
            let work = self.draw.request(&mut self.load_rng);
            self.attempt(Try { at_s: t, first_s: t, step: step as u32, tries: 0, work });
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.run(start_s, end_s, &self.draw, &self.effects, self.scenario.workload.timeout_s);
        }
    }

    fn attempt(&mut self, attempt: Try) {
        let w = &self.scenario.workload;
        let t = attempt.at_s;
        let leak = self.effects.leak;
        let answer = match self.pool.choose(t) {
            Some(replica) => {
                let answer = replica.arrive(t, attempt.work, w.timeout_s);
                if leak > 0.0 {
                    replica.leak(leak * (0.75 + 0.5 * replica.luck), t);
                }
                answer
            }
            None => Answer { start_s: None, end_s: t + REFUSED_S, failed: true },
        };
        self.meter.request(t, answer.end_s, answer.failed);
        if let Some(start_s) = answer.start_s {
            self.meter.cpu(start_s, attempt.work.cpu_s);
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.copy(t, attempt.work.class);
        }
        self.out.attempts += 1;
        if let Some(point) = self.out.points.get_mut(attempt.step as usize) {
            point.requests += u32::from(attempt.tries == 0);
            if answer.failed && self.clients.again(&attempt, answer.end_s) {
                return;
            }
            point.bad += u32::from(answer.failed || answer.end_s - attempt.first_s > w.threshold_s);
        }
    }

    fn noise(&mut self) -> f64 {
        (PROCESSOR_NOISE * normal(&mut self.processor_rng)).exp()
    }

    fn sample(&mut self, seconds: f64) -> Sample {
        let noises = (self.noise(), self.noise());
        let mut production = self.meter.sample(seconds, noises.0);
        self.out.ended += production.requests;
        production.memory_bytes = Some(self.pool.memory_bytes());
        let now_s = self.now_s;
        Sample {
            at_ms: EPOCH_MS + (now_s * 1_000.0).round() as u64,
            interval_ms: (seconds * 1_000.0) as u32,
            production: Some(production),
            shadow: self.shadow.as_mut().map(|s| s.sample(now_s, seconds, noises.1)),
            scale: ScaleState {
                desired: self.desired,
                ready: self.pool.ready(),
                starting: self.pool.starting(),
                reactive: self.want.reactive,
                floor: self.want.floor.unwrap_or(0),
                replica_cores: Some(self.scenario.workload.request_cores()),
                release: format!("r{}", self.release()),
            },
        }
    }

    fn bill(&mut self, step: usize, shadow_size: f64) {
        let step_s = self.out.step_s;
        if step >= self.out.warmup_steps {
            self.out.replica_seconds += f64::from(self.pool.ready() + self.pool.starting()) * step_s;
            self.out.shadow_replica_seconds += shadow_size * step_s;
        }
        if let Some(p) = self.out.points.get_mut(step) {
            (p.desired, p.ready, p.alarm) = (self.desired as u16, self.pool.ready() as u16, self.want.alarm);
            (p.floor, p.reactive) = (self.want.floor.unwrap_or(0) as u16, self.want.reactive.unwrap_or(0) as u16);
        }
    }

    fn ask(&mut self, policy: &mut dyn Policy, sample: Option<&Sample>) {
        let step_s = self.out.step_s;
        let (cpu_s, arrivals) = self.meter.last();
        let requested = f64::from(self.pool.ready()) * self.scenario.workload.request_cores() * step_s;
        let noise = self.noise();
        let view = View {
            at_s: self.now_s,
            step_s,
            ready: self.pool.ready(),
            starting: self.pool.starting(),
            desired: self.desired,
            utilisation: if requested > 0.0 { cpu_s / requested * noise } else { 0.0 },
            arrival_rps: arrivals as f64 / step_s,
            sample,
            truth: &self.truth,
        };
        self.want = policy.decide(&view);
        let desired = self.want.replicas.clamp(self.scenario.bounds.0, self.scenario.bounds.1);
        if desired != self.desired {
            self.out.actions += u64::from(self.now_s >= self.scenario.pace.warmup_s);
            self.desired = desired;
        }
        let release = self.release();
        self.pool.scale(desired, self.now_s, release);
        if let Some(shadow) = &mut self.shadow {
            shadow.feed(self.want.fraction, self.want.synthetic_rps);
        }
    }

    fn sums(mut self) -> Outcome {
        for p in &self.out.points[self.out.warmup_steps.min(self.out.points.len())..] {
            self.out.requests += u64::from(p.requests);
            self.out.bad += u64::from(p.bad);
        }
        self.out.retries_dropped = self.clients.dropped();
        self.out.restarts = self.pool.restarts;
        self.out.ended += self.meter.in_flight();
        self.out
    }
}

/// What is to come, without the fluctuations that nobody can know.
struct Foresight<'a> {
    scenario: &'a Scenario,
    knees: Knees,
}

impl Truth for Foresight<'_> {
    fn at(&self, t: f64) -> (f64, f64) {
        let mut e = Effects::at(&self.scenario.faults, t);
        let rps = self.scenario.load.at(t) * e.load;
        // A release that was rolled back is still on some replicas for a while.
        e.release = e.release.max(Effects::at(&self.scenario.faults, t - ROLLING_STARTS * self.scenario.pace.start.median_s).release);
        let leaking = if e.leak > 0.0 { LEAKING } else { 1.0 };
        let warm = 1.0 + e.cold * (-(t - e.flushed_s).max(0.0) / 60.0).exp();
        let noisy = 1.0 + (e.noisy - 1.0) * 0.25;
        (rps, self.knees.of(&self.scenario.workload, &e) * leaking / warm / noisy)
    }
}

//! One tick: align, learn, forecast, plan. The order of the day; every stage is its own module.

mod outlook;
mod report;
mod watch;

use crate::alarms::Alarms;
use crate::capacity::Capacity;
use crate::copies::CopyController;
use crate::decision::Decision;
use crate::features::{Context, State};
use crate::load::{LoadForecaster, LogLoad};
use crate::math::{Decayed, bounded, log_band};
use crate::plan::Planner;
use crate::portfolio::{Asks, MEMBERS, Portfolio, Truth};
use crate::sample::Sample;
use crate::series::{Aligner, Observation, PathObservation, Window};
use crate::settings::Settings;
use crate::startup::Startup;
use crate::svm::Machines;
use crate::svm::examples::VIOLATION;
use crate::verdict::Verdict;
use watch::Watch;

/// Seconds added to the start-up time: deciding, asking, the balancer's notice.
const SAFETY_S: f64 = 1.0;
/// Memory of long-run means, per interval.
const LONG: f64 = 0.998;

/// The decision core of one workload.
#[derive(Debug, Clone)]
pub struct Brain {
    settings: Settings,
    aligner: Aligner,
    capacity: Capacity,
    load: LoadForecaster,
    copies: CopyController,
    startup: Startup,
    planner: Planner,
    alarms: Alarms,
    machines: Machines,
    portfolio: Portfolio,
    verdict: Verdict,
    watch: Watch,
    cpu_per_request: (Decayed, Decayed),
    usual_capacity: Decayed,
    arrivals: Window,
    production_seen_s: Option<f64>,
    asked: Asks,
    last: Decision,
}

impl Brain {
    /// A brain that has seen nothing. Settings that make no sense are bounded to ones that do.
    pub fn new(settings: Settings) -> Self {
        let settings = settings.sane();
        // The last horizon is not the settings': it is when a replica asked for now takes traffic.
        let mut horizons = settings.horizons_s.clone();
        horizons.push(settings.replica_start_s + 1.0 + SAFETY_S);
        let tolerated = 1.0 - settings.target_ratio;
        Self {
            aligner: Aligner::default(),
            capacity: Capacity::new(settings.threshold_ms, settings.target_ratio, settings.replica_start_s),
            load: LoadForecaster::new(&horizons),
            copies: CopyController::new(),
            startup: Startup::new(settings.replica_start_s),
            planner: Planner::new(&settings),
            alarms: Alarms::default(),
            machines: Machines::new(&horizons, tolerated, settings.train_every_s),
            portfolio: Portfolio::new(tolerated),
            verdict: Verdict::default(),
            watch: Watch::default(),
            cpu_per_request: Default::default(),
            usual_capacity: Decayed::default(),
            arrivals: Window::new(120.0),
            production_seen_s: None,
            asked: Asks::default(),
            last: Decision::default(),
            settings,
        }
    }

    /// The settings in force, bounded.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The capacity tracker, for inspection.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// What each member of the portfolio asked for at the last tick, for inspection.
    pub fn asked(&self) -> &Asks {
        &self.asked
    }

    /// What is expected of load when a replica asked for now takes traffic; None before any load.
    pub fn load_then(&self) -> Option<LogLoad> {
        self.load.log_forecast(self.settings.horizons_s.len())
    }

    /// Takes a sample and decides. A sample not newer than the last changes nothing and repeats the last decision. A tick takes well under
    /// a millisecond, except that every `train_every_s` a few in a row each fit one support vector machine.
    pub fn tick(&mut self, sample: &Sample) -> Decision {
        self.step(sample, true)
    }

    /// Takes a sample of the past without training: for feeding a stored history after a restart. Machines are trained by the ticks after it.
    pub fn feed(&mut self, sample: &Sample) -> Decision {
        self.step(sample, false)
    }

    fn step(&mut self, sample: &Sample, train: bool) -> Decision {
        let Some(seen) = self.aligner.align(sample) else { return self.last.clone() };
        self.learn(&seen, sample);
        if train {
            self.machines.train(seen.at_s);
        }
        self.judge(&seen);
        self.last = self.decide(&seen, sample);
        self.last.clone()
    }

    fn learn(&mut self, seen: &Observation, sample: &Sample) {
        if seen.new_release {
            self.machines.reset();
            self.portfolio.reset();
            self.watch.reset();
        }
        if seen.new_release || seen.new_profile {
            self.verdict.reset();
        }
        self.startup.observe(seen.at_s, &sample.scale);
        self.capacity.observe(seen);
        if let Some(e) = self.capacity.now() {
            self.usual_capacity.add(e.mean, LONG);
        }
        if let Some(production) = &seen.production {
            self.production_seen_s = Some(seen.at_s);
            self.load.observe(seen.at_s, production.arrival_rps);
            self.arrivals.push(seen.at_s, production.arrival_rps);
        }
        self.learn_states(seen);
    }

    fn learn_states(&mut self, seen: &Observation) {
        let production = seen.production.as_ref();
        let shadow = seen.shadow.as_ref();
        learn_cost(&mut self.cpu_per_request.0, production);
        learn_cost(&mut self.cpu_per_request.1, shadow);
        let context = |instances: f64, log_capacity: f64, cpu_per_request: &Decayed| Context {
            instances,
            log_capacity,
            capacity_trend: self.capacity.trend(),
            cpu_per_request: cpu_per_request.get(),
            threshold_ms: self.settings.threshold_ms,
            target_ratio: self.settings.target_ratio,
        };
        let state = |path: Option<&PathObservation>, context: Option<Context>| State::of(seen.at_s, path?, &context?);
        let with = self.capacity.now().map(|e| context(seen.replicas, e.mean, &self.cpu_per_request.0));
        let alone = self.capacity.production_edge().estimate();
        let alone = alone.map(|e| Context { capacity_trend: 0.0, ..context(seen.replicas, e.mean, &self.cpu_per_request.0) });
        let edge = self.capacity.shadow_edge().estimate().filter(|e| e.sd < 0.3);
        let edge = edge.map(|e| context(1.0, e.mean, &self.cpu_per_request.1));
        let states = (state(production, with), state(production, alone), state(shadow, edge));
        self.machines.observe(states.0, states.1, states.2);
    }

    fn judge(&mut self, seen: &Observation) {
        if seen.production.is_none() {
            return;
        }
        let tolerated = 1.0 - self.settings.target_ratio;
        let beyond = self.capacity.production_edge().load_for_bad(VIOLATION * tolerated).clamp(0.0, 0.2);
        self.verdict.judge(seen.at_s, tolerated, beyond, &self.machines);
        let (arrivals, capacity) = (&self.arrivals, &self.capacity);
        let shadow = if seen.shadow_present { seen.shadow_size } else { 0.0 };
        self.portfolio.judge(seen.at_s, |due| {
            let near = |t: f64| t > due - 2.0 && t < due + 1.5;
            let (sum, n) = arrivals.points().filter(|p| near(p.0)).fold((0.0, 0.0), |(s, n), p| (s + p.1, n + 1.0));
            let capacity_rps = capacity.around(due)?;
            (n > 0.0).then(|| Truth { load_rps: sum / n, capacity_rps, shadow })
        });
        if let Some(e) = self.capacity.now() {
            self.portfolio.review(e.median());
        }
    }

    fn decide(&mut self, seen: &Observation, sample: &Sample) -> Decision {
        let outlook = self.outlook(seen, sample);
        let plan = self.planner.plan(&outlook, &self.settings);
        self.raise_alarms(seen, sample.at_ms, &outlook);
        let in_charge = outlook.capacity.is_some() && self.portfolio.demoted().is_none();
        Decision {
            at_ms: sample.at_ms,
            capacity_rps: self.capacity.now().map(|e| log_band(e.mean, e.sd)),
            cpu_at_capacity: self.cpu_at_capacity(sample.scale.replica_cores),
            shadow_scale: self.capacity.scale().map(|e| e.median()),
            forecasts: self.forecasts(seen),
            margin: outlook::margin(&outlook),
            champion: if in_charge { MEMBERS[self.portfolio.champion()].into() } else { MEMBERS[0].into() },
            plan,
            copies: self.copies.plan(seen, &self.capacity, self.load.next(), &self.settings),
            alarms: self.alarms.list(),
            shadow_verdict: self.verdict.words(seen.shadow_present, self.portfolio.value()),
            portfolio: self.portfolio.table(),
        }
    }
}

impl Brain {
    /// Processor use at capacity over what a replica requests.
    fn cpu_at_capacity(&self, replica_cores: Option<f64>) -> Option<f64> {
        let requested = replica_cores.filter(|cores| *cores > 0.0)?;
        let (per_request, capacity) = (self.cpu_per_request.0.get()?, self.usual_capacity.get()?.exp());
        Some(bounded(per_request * capacity / requested, 0.0, 1e3))
    }
}

/// Learns processor seconds per request.
fn learn_cost(mean: &mut Decayed, path: Option<&PathObservation>) {
    if let Some(path) = path
        && let Some(cores) = path.cpu_cores.filter(|_| path.arrival_rps > 1.0)
    {
        mean.add(cores / path.arrival_rps, LONG);
    }
}

//! What is to be expected when a replica asked for now takes traffic, and what each member of the portfolio would ask for.

use super::{Brain, SAFETY_S};
use crate::capacity::grid::LogEstimate;
use crate::capacity::{Capacity, MOST_EXCUSED};
use crate::features::DIM;
use crate::load::LogLoad;
use crate::math::bounded;
use crate::plan::{Outlook, need};
use crate::portfolio::{Asks, MACHINES, MEMBERS};
use crate::sample::{Sample, ScaleState};
use crate::series::Observation;
use crate::settings::Settings;
use crate::svm::Dated;
use crate::svm::models::Classifier;

/// The machines ask for as many replicas as bring the probability of a violation below this.
const ACCEPTABLE: f64 = 0.2;
/// The machines' ask is taken within these factors of the tracker's: beyond what they saw they only repeat their edge.
const WITHIN: (f64, f64) = (0.75, 1.5);

impl Brain {
    pub(super) fn outlook(&mut self, seen: &Observation, sample: &Sample) -> Outlook {
        let horizon_s = self.startup.seconds() + seen.seconds.min(60.0) + SAFETY_S;
        let slow = self.watch.cannot_help(seen, &self.capacity, 1.0 - self.settings.target_ratio);
        let cannot_help = slow.or_else(|| (self.capacity.incurable() > MOST_EXCUSED).then(|| whatever_the_load(&self.capacity)));
        let mut outlook = Outlook {
            at_s: seen.at_s,
            horizon_s,
            load: self.load_then(),
            capacity: self.capacity.forecast(horizon_s),
            capacity_now: self.capacity.now(),
            capacity_before: self.capacity.before(seen.at_s, 60.0),
            ready: sample.scale.ready,
            desired: sample.scale.desired,
            reactive: reactive(&sample.scale, &self.settings),
            stale: seen.production.is_none(),
            cannot_help,
            demoted: self.portfolio.demoted().cloned(),
            machines: None,
        };
        self.asked = Asks::default();
        if !outlook.stale {
            let asks = self.asks(&outlook, &sample.scale);
            self.asked = asks;
            self.portfolio.promise(seen.at_s + horizon_s, asks);
            let alone = self.capacity.forecast_alone(horizon_s);
            let quiet = self.machines.production.outcome(1.0 - self.settings.target_ratio).is_some_and(|o| !o.1);
            self.verdict.promise(seen.at_s, seen.at_s + horizon_s, quiet, outlook.capacity, alone);
            if self.portfolio.champion() == MACHINES {
                outlook.machines = asks[MACHINES];
            }
        }
        outlook
    }

    fn asks(&self, outlook: &Outlook, scale: &ScaleState) -> Asks {
        let Some(load) = outlook.load else { return [None; MEMBERS.len()] };
        let by = |capacity: Option<LogEstimate>| capacity.map(|c| need(load, c, &self.settings));
        let usual = self.usual_capacity.get().map(|mean| LogEstimate { mean, sd: 0.1 });
        let tracker = by(outlook.capacity);
        let alone = by(self.capacity.forecast_alone(outlook.horizon_s));
        let reactive = reactive(scale, &self.settings);
        [
            Some(f64::from(reactive.max(1))),
            by(usual),
            alone,
            tracker,
            tracker.and_then(|t| {
                self.machines_ask(load, t, |rate| self.machines.ahead(rate, outlook.horizon_s), self.machines.classifiers().0)
            }),
            alone.and_then(|t| {
                let state = self.machines.production_alone.last();
                self.machines_ask(load, t, |rate| Some(state?.ahead(rate, outlook.horizon_s)), self.machines.classifiers().1)
            }),
        ]
    }

    /// Replicas that bring the machines' probability of a violation to an acceptable one, found by bisection, together with what the tracker asks for: the
    /// geometric mean. Two forecasts that err for different reasons are better together than either (Bates and Granger 1969).
    fn machines_ask(
        &self,
        load: LogLoad,
        tracker: f64,
        ahead: impl Fn(f64) -> Option<[f64; DIM]>,
        machine: &Dated<Classifier>,
    ) -> Option<f64> {
        let machine = &machine.as_ref()?.1;
        let log_load = load.mean + self.settings.risk_z * load.sd;
        let p = |replicas: f64| Some(machine.predict(&ahead(log_load - replicas.ln())?));
        let (mut low, mut high) = ((WITHIN.0 * tracker).max(0.1), (WITHIN.1 * tracker).max(0.2));
        if p(low)? <= ACCEPTABLE {
            high = low;
        } else {
            for _ in 0..5 {
                let middle = 0.5 * (low + high);
                if p(middle)? <= ACCEPTABLE { high = middle } else { low = middle }
            }
        }
        Some((high * tracker).sqrt())
    }
}

/// What more replicas do not cure, in words.
pub(super) fn whatever_the_load(capacity: &Capacity) -> String {
    format!("{:.0} % of requests are bad however little load a replica has: more of them do not cure it", 100.0 * capacity.incurable())
}

/// What the reactive path asks for; where it does not say, what is asked for beyond the floor.
fn reactive(scale: &ScaleState, settings: &Settings) -> u32 {
    scale.reactive.unwrap_or(if scale.desired > scale.floor { scale.desired } else { settings.min_replicas })
}

/// Forecast load over what the ready replicas can take, medians.
pub(super) fn margin(outlook: &Outlook) -> Option<f64> {
    let (load, capacity) = (outlook.load?, outlook.capacity?);
    Some(bounded((load.mean - capacity.mean).exp() / f64::from(outlook.ready.max(1)), 0.0, 1e6))
}

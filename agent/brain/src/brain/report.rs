//! Forecasts and alarms of a decision, from what the brain knows.

use super::{Brain, outlook};
use crate::capacity::grid::LogEstimate;
use crate::decision::{Band, Forecast};
use crate::load::LogLoad;
use crate::math::{bounded, log_band, normal_cdf};
use crate::plan::Outlook;
use crate::series::Observation;

/// A fall of ln capacity over a start-up time that is worth an alarm.
const FALL: f64 = -0.09;
/// A load this much above what was expected half a start-up time ago is a step.
const STEP: f64 = 1.35;

impl Brain {
    pub(super) fn forecasts(&self, seen: &Observation) -> Vec<Forecast> {
        self.settings.horizons_s.iter().enumerate().map(|(i, h)| self.forecast(i, *h, seen)).collect()
    }

    fn forecast(&self, i: usize, horizon_s: f64, seen: &Observation) -> Forecast {
        let (load, capacity) = (self.load.log_forecast(i), self.capacity.forecast(horizon_s));
        let x = load.and_then(|l| self.machines.ahead(l.mean - seen.replicas.ln(), horizon_s)).filter(|_| seen.production.is_some());
        let band = |(a, b, c): (f64, f64, f64), unit: f64| {
            let at = |q: f64| bounded(unit * q.exp(), 0.0, 1e15);
            Band { p10: at(a.min(b)), p50: at(b), p90: at(c.max(b)) }
        };
        let now = |f: fn(&crate::series::PathObservation) -> Option<f64>| seen.production.as_ref().and_then(f);
        let tracker = load.zip(capacity).map(|(l, c)| p_over(l, c, seen.replicas));
        let machine = x.and_then(|x| self.machines.violation(&x));
        Forecast {
            horizon_s,
            load_rps: self.load.band(i),
            capacity_rps: capacity.map(|e| log_band(e.mean, e.sd)),
            latency_ms: x.and_then(|x| self.machines.latency(&x)).map(|q| band(q, self.settings.threshold_ms)),
            cpu_cores: x.and_then(|x| self.machines.cpu(&x)).zip(now(|p| p.cpu_cores)).map(|(q, cores)| band(q, cores)),
            memory_bytes: x.and_then(|x| self.machines.memory(&x)).zip(now(|p| p.memory_bytes)).map(|(q, bytes)| band(q, bytes)),
            p_violation: match (tracker, machine) {
                // Two opinions made from different evidence: their mean is rarely worse than the better one.
                (Some(t), Some(m)) => Some(0.5 * (t + m)),
                (t, m) => t.or(m),
            },
        }
    }

    pub(super) fn raise_alarms(&mut self, seen: &Observation, now_ms: u64, outlook: &Outlook) {
        let violation = self.forecast_violation(outlook);
        self.alarms.state("forecast_violation", now_ms, violation);
        let trend = self.capacity.trend();
        let falling = self.capacity.now().filter(|_| trend * self.settings.replica_start_s < FALL).map(|e| {
            let now = log_band(e.mean, e.sd);
            format!("a replica takes {:.0} rps (p10 {:.0}), falling by {:.1} % a second", now.p50, now.p10, -100.0 * trend)
        });
        self.alarms.state("capacity_falling", now_ms, falling);
        let stale = self.stale(seen);
        self.alarms.state("stale_data", now_ms, stale);
        let useless = self.verdict.useless(self.portfolio.value()).then(|| self.verdict.words(true, self.portfolio.value()));
        self.alarms.state("shadow_useless", now_ms, useless.filter(|_| seen.shadow_present));
        let cannot = outlook.cannot_help.clone().or_else(|| self.load_jump(seen, outlook));
        self.alarms.state("cannot_help", now_ms, cannot);
        let share = self.capacity.incurable();
        self.alarms.state("bad_whatever_load", now_ms, (share > 0.0).then(|| outlook::whatever_the_load(&self.capacity)));
        self.alarms.state("demoted", now_ms, outlook.demoted.clone());
    }

    fn forecast_violation(&self, outlook: &Outlook) -> Option<String> {
        let p = p_over(outlook.load?, outlook.capacity?, f64::from(outlook.ready.max(1)));
        (p > 0.5).then(|| {
            format!(
                "{:.0} % likely within {:.0} s that {} replicas do not hold {} ms for {} % of requests",
                100.0 * p,
                outlook.horizon_s,
                outlook.ready,
                self.settings.threshold_ms,
                100.0 * self.settings.target_ratio
            )
        })
    }

    fn stale(&self, seen: &Observation) -> Option<String> {
        let age = self.production_seen_s.map_or(f64::INFINITY, |s| seen.at_s - s);
        (age > self.settings.stale_after_s).then(|| {
            if age.is_finite() {
                format!("no numbers from production for {age:.0} s: the floor stays and is not lowered")
            } else {
                "no numbers from production yet".into()
            }
        })
    }

    /// A jump of load beyond what stands, faster than replicas start.
    fn load_jump(&self, seen: &Observation, outlook: &Outlook) -> Option<String> {
        let rate = seen.production.as_ref()?.arrival_rps;
        let before = self.arrivals.at_or_before(seen.at_s - 0.5 * outlook.horizon_s)?;
        let stands = f64::from(outlook.ready.max(1)) * self.capacity.now()?.median();
        (rate > STEP * before && rate > stands && before < stands).then(|| {
            format!(
                "load jumped from {before:.0} to {rate:.0} rps, more than {} replicas take ({stands:.0} rps), faster than a replica starts ({:.0} s)",
                outlook.ready,
                self.startup.seconds()
            )
        })
    }
}

/// Probability that load exceeds what the replicas can take.
fn p_over(load: LogLoad, capacity: LogEstimate, replicas: f64) -> f64 {
    let sd = (load.sd * load.sd + capacity.sd * capacity.sd).sqrt().max(1e-6);
    normal_cdf(bounded((load.mean - capacity.mean - replicas.ln()) / sd, -5.0, 5.0))
}

//! What the shadow adds for this workload, from held-out evidence: what plans made with and without its data would have cost
//! ([`crate::portfolio::Value`]), and forecasts of production's own violations with and without it.
//!
//! Both sides are given what really came (load per replica at the time judged), so that replicas added meanwhile do not count against a
//! forecast: demand and capacity are predicted, not the outcome of acting. Judged by Brier score on seconds that lie after training, with
//! an embargo; only forecasts made while production was within its objective count (that a violation goes on is no news); seconds repeat
//! each other, so ten count as one. Without enough violations of production it says so. Called by [`crate::Brain`].

use crate::capacity::grid::LogEstimate;
use crate::math::{Decayed, bounded, sigmoid};
use crate::portfolio::Value;
use crate::portfolio::value::{Losses, Worth};
use crate::svm::{Machines, examples::OUTCOME_S};
use std::collections::VecDeque;

const MOST_WAITING: usize = 1_024;
/// Memory per judged second.
const KEEP: f64 = 0.9995;
/// Seconds that count as one independent observation.
const BLOCK: f64 = 10.0;
/// Seconds of trouble needed for a verdict.
const ENOUGH_TROUBLE: u64 = 20;

#[derive(Debug, Clone, Copy)]
struct Promise {
    made_s: f64,
    due_s: f64,
    quiet: bool,
    with: Option<LogEstimate>,
    without: Option<LogEstimate>,
}

/// What plans cost, once there was trouble enough to tell.
fn losses(value: &Value) -> Option<Losses> {
    value.losses().filter(|_| value.trouble >= ENOUGH_TROUBLE)
}

/// Turns a standardised distance to capacity into a probability, learned as outcomes come: recursive logistic regression with forgetting. A
/// tracker is judged by what it knows, not by how sure of itself it is.
#[derive(Debug, Clone)]
struct Calibrator {
    slope: f64,
    offset: f64,
    hessian: [f64; 3],
}

impl Default for Calibrator {
    fn default() -> Self {
        Self { slope: 1.5, offset: -1.0, hessian: [3.0, 0.0, 3.0] }
    }
}

impl Calibrator {
    fn probability(&self, z: f64) -> f64 {
        sigmoid(self.slope * z + self.offset).clamp(0.003, 0.997)
    }

    fn learn(&mut self, z: f64, y: f64) {
        let p = self.probability(z);
        let (g, w) = ((p - y) / BLOCK, p * (1.0 - p) / BLOCK);
        let [a, b, c] = self.hessian.map(|h| h * KEEP);
        self.hessian = [a + w * z * z + 1e-3, b + w * z, c + w + 1e-3];
        let [a, b, c] = self.hessian;
        let determinant = (a * c - b * b).max(1e-9);
        self.slope = bounded(self.slope - (c * z - b) * g / determinant, 0.0, 10.0);
        self.offset = bounded(self.offset - (a - b * z) * g / determinant, -8.0, 8.0);
    }
}

/// Keeps the evidence.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    waiting: VecDeque<Promise>,
    calibrators: (Calibrator, Calibrator),
    tracker: (Decayed, Decayed),
    machine: (Decayed, Decayed),
    base: Decayed,
    base_loss: Decayed,
    judged: u64,
    violated: u64,
    known: (Decayed, Decayed),
}

impl Verdict {
    /// Notes capacity forecasts made now for `due_s`, with and without the shadow; `quiet`: production is within its objective.
    pub fn promise(&mut self, made_s: f64, due_s: f64, quiet: bool, with: Option<LogEstimate>, without: Option<LogEstimate>) {
        let share = |x: Option<LogEstimate>| f64::from(u8::from(x.is_some()));
        self.known.0.add(share(with), KEEP);
        self.known.1.add(share(without), KEEP);
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(Promise { made_s, due_s, quiet, with, without });
        }
    }

    /// Judges forecasts whose time has come by what production did in the last seconds.
    /// `beyond` is ln(load / capacity) at which a violation begins: production may be a little above its capacity without one.
    pub fn judge(&mut self, now_s: f64, tolerated: f64, beyond: f64, machines: &Machines) {
        while self.waiting.front().is_some_and(|p| p.due_s <= now_s) {
            let Some(promise) = self.waiting.pop_front() else { break };
            if now_s - promise.due_s > 1.5 || !promise.quiet {
                continue;
            }
            if let Some((log_rate, violated)) = machines.production.outcome(tolerated) {
                self.score(&promise, log_rate, beyond, violated, machines);
            }
        }
    }

    fn score(&mut self, promise: &Promise, log_rate: f64, beyond: f64, violated: bool, machines: &Machines) {
        let y = f64::from(u8::from(violated));
        let brier = |p: f64| (p - y).powi(2);
        let base = bounded(self.base.get().unwrap_or(0.05), 0.005, 0.995);
        let with = tracker(&mut self.calibrators.0, promise.with, log_rate - beyond, y).map_or(brier(base), brier);
        let without = tracker(&mut self.calibrators.1, promise.without, log_rate - beyond, y).map_or(brier(base), brier);
        let horizon_s = promise.due_s - promise.made_s;
        let machine = |dated: &crate::svm::Dated<crate::svm::models::Classifier>, history: &crate::svm::examples::History| {
            let (trained_s, model) = dated.as_ref()?;
            let state = history.at(promise.made_s).filter(|_| *trained_s + OUTCOME_S <= promise.made_s)?;
            Some(brier(model.predict(&state.ahead(log_rate, horizon_s))))
        };
        let (both, alone) = machines.classifiers();
        let (m_with, m_without) = (machine(both, &machines.production), machine(alone, &machines.production_alone));
        self.tracker.0.add(with, KEEP);
        self.tracker.1.add(without, KEEP);
        self.base_loss.add(brier(base), KEEP);
        if let Some(loss) = m_with {
            // The side without a shadow answers its base rate until it could be trained.
            self.machine.0.add(loss, KEEP);
            self.machine.1.add(m_without.unwrap_or(brier(base)), KEEP);
        }
        self.base.add(y, KEEP);
        self.judged += 1;
        self.violated += u64::from(violated);
    }

    /// Whether the evidence says that the shadow does not pay for itself.
    pub fn useless(&self, value: &Value) -> bool {
        losses(value).is_some_and(|l| matches!(l.worth(), Worth::Nothing | Worth::CostsMore))
    }

    /// Best mean Brier score with and without the shadow's data.
    fn losses(&self) -> Option<(f64, f64)> {
        let machine = self.machine.0.get().filter(|_| self.machine.0.weight() > 0.5 * self.tracker.0.weight());
        let with = self.tracker.0.get()?.min(machine.unwrap_or(1.0));
        let machine = self.machine.1.get().filter(|_| self.machine.1.weight() > 0.5 * self.tracker.0.weight());
        let without = self.tracker.1.get()?.min(self.base_loss.get()?).min(machine.unwrap_or(1.0));
        Some((with, without))
    }

    /// The verdict in words and numbers.
    pub fn words(&self, shadow_present: bool, value: &Value) -> String {
        if !shadow_present && value.judged == 0 {
            return "there is no shadow".into();
        }
        let percent = |d: &Decayed| 100.0 * d.get().unwrap_or(0.0);
        let mut details = format!(
            "what a replica takes was known {:.0} % of the time with it, {:.0} % without",
            percent(&self.known.0),
            percent(&self.known.1)
        );
        if let Some((with, without)) = self.losses().filter(|_| self.violated > 0) {
            let (judged, violated) = (self.judged, self.violated);
            details += &format!(
                "; error of forecasts of violations to come (Brier, held out, {violated} of {judged} s) {with:.3} with it, {without:.3} without"
            );
        }
        let Some(losses) = losses(value) else {
            return format!(
                "not enough evidence yet: in {} of {} judged seconds the reactive scaler alone would have run too few replicas ({ENOUGH_TROUBLE} needed); {details}",
                value.trouble, value.judged
            );
        };
        let verdict = match losses.worth() {
            Worth::Pays => "the shadow pays",
            Worth::CostsMore => "the shadow adds something, but less than it costs",
            Worth::Nothing => "the shadow adds nothing here",
            Worth::Unclear => "not clear yet whether the shadow pays",
        };
        format!(
            "{verdict}: plans made with it would have cost {:.0} bad requests an hour (or as much in idle replicas), without it {:.0} (the difference +-{:.0}), itself it costs {:.0}, over {} s, {} of them in trouble; {details}",
            losses.with,
            losses.without,
            2.0 * losses.error,
            losses.shadow,
            value.judged,
            value.trouble
        )
    }

    /// Forgets the evidence: another shadow or another release.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Probability that a load is above a capacity, stated before `y` is learned from.
fn tracker(calibrator: &mut Calibrator, capacity: Option<LogEstimate>, log_rate: f64, y: f64) -> Option<f64> {
    let capacity = capacity?;
    let z = bounded((log_rate - capacity.mean) / capacity.sd.max(0.05), -4.0, 4.0);
    let p = calibrator.probability(z);
    calibrator.learn(z, y);
    Some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brier scores with and without, for capacities believed on either side when production fails above e^4.5.
    fn losses(with: f64, without: f64) -> (f64, f64) {
        let (mut verdict, machines) = (Verdict::default(), Machines::new(&[5.0], 0.01, 20.0));
        for t in 0..1_200u32 {
            let rate = if t % 100 < 20 { 4.8f64 } else { 4.2 };
            let noise = 0.3 * (f64::from(t.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24) - 0.5);
            let promise = |spread: f64| Some(LogEstimate { mean: 4.5 + spread * noise, sd: 0.1 });
            let (made_s, due_s) = (f64::from(t), f64::from(t) + 5.0);
            let promise = Promise { made_s, due_s, quiet: true, with: promise(with), without: promise(without) };
            verdict.score(&promise, rate, 0.0, rate > 4.5, &machines);
        }
        verdict.losses().expect("judged")
    }

    #[test]
    fn a_better_capacity_forecasts_better_an_equal_one_equally() {
        let (sharp, blurred) = losses(0.0, 6.0);
        assert!(sharp < 0.6 * blurred, "{sharp} {blurred}");
        let (a, b) = losses(1.0, 1.0);
        assert_eq!(a, b);
    }

    #[test]
    fn before_evidence_it_says_so() {
        let words = Verdict::default().words(true, &Value::default());
        assert!(words.starts_with("not enough evidence yet"), "{words}");
    }
}

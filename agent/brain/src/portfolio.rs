//! Which forecaster is in charge: ranked by what its plans would have cost on time that had not come when it made them.
//!
//! Every interval each member says how many replicas it would ask for. When that time has come, load and capacity are known (capacity a few
//! seconds in hindsight), and each ask has its operational loss: requests that would have been bad with too few replicas, plus
//! replica-seconds above need, priced at the bad requests a full replica is allowed. The champion changes only for a clearly better
//! challenger, and is demoted to the reactive path when its plans cost more than they are worth. Called by [`crate::Brain`].

pub mod value;

use crate::decision::MemberScore;
use crate::math::{Decayed, logit, sigmoid};
use std::collections::VecDeque;
use value::Cost;
pub use value::Value;

/// The members, in the order of their asks.
pub const MEMBERS: [&str; 6] =
    ["reactive", "load trend", "production alone", "capacity tracker", "support vectors", "support vectors alone"];
/// Index of the reactive path.
pub const REACTIVE: usize = 0;
/// Index of the tracker that sees production only.
const ALONE: usize = 2;
/// Index of the capacity tracker, in charge until another is better.
pub const TRACKER: usize = 3;
/// Index of the support vector machines.
pub const MACHINES: usize = 4;
/// Index of the machines that see production only: a yardstick, never in charge.
pub const MACHINES_ALONE: usize = 5;
/// Capacity is taken this long in hindsight, in seconds.
pub const HINDSIGHT_S: f64 = 4.0;
/// Judged asks before a member may take charge or be demoted.
const ENOUGH: u64 = 240;
/// A challenger must lose this much less.
const MARGIN: f64 = 0.85;
/// Mean replicas wasted, net of what was saved against the reactive path, beyond which the champion is demoted.
const WASTE: f64 = 0.5;
/// Memory per judged interval.
const KEEP: f64 = 0.998;
const MOST_WAITING: usize = 1_024;

/// Replicas each member asks for, by index in [`MEMBERS`]; None: it has nothing to say.
pub type Asks = [Option<f64>; MEMBERS.len()];

/// What came.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// Load, requests per second.
    pub load_rps: f64,
    /// Capacity of a replica, requests per second.
    pub capacity_rps: f64,
    /// What the shadow costs, in replicas; 0 without one.
    pub shadow: f64,
}

#[derive(Debug, Clone, Default)]
struct Score {
    loss: Decayed,
    examples: u64,
}

/// The portfolio.
#[derive(Debug, Clone)]
pub struct Portfolio {
    waiting: VecDeque<(f64, Asks)>,
    scores: [Score; MEMBERS.len()],
    champion: usize,
    demoted: Option<String>,
    tolerated: f64,
    value: Value,
}

impl Portfolio {
    /// A portfolio for an objective that tolerates this share of bad requests.
    pub fn new(tolerated: f64) -> Self {
        Self { waiting: VecDeque::new(), scores: Default::default(), champion: TRACKER, demoted: None, tolerated, value: Value::default() }
    }

    /// Notes the asks made now for `due_s`.
    pub fn promise(&mut self, due_s: f64, asks: Asks) {
        if self.waiting.len() < MOST_WAITING && asks[TRACKER].is_some() {
            self.waiting.push_back((due_s, asks));
        }
    }

    /// Judges the asks whose time, with hindsight, has come. `truth` answers for a time, when it is known.
    pub fn judge(&mut self, now_s: f64, truth: impl Fn(f64) -> Option<Truth>) {
        while self.waiting.front().is_some_and(|w| w.0 + HINDSIGHT_S <= now_s) {
            let Some((due, asks)) = self.waiting.pop_front() else { break };
            if let Some(truth) = truth(due).filter(|t| t.load_rps > 0.0 && t.capacity_rps > 0.0) {
                self.score(&asks, truth);
            }
        }
        self.elect();
    }

    fn score(&mut self, asks: &Asks, truth: Truth) {
        let reactive = asks[REACTIVE].unwrap_or(1.0).max(1.0);
        for (m, (ask, score)) in asks.iter().zip(&mut self.scores).enumerate() {
            let ask = if m == ALONE { Some(ask.unwrap_or(reactive)) } else { *ask };
            let Some(ask) = ask else { continue };
            // A floor only raises: with fewer asked for, the reactive path's replicas stand.
            let loss = loss(ask.ceil().max(reactive), reactive, truth, self.tolerated);
            score.loss.add(loss, KEEP);
            score.examples += 1;
        }
        let cost = |ask: Option<f64>| loss(ask.map_or(reactive, |a| a.ceil().max(reactive)), reactive, truth, self.tolerated);
        // Without knowledge there is no floor: the reactive path stands alone.
        let trouble = truth.load_rps > 1.05 * reactive * truth.capacity_rps;
        let shadow = truth.shadow * truth.capacity_rps * self.tolerated;
        self.value.add(Cost { with: cost(asks[TRACKER]), without: cost(asks[ALONE]), shadow }, trouble);
    }

    /// What the shadow's data were worth.
    pub fn value(&self) -> &Value {
        &self.value
    }

    fn elect(&mut self) {
        let loss = |m: usize| self.scores[m].loss.get().filter(|_| self.scores[m].examples >= ENOUGH);
        let Some(present) = loss(self.champion) else { return };
        // What needs no shadow is a yardstick here: without a shadow the tracker is the same thing.
        let best = [TRACKER, MACHINES].into_iter().filter_map(|m| loss(m).map(|l| (m, l))).min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((m, l)) = best
            && l < MARGIN * present
        {
            self.champion = m;
        }
    }

    /// Reviews the champion against the reactive path; `capacity_rps` prices a wasted replica.
    pub fn review(&mut self, capacity_rps: f64) {
        let loss = |m: usize| self.scores[m].loss.get().filter(|_| self.scores[m].examples >= ENOUGH);
        let (Some(champion), Some(reactive)) = (loss(self.champion), loss(REACTIVE)) else { return };
        let replica = (self.tolerated * capacity_rps).max(1e-9);
        let wasted = (champion - reactive) / replica;
        // Once demoted, it must become good before it is trusted again, not merely less bad.
        let bound = if self.demoted.is_some() { 0.2 * WASTE } else { WASTE };
        self.demoted = (wasted > bound)
            .then(|| format!("plans of the {} would have wasted {wasted:.1} replicas, net of what they saved", MEMBERS[self.champion]));
    }

    /// Index of the member in charge.
    pub fn champion(&self) -> usize {
        self.champion
    }

    /// Why the forecasts are not acted upon, if they are not.
    pub fn demoted(&self) -> Option<&String> {
        self.demoted.as_ref()
    }

    /// The table: loss in bad requests per hour, or worth as much.
    pub fn table(&self) -> Vec<MemberScore> {
        let row = |(name, score): (&&str, &Score)| MemberScore {
            name: (*name).into(),
            loss: score.loss.get().filter(|_| score.examples >= ENOUGH / 4).map(|l| 3_600.0 * l),
            examples: score.examples,
        };
        MEMBERS.iter().zip(&self.scores).map(row).collect()
    }

    /// Forgets what was judged: a new release.
    pub fn reset(&mut self) {
        *self = Self::new(self.tolerated);
    }
}

/// Bad requests a second beyond the tolerated, or worth as much, of running `replicas` when `truth` came. The bad fraction follows the failure curve
/// of a pool of a few workers (3 % bad at 8 % above capacity, half at a third above).
fn loss(replicas: f64, reactive: f64, truth: Truth, tolerated: f64) -> f64 {
    const STEEPNESS: f64 = 14.0;
    let need = truth.load_rps / truth.capacity_rps;
    let bad = sigmoid(STEEPNESS * (need / replicas).ln() + logit(tolerated));
    let over = (replicas - need.ceil().max(reactive)).max(0.0) * truth.capacity_rps * tolerated;
    truth.load_rps * (bad - tolerated).max(0.0) + over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tracker: f64, machines: f64, need: f64) -> Portfolio {
        let mut portfolio = Portfolio::new(0.01);
        for t in 0..400 {
            let t = f64::from(t);
            portfolio.promise(t + 5.0, [Some(4.0), Some(4.0), None, Some(tracker), Some(machines), None]);
            portfolio.judge(t, |_| Some(Truth { load_rps: need * 100.0, capacity_rps: 100.0, shadow: 1.0 }));
            portfolio.review(100.0);
        }
        portfolio
    }

    #[test]
    fn the_better_challenger_takes_charge() {
        assert_eq!(run(5.0, 5.0, 5.0).champion(), TRACKER);
        assert_eq!(run(4.0, 6.0, 5.9).champion(), MACHINES);
    }

    #[test]
    fn wasteful_plans_are_demoted_useful_ones_are_not() {
        assert!(run(6.0, 6.0, 3.0).demoted().is_some());
        assert!(run(6.0, 6.0, 5.5).demoted().is_none());
        assert!(run(3.0, 3.0, 3.0).demoted().is_none());
    }

    #[test]
    fn too_few_replicas_cost_more_than_too_many() {
        let truth = Truth { load_rps: 500.0, capacity_rps: 100.0, shadow: 1.0 };
        assert!(loss(4.0, 4.0, truth, 0.01) > 10.0 * loss(6.0, 4.0, truth, 0.01));
        assert!(loss(5.0, 4.0, truth, 0.01) < 1e-9);
    }
}

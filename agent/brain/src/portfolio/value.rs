//! What the shadow's data were worth, and what it cost: plans made with them against plans from production alone, judged in pairs.
//!
//! Losses of neighbouring seconds repeat each other, and trouble lasts for minutes: the uncertainty of a mean comes from means over batches that are
//! longer than that (the method of batch means, Law and Carson 1979). A day is remembered; a few hours are too little to tell small differences.

use crate::math::Decayed;

/// Judged seconds of a batch.
const BATCH: u32 = 300;
/// Memory per batch: a day of them.
const KEEP: f64 = 1.0 - BATCH as f64 / 86_400.0;
/// Batches before anything is said of uncertainty.
const ENOUGH: f64 = 6.0;

/// Bad requests a second, or worth as much: what plans with and without the shadow's data cost, and the shadow itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Of plans made with its data.
    pub with: f64,
    /// Of plans made without.
    pub without: f64,
    /// Of running it.
    pub shadow: f64,
}

/// The same per hour over all that is remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Of plans made with its data.
    pub with: f64,
    /// Of plans made without.
    pub without: f64,
    /// Of running it.
    pub shadow: f64,
    /// Standard error of the difference of the first two.
    pub error: f64,
}

/// What the evidence says so far, at about 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Its data save more than it costs.
    Pays,
    /// They save something, but less than it costs.
    CostsMore,
    /// They save less than it costs, if anything.
    Nothing,
    /// Not clear.
    Unclear,
}

/// Keeps the evidence.
#[derive(Debug, Clone, Default)]
pub struct Value {
    open: (Cost, u32),
    with: Decayed,
    without: Decayed,
    shadow: Decayed,
    gain_squared: Decayed,
    /// Seconds judged.
    pub judged: u64,
    /// Seconds among them in which the reactive path alone ran too few replicas.
    pub trouble: u64,
}

impl Value {
    /// Takes a judged second.
    pub fn add(&mut self, cost: Cost, trouble: bool) {
        self.judged += 1;
        self.trouble += u64::from(trouble);
        let (sum, seconds) = &mut self.open;
        sum.with += cost.with;
        sum.without += cost.without;
        sum.shadow += cost.shadow;
        *seconds += 1;
        if *seconds == BATCH {
            let (sum, _) = std::mem::take(&mut self.open);
            let mean = |sum: f64| sum / f64::from(BATCH);
            self.with.add(mean(sum.with), KEEP);
            self.without.add(mean(sum.without), KEEP);
            self.shadow.add(mean(sum.shadow), KEEP);
            self.gain_squared.add(mean(sum.without - sum.with).powi(2), KEEP);
        }
    }

    /// Losses per hour; None before there are enough batches.
    pub fn losses(&self) -> Option<Losses> {
        let n = Some(self.with.weight()).filter(|n| *n >= ENOUGH)?;
        let (with, without, shadow) = (self.with.get()?, self.without.get()?, self.shadow.get()?);
        let variance = (self.gain_squared.get()? - (without - with).powi(2)).max(0.0);
        let hour = |x: f64| 3_600.0 * x;
        Some(Losses { with: hour(with), without: hour(without), shadow: hour(shadow), error: hour((variance / (n - 1.0)).sqrt()) })
    }
}

impl Losses {
    /// What they say.
    pub fn worth(&self) -> Worth {
        let gain = self.without - self.with;
        let (least, most) = (gain - 2.0 * self.error, gain + 2.0 * self.error);
        if least > self.shadow {
            Worth::Pays
        } else if most >= self.shadow {
            Worth::Unclear
        } else if least > 0.0 {
            Worth::CostsMore
        } else {
            Worth::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trouble of two minutes in every twenty, of which plans with the shadow save all but `with`, beside a shadow that costs so much.
    fn value(hours: u32, with: f64, shadow: f64) -> Value {
        let mut value = Value::default();
        for t in 0..3_600 * hours {
            let trouble = t % 1_200 < 120;
            let cost = if trouble { Cost { with, without: 3.0, shadow } } else { Cost { shadow, ..Cost::default() } };
            value.add(cost, trouble);
        }
        value
    }

    #[test]
    fn what_saves_more_than_it_costs_pays() {
        let worth = |hours, with, shadow| value(hours, with, shadow).losses().map(|l| l.worth());
        assert_eq!(worth(12, 0.5, 0.05), Some(Worth::Pays));
        assert_eq!(worth(12, 2.5, 0.5), Some(Worth::CostsMore));
        assert_eq!(worth(12, 3.0, 0.05), Some(Worth::Nothing));
        assert_eq!(worth(12, 2.5, 0.05), Some(Worth::Unclear), "it saves just what it costs");
    }

    #[test]
    fn batches_longer_than_trouble_do_not_take_one_episode_for_many() {
        assert_eq!(value(0, 0.5, 0.05).losses(), None);
        let (one, twelve) = (value(1, 0.5, 0.05).losses().unwrap(), value(12, 0.5, 0.05).losses().unwrap());
        assert_eq!(one.worth(), Worth::Unclear, "three episodes: {one:?}");
        assert!(twelve.error < 0.4 * one.error && (twelve.with - 180.0).abs() < 1.0, "{twelve:?}");
    }
}

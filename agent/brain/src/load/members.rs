//! The members: persistence, damped local linear trends, the mean of some minutes, and the same time a day ago scaled to today's level.

use crate::math::Decayed;
use std::collections::VecDeque;

/// How every member is made, the fallback first.
pub const MEMBERS: [fn() -> Member; 5] = [
    || Member::Level(Level { name: "persistence", keep: 0.8, mean: Decayed::default() }),
    || Member::Trend(Holt::new("load trend", 0.25, 0.06, 40.0)),
    || Member::Trend(Holt::new("slow trend", 0.12, 0.015, 200.0)),
    || Member::Level(Level { name: "mean of ten minutes", keep: 1.0 - 1.0 / MINUTES_S, mean: Decayed::default() }),
    || Member::Seasonal(Box::default()),
];

/// Memory of the longer mean, in seconds.
const MINUTES_S: f64 = 600.0;
/// How many times better the longer mean must be to speak: of a surge that begins it knows nothing, and the hours before say nothing of that.
const HANDICAP: f64 = 1.25;

/// One way to forecast.
#[derive(Debug, Clone)]
pub enum Member {
    /// What was, will be.
    Level(Level),
    /// Level and damped slope.
    Trend(Holt),
    /// The day before, scaled.
    Seasonal(Box<Seasonal>),
}

impl Member {
    /// Name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Level(level) => level.name,
            Self::Trend(holt) => holt.name,
            Self::Seasonal(_) => "same time yesterday",
        }
    }

    /// What its loss is multiplied by when members are compared.
    pub fn handicap(&self) -> f64 {
        if matches!(self, Self::Level(level) if level.keep > 0.9) { HANDICAP } else { 1.0 }
    }

    /// Takes arrivals per second; `gap`: there was a long silence before.
    pub fn observe(&mut self, at_s: f64, rps: f64, gap: bool) {
        match self {
            Self::Level(level) => level.observe(rps, gap),
            Self::Trend(holt) => holt.observe(at_s, rps, gap),
            Self::Seasonal(seasonal) => seasonal.observe(at_s, rps),
        }
    }

    /// Arrivals per second that far ahead; None while there is not enough history.
    pub fn forecast(&self, horizon_s: f64) -> Option<f64> {
        match self {
            Self::Level(level) => level.mean.get(),
            Self::Trend(holt) => holt.forecast(horizon_s),
            Self::Seasonal(seasonal) => seasonal.forecast(horizon_s),
        }
    }
}

/// An exponentially weighted mean.
#[derive(Debug, Clone)]
pub struct Level {
    name: &'static str,
    keep: f64,
    mean: Decayed,
}

impl Level {
    fn observe(&mut self, rps: f64, gap: bool) {
        if gap {
            self.mean = Decayed::default();
        }
        self.mean.add(rps, self.keep);
    }
}

/// Holt's linear method with a damped trend (Gardner and McKenzie 1985), for uneven intervals.
#[derive(Debug, Clone)]
pub struct Holt {
    name: &'static str,
    level_gain: f64,
    trend_gain: f64,
    damping_s: f64,
    state: Option<(f64, f64, f64)>,
}

impl Holt {
    fn new(name: &'static str, level_gain: f64, trend_gain: f64, damping_s: f64) -> Self {
        Self { name, level_gain, trend_gain, damping_s, state: None }
    }

    fn observe(&mut self, at_s: f64, rps: f64, gap: bool) {
        let Some((last_s, level, trend)) = self.state.filter(|_| !gap) else {
            self.state = Some((at_s, rps, 0.0));
            return;
        };
        let dt = (at_s - last_s).max(1e-3);
        let gain = 1.0 - (1.0 - self.level_gain).powf(dt);
        let expected = level + trend * dt;
        let now = expected + gain * (rps - expected);
        let gain = 1.0 - (1.0 - self.trend_gain).powf(dt);
        self.state = Some((at_s, now, trend + gain * ((now - level) / dt - trend)));
    }

    fn forecast(&self, horizon_s: f64) -> Option<f64> {
        let (_, level, trend) = self.state?;
        // Smoothing undershoots when load falls to nothing.
        let level = level.max(0.0);
        let reach = self.damping_s * (1.0 - (-horizon_s / self.damping_s).exp());
        // A trend is never believed to more than triple the load or take it below a quarter.
        Some((level + trend * reach).clamp(0.25 * level, 3.0 * level))
    }
}

/// Seconds in a day: the season of people.
const SEASON_S: f64 = 86_400.0;
/// Width of a stored mean.
const SLOT_S: f64 = 60.0;
const MOST_SLOTS: usize = 1_700;

/// Minute means of a little more than a day.
#[derive(Debug, Clone, Default)]
pub struct Seasonal {
    slots: VecDeque<(i64, f64)>,
    open: Option<(i64, f64, f64)>,
    now_s: f64,
}

impl Seasonal {
    fn observe(&mut self, at_s: f64, rps: f64) {
        self.now_s = at_s;
        let slot = (at_s / SLOT_S).floor() as i64;
        match &mut self.open {
            Some((open, sum, n)) if *open == slot => {
                *sum += rps;
                *n += 1.0;
            }
            open => {
                if let Some((at, sum, n)) = open.replace((slot, rps, 1.0)) {
                    self.slots.push_back((at, sum / n));
                    if self.slots.len() > MOST_SLOTS {
                        self.slots.pop_front();
                    }
                }
            }
        }
    }

    fn forecast(&self, horizon_s: f64) -> Option<f64> {
        let then = self.at(self.now_s + horizon_s - SEASON_S)?;
        let (mut now, mut before) = (0.0, 0.0);
        for back in 1..=10 {
            let at = self.now_s - SLOT_S * f64::from(back);
            if let (Some(n), Some(b)) = (self.at(at), self.at(at - SEASON_S)) {
                now += n;
                before += b;
            }
        }
        (before > 0.0).then(|| then * (now / before).clamp(0.2, 5.0))
    }

    /// Mean load around a time, interpolated between minutes.
    fn at(&self, at_s: f64) -> Option<f64> {
        let middle = at_s / SLOT_S - 0.5;
        let slot = middle.floor() as i64;
        let i = self.slots.partition_point(|s| s.0 < slot);
        let (here, next) = (self.slots.get(i)?, self.slots.get(i + 1));
        if here.0 != slot {
            return None;
        }
        let next = next.filter(|n| n.0 == slot + 1).map_or(here.1, |n| n.1);
        Some(here.1 + (next - here.1) * (middle - middle.floor()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yesterday_speaks_after_a_day() {
        let mut seasonal = Seasonal::default();
        let load = |t: f64| 100.0 + 50.0 * (t / SEASON_S * std::f64::consts::TAU).sin();
        for i in 0..(2 * 1_440) {
            let t = f64::from(i) * 60.0 + 30.0;
            if i == 1_000 {
                assert_eq!(seasonal.forecast(3_600.0), None);
            }
            seasonal.observe(t, load(t));
        }
        let ahead = seasonal.forecast(3_600.0).expect("a day is known");
        assert!((ahead / load(seasonal.now_s + 3_600.0) - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_trend_is_damped_and_bounded() {
        let mut holt = Holt::new("x", 0.25, 0.06, 40.0);
        (0..60).for_each(|t| holt.observe(f64::from(t), 10.0 + 5.0 * f64::from(t), false));
        let (near, far) = (holt.forecast(5.0).expect("seen"), holt.forecast(1e6).expect("seen"));
        assert!(near > 305.0 && far < 3.0 * 320.0);
    }
}

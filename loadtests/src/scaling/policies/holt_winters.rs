//! Holt and Winters' exponential smoothing: level, damped trend, and a season once two of it have been seen.
//!
//! Called by [`crate::scaling::policies::Phpa`]. Additive form; Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed.,
//! chapter 8. Pure.

/// Smoothing of level, trend, season, and the damping of the trend.
const ALPHA: f64 = 0.4;
const BETA: f64 = 0.1;
const GAMMA: f64 = 0.2;
const PHI: f64 = 0.95;

/// The smoother.
#[derive(Debug, Clone)]
pub struct HoltWinters {
    level: Option<f64>,
    trend: f64,
    season: Vec<f64>,
    seen: usize,
    first: Vec<f64>,
}

impl HoltWinters {
    /// A season of so many observations.
    pub fn new(season: usize) -> Self {
        Self { level: None, trend: 0.0, season: vec![0.0; season.max(1)], seen: 0, first: Vec::new() }
    }

    fn seasonal(&self) -> bool {
        self.seen >= self.season.len()
    }

    fn place(&self, ahead: usize) -> usize {
        (self.seen + ahead) % self.season.len()
    }

    /// The next observation.
    pub fn add(&mut self, value: f64) {
        let at = self.place(0);
        let season = if self.seasonal() { self.season[at] } else { 0.0 };
        let before = self.level.unwrap_or(value);
        let expected = before + PHI * self.trend;
        let level = ALPHA * (value - season) + (1.0 - ALPHA) * expected;
        self.trend = BETA * (level - before) + (1.0 - BETA) * PHI * self.trend;
        self.level = Some(level);
        if self.seasonal() {
            self.season[at] = GAMMA * (value - level) + (1.0 - GAMMA) * season;
        } else {
            self.first.push(value);
        }
        self.seen += 1;
        if self.seen == self.season.len() {
            let mean = self.first.iter().sum::<f64>() / self.first.len() as f64;
            self.season = std::mem::take(&mut self.first).iter().map(|v| v - mean).collect();
            self.level = Some(mean);
            self.trend = 0.0;
        }
    }

    /// Expected `steps` observations ahead.
    pub fn ahead(&self, steps: usize) -> Option<f64> {
        let damped = (1..=steps).map(|k| PHI.powi(k as i32)).sum::<f64>();
        let season = if self.seasonal() { self.season[self.place(steps.saturating_sub(1))] } else { 0.0 };
        Some(self.level? + damped * self.trend + season)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_followed_and_a_season_repeats() {
        let mut hw = HoltWinters::new(10_000);
        assert_eq!(hw.ahead(1), None);
        (0..200).for_each(|i| hw.add(f64::from(i)));
        assert!((hw.ahead(4).unwrap() - 203.0).abs() < 6.0, "{:?}", hw.ahead(4));
        let mut hw = HoltWinters::new(20);
        let wave = |i: usize| 10.0 + 5.0 * (i as f64 * std::f64::consts::TAU / 20.0).sin();
        (0..400).for_each(|i| hw.add(wave(i)));
        assert!((hw.ahead(5).unwrap() - wave(404)).abs() < 0.7, "{:?} {}", hw.ahead(5), wave(404));
    }
}

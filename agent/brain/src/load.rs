//! Forecasts of offered load: several simple members, judged on what came, and bands from their past errors.
//!
//! Every second each member forecasts every horizon; when that time has come its error is kept (walk-forward: no forecast ever saw the
//! value it is judged by). What replicas are bought for is an upper quantile of load, so the member whose upper quantile has the least pinball loss
//! speaks, with a margin against flapping. Persistence is the one to beat (it is the best five-minute forecast on most real traces); where load jumps
//! about a level, the mean of some minutes needs fewer replicas. Not here: capacity.

pub mod members;
pub mod residuals;

use crate::decision::Band;
use crate::math::{Decayed, bounded};
use crate::series::Window;
use members::{MEMBERS, Member};
use residuals::{Residuals, UPPER_Z};

/// Bounds of the seconds over which "the load at a time" is averaged, and which part of the last horizon they are otherwise: a second's arrivals are
/// mostly Poisson noise, which no forecast is to be blamed for and no replica is wanted for.
const SMOOTH_S: (f64, f64) = (3.0, 10.0);
const SMOOTH: f64 = 0.3;

/// Less than this, in requests per second, for so long is no traffic (what follows a shorter silence is a burst, and a surprise). What was forecast
/// from none, and in so many seconds after traffic set in (a test of load begins gently, a new name is found by clients one after the other), says
/// nothing of what load will do.
const NONE_RPS: f64 = 1.0;
const SILENT_S: f64 = 600.0;
const FOUND_S: f64 = 60.0;

/// What is expected of ln load at a horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogLoad {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, from the errors of the last minutes.
    pub sd: f64,
    /// How far above the mean load is to be reckoned with: an upper quantile of the errors of the last minutes and of the last hour. Loads that jump
    /// now and then have many small errors and a few large ones; no standard deviation tells them from noise.
    pub surprise: f64,
}

/// A member and its record at every horizon.
#[derive(Debug, Clone)]
struct Judged {
    member: Member,
    records: Vec<Residuals>,
}

/// The load forecaster.
#[derive(Debug, Clone)]
pub struct LoadForecaster {
    horizons: Vec<f64>,
    members: Vec<Judged>,
    speakers: Vec<usize>,
    recent: Window,
    level: Decayed,
    last_s: Option<f64>,
    smooth_s: f64,
    busy_s: Option<f64>,
    began_s: f64,
}

impl LoadForecaster {
    /// A forecaster for these horizons, in seconds; the last is the one that is acted on.
    pub fn new(horizons: &[f64]) -> Self {
        let records = || horizons.iter().map(|h| Residuals::new(*h)).collect();
        Self {
            horizons: horizons.to_vec(),
            members: MEMBERS.iter().map(|make| Judged { member: make(), records: records() }).collect(),
            speakers: vec![0; horizons.len()],
            recent: Window::new(60.0),
            level: Decayed::default(),
            last_s: None,
            busy_s: None,
            began_s: f64::NEG_INFINITY,
            smooth_s: (SMOOTH * horizons.last().copied().unwrap_or(0.0)).clamp(SMOOTH_S.0, SMOOTH_S.1),
        }
    }

    /// Takes the arrivals of an interval.
    pub fn observe(&mut self, at_s: f64, arrivals_rps: f64) {
        self.notice_traffic(at_s, arrivals_rps);
        let gap = self.last_s.replace(at_s).is_some_and(|last| at_s - last > 30.0);
        self.recent.push(at_s, arrivals_rps);
        self.level.add(arrivals_rps, 0.7);
        let actual = self.recent.mean_since(at_s - self.smooth_s + 0.01).unwrap_or(arrivals_rps);
        // The middle of what is averaged over and above the least is when it was so.
        let then_s = at_s - 0.5 * (self.smooth_s - SMOOTH_S.0);
        let found = at_s - self.began_s >= FOUND_S;
        for judged in &mut self.members {
            judged.member.observe(at_s, arrivals_rps, gap);
            for (horizon, record) in self.horizons.iter().zip(&mut judged.records) {
                record.resolve(then_s, actual);
                if let Some(forecast) = judged.member.forecast(*horizon).filter(|_| found) {
                    record.promise(at_s, forecast);
                }
            }
        }
        self.elect();
    }

    /// When traffic sets in, what was forecast before is not judged. Traffic that is there when looking begins did not set in.
    fn notice_traffic(&mut self, at_s: f64, rps: f64) {
        if rps < NONE_RPS {
            return;
        }
        let silent = self.busy_s.replace(at_s).is_none_or(|before| at_s - before > SILENT_S);
        if silent && self.last_s.is_some() {
            self.began_s = at_s;
            self.members.iter_mut().flat_map(|m| &mut m.records).for_each(Residuals::withdraw);
        }
    }

    fn elect(&mut self) {
        for (h, speaker) in self.speakers.iter_mut().enumerate() {
            let loss = |m: usize| self.members[m].records[h].loss().map(|l| l * self.members[m].member.handicap());
            let Some(present) = loss(*speaker) else { continue };
            let best = (0..self.members.len())
                .filter(|m| self.members[*m].member.forecast(self.horizons[h]).is_some())
                .filter_map(|m| loss(m).map(|l| (m, l)))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((m, l)) = best
                && l < 0.95 * present
            {
                *speaker = m;
            }
        }
    }

    /// What is expected at one of the horizons (by index); None before any load.
    pub fn log_forecast(&self, horizon: usize) -> Option<LogLoad> {
        let judged = self.members.get(*self.speakers.get(horizon)?)?;
        let h = self.horizons[horizon];
        let point = judged.member.forecast(h).or_else(|| self.members[0].member.forecast(h))?;
        let (shift, sd) = judged.records[horizon].spread();
        let surprise = self.beyond_chance((judged.records[horizon].upper() - shift).max(0.0));
        Some(LogLoad { mean: bounded(point, 1e-3, 1e12).ln() + shift, sd, surprise })
    }

    /// What is left of a surprise without the chance in the count that a forecast was judged by: arrivals of independent clients vary by the root of their
    /// number, and replicas that carry their mean carry that.
    fn beyond_chance(&self, surprise: f64) -> f64 {
        let counted = self.level.get().unwrap_or(0.0) * self.smooth_s;
        (surprise * surprise - UPPER_Z * UPPER_Z / counted.max(1.0)).max(0.0).sqrt()
    }

    /// Quantiles at one of the horizons (by index).
    pub fn band(&self, horizon: usize) -> Option<Band> {
        self.log_forecast(horizon).map(|l| crate::math::log_band(l.mean, l.sd))
    }

    /// Arrivals expected in the next interval.
    pub fn next(&self) -> f64 {
        self.level.get().unwrap_or(0.0)
    }

    /// Mean arrivals over the last seconds.
    pub fn mean_over(&self, seconds: f64) -> Option<f64> {
        self.recent.mean_since(self.last_s? - seconds + 0.01)
    }

    /// Who speaks for a horizon.
    pub fn speaker(&self, horizon: usize) -> &'static str {
        self.members[self.speakers[horizon]].member.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_swings_is_left_to_a_trend_and_lands_in_the_band() {
        let mut load = LoadForecaster::new(&[10.0]);
        let swing = |t: f64| 100.0 + 50.0 * (t / 200.0 * std::f64::consts::TAU).sin();
        for t in 0..1_200u32 {
            load.observe(f64::from(t), swing(f64::from(t)));
        }
        assert!(load.speaker(0).ends_with("trend"), "{}", load.speaker(0));
        let (band, truth) = (load.band(0).expect("seen"), swing(1_209.0));
        assert!(band.p10 < 1.05 * truth && band.p90 > 0.95 * truth && (band.p50 / truth - 1.0).abs() < 0.1, "{band:?} {truth}");
    }

    #[test]
    fn steady_noise_stays_with_persistence() {
        let mut load = LoadForecaster::new(&[10.0]);
        for t in 0..200u32 {
            load.observe(f64::from(t), 100.0 + noise(t));
        }
        let band = load.band(0).expect("seen");
        assert!((band.p50 / 100.0 - 1.0).abs() < 0.06 && band.p90 / band.p10 < 1.4, "{band:?}");
    }

    #[test]
    fn a_load_that_jumps_about_a_level_is_left_to_the_mean() {
        let mut load = LoadForecaster::new(&[30.0]);
        let mut most: f64 = 0.0;
        for t in 0..5_400u32 {
            load.observe(f64::from(t), 100.0 + 5.0 * noise(t / 40));
            let known = load.log_forecast(0).filter(|_| t > 3_600);
            most = most.max(known.map_or(0.0, |l| (l.mean + l.surprise).exp()));
        }
        assert_eq!(load.speaker(0), "mean of ten minutes");
        assert!(most > 140.0 && most < 190.0, "between 50 and 150 come, persistence would fear {most}");
    }

    /// Pseudo-random within +-10.
    fn noise(t: u32) -> f64 {
        f64::from(t.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 * 20.0 - 10.0
    }

    #[test]
    fn traffic_that_sets_in_is_no_surprise() {
        let mut load = LoadForecaster::new(&[10.0]);
        for t in 0..200u32 {
            load.observe(f64::from(t), if t < 100 { 0.0 } else { 100.0 });
        }
        let known = load.log_forecast(0).expect("seen");
        assert!(known.surprise < 0.1 && known.sd < 0.1, "{known:?}");
    }

    #[test]
    fn bursts_between_silences_are_a_surprise() {
        let mut load = LoadForecaster::new(&[10.0]);
        for t in 0..1_800u32 {
            load.observe(f64::from(t), if t % 60 < 30 { 0.0 } else { 100.0 });
        }
        assert!(load.log_forecast(0).expect("seen").surprise > 0.3);
    }

    #[test]
    fn before_any_load_there_is_no_forecast() {
        assert!(LoadForecaster::new(&[5.0]).band(0).is_none());
    }
}

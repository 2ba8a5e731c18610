//! A check of the measurement itself: was the machine, or the generator, the bottleneck?
//!
//! Called once a second by [`crate::demo::arm`]. Not here: what it means ([`crate::report::words`]).

use crate::demo::processor::MachineTicks;
use crate::report::document::{BUSY, Machine, Second};

/// Share of the machine in use, a point a second.
#[derive(Debug)]
pub struct MachineLog {
    last: MachineTicks,
    points: Vec<(f64, f64)>,
}

impl Default for MachineLog {
    fn default() -> Self {
        Self { last: MachineTicks::now(), points: Vec::new() }
    }
}

impl MachineLog {
    /// Takes the share since the last look.
    pub fn look(&mut self, now_s: f64) {
        let now = MachineTicks::now();
        self.points.push((now_s, now.busy_since(&self.last)));
        self.last = now;
    }

    /// Over the judged part.
    pub fn summary(&self, seconds: f64) -> Machine {
        let judged: Vec<f64> = self.points.iter().filter(|p| (0.0..=seconds).contains(&p.0)).map(|p| p.1).collect();
        let n = judged.len().max(1) as f64;
        Machine {
            cpu_mean: judged.iter().sum::<f64>() / n,
            cpu_max: judged.iter().copied().fold(0.0, f64::max),
            busy_share: judged.iter().filter(|b| **b > BUSY).count() as f64 / n,
            send_lag_p95_ms: 0.0,
        }
    }
}

/// 95 % quantile over the seconds of how late the generator sent (99 % quantile of each), in milliseconds.
pub fn send_lag_p95(seconds: &[Second]) -> f64 {
    let mut lags: Vec<f64> = seconds.iter().map(|s| s.send_lag_ms).collect();
    lags.sort_by(f64::total_cmp);
    lags.get((lags.len() * 95 / 100).min(lags.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_judged_part_counts() {
        let log = MachineLog { last: MachineTicks::default(), points: vec![(-1.0, 1.0), (1.0, 0.5), (2.0, 0.9), (30.0, 1.0)] };
        let m = log.summary(10.0);
        assert_eq!((m.cpu_mean, m.cpu_max, m.busy_share), (0.7, 0.9, 0.5));
        assert_eq!(MachineLog { last: MachineTicks::default(), points: vec![] }.summary(1.0).cpu_mean, 0.0);
    }

    #[test]
    fn lag_is_a_quantile_over_seconds() {
        let seconds: Vec<_> = (0..100).map(|i| Second { send_lag_ms: f64::from(i), ..Second::default() }).collect();
        assert_eq!(send_lag_p95(&seconds), 95.0);
        assert_eq!(send_lag_p95(&[]), 0.0);
    }
}

//! How old and how smoothed the processor use is that the autoscaler sees.
//!
//! Called with each pod's cumulative processor time as often as it is known. Pure. Models the resource metrics pipeline: the kubelet looks at
//! containers every 10 s (cAdvisor's housekeeping), metrics-server asks every kubelet every 15 s and publishes the mean use between the last
//! two different readings. Together with the autoscaler's 15 s that makes a lag of about 27 s on average. A pod has no metric until it was
//! read twice. Memory: three readings a pod; [`MetricsPipeline::retain`] forgets pods that are gone.

use crate::hpa::pods::Metric;
use std::collections::BTreeMap;

/// Periods of the pipeline in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PipelineConfig {
    /// Between two looks of the kubelet.
    pub housekeeping_s: f64,
    /// Between two rounds of metrics-server (`--metric-resolution`).
    pub resolution_s: f64,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { housekeeping_s: 10.0, resolution_s: 15.0 }
    }
}

impl PipelineConfig {
    /// The same with every duration divided by `time_scale` (more than 0).
    #[must_use]
    pub fn scaled(self, time_scale: f64) -> Self {
        Self { housekeeping_s: self.housekeeping_s / time_scale, resolution_s: self.resolution_s / time_scale }
    }
}

/// Cumulative processor time at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    at_s: f64,
    cpu_s: f64,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// What the kubelet saw last.
    kubelet: Option<Reading>,
    /// What metrics-server holds: the reading before, and the last.
    before: Option<Reading>,
    last: Option<Reading>,
}

/// The pipeline.
#[derive(Debug, Clone)]
pub struct MetricsPipeline {
    config: PipelineConfig,
    round_due_s: f64,
    pods: BTreeMap<String, Known>,
}

impl MetricsPipeline {
    /// An empty pipeline.
    pub fn new(config: PipelineConfig) -> Self {
        Self { config, round_due_s: f64::NEG_INFINITY, pods: BTreeMap::new() }
    }

    /// A pod has used `cpu_s` processor seconds since its start.
    pub fn observe(&mut self, pod: &str, now_s: f64, cpu_s: f64) {
        let known = self.pods.entry(pod.to_string()).or_default();
        if known.kubelet.is_some_and(|k| cpu_s < k.cpu_s) {
            // A counter that went back is a container that was started again.
            *known = Known::default();
        }
        // A hair early is in time: callers look at about the same beat.
        let slack = self.config.housekeeping_s * 1e-3;
        if known.kubelet.is_none_or(|k| now_s - k.at_s >= self.config.housekeeping_s - slack) {
            known.kubelet = Some(Reading { at_s: now_s, cpu_s });
        }
    }

    /// Lets time pass; to be called after the observations of a moment.
    pub fn advance(&mut self, now_s: f64) {
        if now_s < self.round_due_s {
            return;
        }
        let next = self.round_due_s + self.config.resolution_s;
        self.round_due_s = if next > now_s { next } else { now_s + self.config.resolution_s };
        for known in self.pods.values_mut() {
            if known.kubelet != known.last {
                known.before = known.last;
                known.last = known.kubelet;
            }
        }
    }

    /// What the autoscaler would be told about a pod now.
    pub fn metric(&self, pod: &str) -> Option<Metric> {
        let known = self.pods.get(pod)?;
        let (before, last) = (known.before?, known.last?);
        let window_s = last.at_s - before.at_s;
        (window_s > 0.0).then(|| Metric { cores: (last.cpu_s - before.cpu_s) / window_s, at_s: last.at_s, window_s })
    }

    /// Forgets every pod but these.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.pods.retain(|name, _| keep(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod that uses one core from `step_s` on, nothing before; what is published each second.
    fn published(config: PipelineConfig, step_s: f64, seconds: u32) -> Vec<Option<Metric>> {
        let mut pipeline = MetricsPipeline::new(config);
        (0..seconds)
            .map(|t| {
                let now = f64::from(t);
                pipeline.observe("a", now, (now - step_s).max(0.0));
                pipeline.advance(now);
                pipeline.metric("a")
            })
            .collect()
    }

    #[test]
    fn use_is_seen_late_and_smoothed() {
        let seen = published(PipelineConfig::default(), 60.0, 120);
        assert!(seen[..15].iter().all(Option::is_none), "no metric before two readings");
        let cores: Vec<f64> = seen[15..].iter().map(|m| m.unwrap().cores).collect();
        assert!(cores[..60].iter().all(|c| *c == 0.0), "nothing is seen before second 75");
        assert!(cores[90..].iter().all(|c| (c - 1.0).abs() < 1e-9));
        let windows: Vec<f64> = seen.iter().flatten().map(|m| m.window_s).collect();
        assert!(windows.iter().all(|w| (10.0..=20.0).contains(w)), "{windows:?}");
    }

    #[test]
    fn the_mean_lag_is_what_it_is_in_a_cluster() {
        // Age of the window's middle whenever somebody looks; the autoscaler's own wait (7.5 s on average) comes on top.
        let seen = published(PipelineConfig::default(), 0.0, 3_600);
        let ages: Vec<f64> =
            seen.iter().enumerate().skip(60).filter_map(|(t, m)| m.map(|m| t as f64 - (m.at_s - m.window_s / 2.0))).collect();
        let mean = ages.iter().sum::<f64>() / ages.len() as f64;
        assert!((15.0..=21.0).contains(&mean), "{mean}");
    }

    #[test]
    fn time_scale_divides_everything_and_restarts_begin_anew() {
        let config = PipelineConfig::default().scaled(5.0);
        assert_eq!(config, PipelineConfig { housekeeping_s: 2.0, resolution_s: 3.0 });
        let mut pipeline = MetricsPipeline::new(config);
        for t in 0..10 {
            pipeline.observe("a", f64::from(t), f64::from(t) * 0.5);
            pipeline.advance(f64::from(t));
        }
        assert!((pipeline.metric("a").unwrap().cores - 0.5).abs() < 1e-9);
        pipeline.observe("a", 10.0, 0.1);
        assert_eq!(pipeline.metric("a"), None, "a counter that went back");
        pipeline.retain(|_| false);
        assert!(pipeline.pods.is_empty());
    }
}

//! Replicas wanted by the pods' processor use, before behaviour rules: which pods count, and how those that cannot be judged are assumed.
//!
//! Called by [`crate::hpa::scaler`]. Pure. Follows "Algorithm details": deleted and failed pods are ignored; pods without a metric and pods
//! not yet ready are set aside; if the rest asks for a change, they are put back with assumptions that dampen it; a change that would turn
//! round by that, or fall within the tolerance, is not made.

use crate::hpa::config::Config;

/// A pod as the autoscaler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// State.
    pub phase: Phase,
    /// When it was started, in seconds.
    pub started_s: f64,
    /// Whether it is ready.
    pub ready: bool,
    /// When its readiness last changed; the start when it never has.
    pub ready_changed_s: f64,
    /// Processor cores that it requests.
    pub request_cores: f64,
    /// Its use, when known.
    pub metric: Option<Metric>,
}

/// State of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started yet.
    Pending,
    /// Started.
    Running,
    /// Asked to end.
    Terminating,
    /// Ended badly.
    Failed,
}

/// Mean processor use over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Cores used on average.
    pub cores: f64,
    /// End of the window, in seconds.
    pub at_s: f64,
    /// Length of the window.
    pub window_s: f64,
}

/// What the pods' metrics ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Replicas.
    pub replicas: u32,
    /// Use over target, of the pods that could be judged.
    pub ratio: f64,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ignored,
    Unready,
    Missing,
    Judged,
}

fn standing(pod: &Pod, now_s: f64, config: &Config) -> Standing {
    match (pod.phase, pod.metric) {
        (Phase::Terminating | Phase::Failed, _) => Standing::Ignored,
        (Phase::Pending, _) => Standing::Unready,
        (Phase::Running, None) => Standing::Missing,
        (Phase::Running, Some(metric)) if unready(pod, metric, now_s, config) => Standing::Unready,
        (Phase::Running, Some(_)) => Standing::Judged,
    }
}

/// Whether its use says nothing about its load yet.
fn unready(pod: &Pod, metric: Metric, now_s: f64, config: &Config) -> bool {
    if now_s < pod.started_s + config.cpu_initialization_s {
        return !pod.ready || metric.at_s < pod.ready_changed_s + metric.window_s;
    }
    !pod.ready && pod.ready_changed_s < pod.started_s + config.initial_readiness_delay_s
}

/// Sums of use and request.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    pods: u32,
    cores: f64,
    request: f64,
}

impl Sum {
    fn add(&mut self, cores: f64, request: f64) {
        self.pods += 1;
        self.cores += cores;
        self.request += request;
    }

    fn ratio(&self, target: f64) -> f64 {
        self.cores / (self.request * target).max(1e-12)
    }
}

/// Replicas that the pods' use asks for; None when no pod can be judged, or the request is nothing.
pub fn wanted(config: &Config, now_s: f64, current: u32, pods: &[Pod]) -> Option<Wanted> {
    let target = config.target_utilization;
    let of = |wanted: Standing| pods.iter().filter(move |p| standing(p, now_s, config) == wanted);
    let mut judged = Sum::default();
    of(Standing::Judged).filter_map(|p| Some((p.metric?, p))).for_each(|(m, p)| judged.add(m.cores, p.request_cores));
    if judged.pods == 0 || judged.request <= 0.0 {
        return None;
    }
    let ratio = judged.ratio(target);
    let unchanged = Some(Wanted { replicas: current, ratio });
    let dampened = ratio > 1.0 && of(Standing::Unready).next().is_some();
    if !dampened && of(Standing::Missing).next().is_none() {
        return match (ratio - 1.0).abs() <= config.tolerance {
            true => unchanged,
            false => Some(Wanted { replicas: ceil(ratio * f64::from(judged.pods)), ratio }),
        };
    }
    let mut all = judged;
    for pod in of(Standing::Missing) {
        // Against the change: all of its target when shrinking, nothing when growing.
        all.add(if ratio < 1.0 { pod.request_cores * target } else { 0.0 }, pod.request_cores);
    }
    if dampened {
        of(Standing::Unready).for_each(|pod| all.add(0.0, pod.request_cores));
    }
    let again = all.ratio(target);
    let turned = (ratio - 1.0) * (again - 1.0) < 0.0;
    let replicas = ceil(again * f64::from(all.pods));
    // With pods still on their way the count may point the other way than the ratio.
    let against = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
    match (again - 1.0).abs() <= config.tolerance || turned || against {
        true => unchanged,
        false => Some(Wanted { replicas, ratio }),
    }
}

/// Rounded up, but not for a rounding error's sake.
fn ceil(x: f64) -> u32 {
    (x - 1e-9).ceil().clamp(0.0, 1e6) as u32
}

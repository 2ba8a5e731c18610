//! A predictive autoscaler like predictive-horizontal-pod-autoscaler: the autoscaler's own count, smoothed by Holt and Winters and looked at one
//! start-up time ahead; the larger of now and then is asked for.

use crate::scaling::policies::cluster::{Behaviour, Pods};
use crate::scaling::policies::holt_winters::HoltWinters;
use crate::sim::scenario::Pace;
use crate::sim::{Policy, View, Want};

const DAY_S: f64 = 86_400.0;

/// The scaler.
#[derive(Debug, Clone)]
pub struct Phpa {
    target: f64,
    steps_ahead: usize,
    pods: Pods,
    smoother: HoltWinters,
    behaviour: Behaviour,
    asks: Option<u32>,
}

impl Phpa {
    /// A processor target as a share of what pods request.
    pub fn new(target: f64, pace: &Pace) -> Self {
        // A pod's start, the age of the metrics, the wait for the next sync.
        let ahead_s = pace.start.median_s + 1.8 * pace.sync_s;
        Self {
            target,
            steps_ahead: (ahead_s / pace.sync_s).ceil() as usize,
            pods: Pods::new(pace),
            smoother: HoltWinters::new((DAY_S / pace.sync_s) as usize),
            behaviour: Behaviour::new(pace),
            asks: None,
        }
    }
}

impl Policy for Phpa {
    fn decide(&mut self, view: &View<'_>) -> Want {
        self.pods.look(view);
        let mut asks = self.asks.unwrap_or(view.desired);
        if let Some(used) = self.pods.utilisation()
            && self.behaviour.due(view.at_s)
        {
            let now = used / self.target * f64::from(view.ready);
            self.smoother.add(now);
            let need = self.smoother.ahead(self.steps_ahead).unwrap_or(now).max(now);
            asks = self.behaviour.apply(view.at_s, need, view.desired);
            self.asks = Some(asks);
        }
        Want { replicas: asks, ..Want::default() }
    }
}

//! Kubernetes' horizontal pod autoscaler on processor use: [`crate::hpa`] put into the simulator.
//!
//! Used alone and inside [`super::Foreshadow`].

use crate::hpa::Hpa;
use crate::scaling::policies::cluster::{Pods, config};
use crate::sim::scenario::Pace;
use crate::sim::{Policy, View, Want};

/// The autoscaler with a processor target.
#[derive(Debug, Clone)]
pub struct CpuHpa {
    hpa: Hpa,
    pods: Pods,
    asks: Option<u32>,
}

impl CpuHpa {
    /// A target as a share of what pods request, at the cluster's pace.
    pub fn new(target: f64, pace: &Pace) -> Self {
        Self::with(Hpa::new(config(target, pace)), pace)
    }

    /// Another configuration of it.
    pub fn with(hpa: Hpa, pace: &Pace) -> Self {
        Self { hpa, pods: Pods::new(pace), asks: None }
    }

    /// Replicas asked for after this step.
    pub fn replicas(&mut self, view: &View<'_>) -> u32 {
        self.pods.look(view);
        let asks = self.asks.unwrap_or(view.desired);
        if !self.hpa.due(view.at_s) {
            return asks;
        }
        let asks = self.hpa.sync(view.at_s, view.desired, 1, &self.pods.list(view)).desired;
        self.asks = Some(asks);
        asks
    }
}

impl Policy for CpuHpa {
    fn decide(&mut self, view: &View<'_>) -> Want {
        let replicas = self.replicas(view);
        Want { replicas, reactive: Some(replicas), ..Want::default() }
    }
}

//! Which policies are compared, and over which values of their own parameter each is swept.

use crate::scaling::policies::{CpuHpa, Foreshadow, Keda, Oracle, Phpa};
use crate::sim::{Policy, Scenario};

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Kubernetes' autoscaler on processor use.
    Hpa,
    /// KEDA on requests per second.
    Keda,
    /// The autoscaler with Holt and Winters before it.
    Phpa,
    /// Foreshadow over the autoscaler at 70 %.
    Foreshadow,
    /// The clairvoyant.
    Oracle,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Hpa, Self::Keda, Self::Phpa, Self::Foreshadow, Self::Oracle];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::Phpa => "phpa",
            Self::Foreshadow => "foreshadow",
            Self::Oracle => "oracle",
        }
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// What its parameter is.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Hpa | Self::Phpa => "target processor use over request",
            Self::Keda => "target rate over what a replica takes undisturbed",
            Self::Foreshadow => "headroom",
            Self::Oracle => "share used of what replicas take",
        }
    }

    /// The values it is swept over.
    pub fn settings(self) -> Vec<f64> {
        match self {
            Self::Hpa => vec![0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            Self::Keda | Self::Phpa => vec![0.4, 0.5, 0.6, 0.7, 0.8],
            Self::Foreshadow => vec![0.8, 0.9, 1.0, 1.1, 1.2],
            Self::Oracle => vec![0.8, 0.9, 1.0, 1.05, 1.1],
        }
    }

    /// The value that it has when nobody tunes it.
    pub fn default_setting(self) -> f64 {
        match self {
            Self::Hpa | Self::Phpa | Self::Keda => 0.7,
            Self::Foreshadow => foreshadow_brain::Settings::default().headroom,
            Self::Oracle => 1.0,
        }
    }

    /// The policy for a scenario.
    pub fn make(self, setting: f64, scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
        match self {
            Self::Hpa => Box::new(CpuHpa::new(setting, &scenario.pace)),
            Self::Keda => Box::new(Keda::new(setting * scenario.workload.knee_rps(), &scenario.pace)),
            Self::Phpa => Box::new(Phpa::new(setting, &scenario.pace)),
            Self::Foreshadow => Box::new(Foreshadow::default_for(scenario, Some(setting), seed)),
            Self::Oracle => Box::new(Oracle::new(setting, scenario)),
        }
    }
}

//! Which policies are compared, and over which values of their own parameter each is swept.

use crate::scaling::policies::foreshadow::Beneath;
use crate::scaling::policies::{CpuHpa, Foreshadow, Keda, Observing, Oracle, Phpa};
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
    /// Foreshadow over the autoscaler as recommended beside it: 90 %, down after a minute.
    Foreshadow,
    /// The same over the autoscaler as found: 70 %, down after five minutes.
    ForeshadowOver70,
    /// The same without any autoscaler: the floor is the count.
    ForeshadowAlone,
    /// As recommended, without a shadow: what production's own numbers tell.
    ForeshadowNoShadow,
    /// Changing nothing: the autoscaler as found, and what each forecaster saw coming.
    ForeshadowObserving,
    /// The clairvoyant.
    Oracle,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::Hpa,
        Self::Keda,
        Self::Phpa,
        Self::Foreshadow,
        Self::ForeshadowOver70,
        Self::ForeshadowAlone,
        Self::ForeshadowNoShadow,
        Self::ForeshadowObserving,
        Self::Oracle,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hpa => "hpa",
            Self::Keda => "keda",
            Self::Phpa => "phpa",
            Self::Foreshadow => "foreshadow",
            Self::ForeshadowOver70 => "foreshadow-over-hpa70",
            Self::ForeshadowAlone => "foreshadow-alone",
            Self::ForeshadowNoShadow => "foreshadow-no-shadow",
            Self::ForeshadowObserving => "foreshadow-observing",
            Self::Oracle => "oracle",
        }
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// Whether it is a form of Foreshadow.
    pub fn is_foreshadow(self) -> bool {
        !matches!(self, Self::Hpa | Self::Keda | Self::Phpa | Self::Oracle)
    }

    /// What its parameter is.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Hpa | Self::Phpa => "target processor use over request",
            Self::Keda => "target rate over what a replica takes undisturbed",
            _ if self.is_foreshadow() => "headroom",
            _ => "share used of what replicas take",
        }
    }

    /// The values it is swept over.
    pub fn settings(self) -> Vec<f64> {
        match self {
            Self::Hpa => vec![0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9],
            Self::Keda | Self::Phpa => vec![0.4, 0.5, 0.6, 0.7, 0.8],
            Self::Foreshadow => vec![0.8, 0.9, 1.0, 1.1],
            Self::ForeshadowOver70 | Self::ForeshadowAlone | Self::ForeshadowNoShadow | Self::ForeshadowObserving => vec![0.9],
            Self::Oracle => vec![0.8, 0.9, 1.0, 1.1, 1.2, 1.3],
        }
    }

    /// The value that it has when nobody tunes it.
    pub fn default_setting(self) -> f64 {
        match self {
            Self::Hpa | Self::Phpa | Self::Keda => 0.7,
            Self::Oracle => 1.0,
            _ => foreshadow_brain::Settings::default().headroom,
        }
    }

    /// The policy for a scenario.
    pub fn make(self, setting: f64, scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
        let foreshadow =
            |beneath, shadow| -> Box<dyn Policy> { Box::new(Foreshadow::variant(scenario, Some(setting), seed, beneath, shadow)) };
        match self {
            Self::Hpa => Box::new(CpuHpa::new(setting, &scenario.pace)),
            Self::Keda => Box::new(Keda::new(setting * scenario.workload.knee_rps(), &scenario.pace)),
            Self::Phpa => Box::new(Phpa::new(setting, &scenario.pace)),
            Self::Foreshadow => foreshadow(Beneath::Recommended, true),
            Self::ForeshadowOver70 => foreshadow(Beneath::AsFound, true),
            Self::ForeshadowAlone => foreshadow(Beneath::Nothing, true),
            Self::ForeshadowNoShadow => foreshadow(Beneath::Recommended, false),
            Self::ForeshadowObserving => Box::new(Observing::new(scenario, setting, seed)),
            Self::Oracle => Box::new(Oracle::new(setting, scenario)),
        }
    }
}

//! Profiles: how a shadow differs from production, along one axis each. Predefined ones, and more from the spec.
//!
//! Used by the state machine (cost of a shadow) and when an instance is started (its limits).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Share of a replica's price that is its memory. General-purpose machines of the large clouds sell 4 GiB with a core and price
/// a core about as much as 8 to 10 GiB, which makes memory a third to a quarter of a replica; the lower end is used.
const MEMORY_SHARE: f64 = 0.25;

/// Factors on production's resources.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Of the processor limit.
    pub cpu: f64,
    /// Of the memory limit.
    pub memory: f64,
}

impl Default for Profile {
    fn default() -> Self {
        Self { cpu: 1.0, memory: 1.0 }
    }
}

impl Profile {
    /// Cost relative to a production replica. A replica is placed by its processor share and takes its memory along, so the processor
    /// factor counts fully (`cpu-half` costs one half) and the memory factor by memory's share of the price (`memory-half`: 0.875).
    pub fn size(&self) -> f64 {
        self.cpu * (1.0 - MEMORY_SHARE + MEMORY_SHARE * self.memory)
    }

    /// Whether both factors make sense.
    pub fn is_usable(&self) -> bool {
        [self.cpu, self.memory].iter().all(|factor| *factor > 0.0 && *factor <= 16.0)
    }
}

/// Profiles by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Predefined ones and `more`, which win.
    pub fn with(more: &BTreeMap<String, Profile>) -> Self {
        let predefined = [("same", 1.0, 1.0), ("cpu-half", 0.5, 1.0), ("cpu-quarter", 0.25, 1.0), ("memory-half", 1.0, 0.5)];
        let mut all: BTreeMap<_, _> = predefined.map(|(name, cpu, memory)| (name.to_owned(), Profile { cpu, memory })).into();
        all.extend(more.iter().map(|(name, profile)| (name.clone(), *profile)));
        Self(all)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<Profile> {
        self.0.get(name).copied()
    }

    /// All names.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predefined_profiles_have_documented_costs() {
        let all = Profiles::with(&BTreeMap::new());
        let sizes: Vec<_> = all.names().iter().map(|n| (n.to_string(), all.get(n).unwrap().size())).collect();
        let expected = [("cpu-half", 0.5), ("cpu-quarter", 0.25), ("memory-half", 0.875), ("same", 1.0)];
        assert_eq!(sizes, expected.map(|(n, s)| (n.to_owned(), s)));
    }

    #[test]
    fn a_spec_adds_profiles_and_replaces_predefined_ones() {
        let more = [("tiny".to_owned(), Profile { cpu: 0.1, memory: 0.1 }), ("same".to_owned(), Profile { cpu: 0.9, memory: 1.0 })];
        let all = Profiles::with(&more.into());
        assert_eq!((all.get("tiny").unwrap().cpu, all.get("same").unwrap().cpu, all.get("gone")), (0.1, 0.9, None));
    }
}

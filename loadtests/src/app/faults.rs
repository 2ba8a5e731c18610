//! Faults that can be switched while the application runs: the document, and what it may say.
//!
//! Called by the `/faults` handlers and by the file watcher. Promises: an unknown field or an impossible value is refused whole, with its
//! name. Not here: when faults are switched.

use crate::app::class::Class;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that is wrong with the application right now. The default is nothing. As JSON every field may be left out:
/// `{"pool_factor": 0.5, "cost_factor": {"normal": 1.7}, "dependency_ms": 40}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of the worker pool that still works, 0 to 1: a shrinking pool, which processor use does not show. A fraction of a worker works
    /// that fraction of the time.
    pub pool_factor: f64,
    /// Multiplies the I/O wait, by class; a bare number means every class.
    #[serde(deserialize_with = "cost")]
    pub cost_factor: BTreeMap<Class, f64>,
    /// Multiplies the processor work.
    pub cpu_factor: f64,
    /// Bytes that each request leaves behind.
    pub leak_bytes_per_request: u64,
    /// MiB a second that the instance leaks whatever its load.
    pub leak_mib_per_s: f64,
    /// Gives back what has leaked, as a restart would.
    pub release_leaked: bool,
    /// Extra wait of every request for a dependency, with the worker held, in milliseconds.
    pub dependency_ms: f64,
    /// Added to the start delay of an instance that is still starting, in seconds.
    #[serde(alias = "extra_start_s")]
    pub start_delay_s: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            pool_factor: 1.0,
            cost_factor: BTreeMap::new(),
            cpu_factor: 1.0,
            leak_bytes_per_request: 0,
            leak_mib_per_s: 0.0,
            release_leaked: false,
            dependency_ms: 0.0,
            start_delay_s: 0.0,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Cost {
    Every(f64),
    ByClass(BTreeMap<Class, f64>),
}

fn cost<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<Class, f64>, D::Error> {
    let wanted = "a number, or an object of numbers by class (cheap, normal, costly)";
    Ok(match Cost::deserialize(from).map_err(|_| serde::de::Error::custom(format!("cost_factor: expected {wanted}")))? {
        Cost::Every(factor) => Class::ALL.into_iter().map(|c| (c, factor)).collect(),
        Cost::ByClass(by_class) => by_class,
    })
}

impl Faults {
    /// Reads a document; the error names the field and what would be right.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let faults: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        faults.check()?;
        Ok(faults)
    }

    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name}: {value} is not within {least} to {most}")),
        };
        within("pool_factor", self.pool_factor, 0.0, 1.0)?;
        for (class, factor) in &self.cost_factor {
            within(&format!("cost_factor.{}", class.name()), *factor, 0.0, 100.0)?;
        }
        within("cpu_factor", self.cpu_factor, 0.0, 1_000.0)?;
        within("leak_bytes_per_request", self.leak_bytes_per_request as f64, 0.0, 1e9)?;
        within("leak_mib_per_s", self.leak_mib_per_s, 0.0, 10_000.0)?;
        within("dependency_ms", self.dependency_ms, 0.0, 600_000.0)?;
        within("start_delay_s", self.start_delay_s, 0.0, 3_600.0)
    }

    /// What the I/O wait of a class is multiplied by.
    pub fn cost(&self, class: Class) -> f64 {
        self.cost_factor.get(&class).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_and_written_back() {
        let faults = Faults::parse(br#"{"pool_factor":0.5,"cost_factor":{"costly":2},"extra_start_s":3}"#).unwrap();
        assert_eq!(faults.cost(Class::Costly), 2.0);
        assert_eq!(faults.cost(Class::Cheap), 1.0);
        assert_eq!(faults.start_delay_s, 3.0);
        let back = Faults::parse(&serde_json::to_vec(&faults).unwrap()).unwrap();
        assert_eq!(back, faults);
        assert_eq!(Faults::parse(br#"{"cost_factor":1.5}"#).unwrap().cost(Class::Cheap), 1.5);
        assert_eq!(Faults::parse(b"{}").unwrap(), Faults::default());
    }

    #[test]
    fn impossible_documents_are_refused_by_name() {
        for (text, word) in [
            (r#"{"pool_factor":1.5}"#, "pool_factor: 1.5"),
            (r#"{"pool":0.5}"#, "unknown field `pool`"),
            (r#"{"cost_factor":{"normal":-1}}"#, "cost_factor.normal"),
            (r#"{"cost_factor":"much"}"#, "cost_factor: expected a number"),
            (r#"{"dependency_ms":-1}"#, "dependency_ms"),
            ("{", "EOF"),
        ] {
            let error = Faults::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}

//! Puts faults into the sample application while it runs: a file that every replica and the shadow watch.
//!
//! Called by [`crate::demo::arm`] several times a second. Promises: the file is replaced whole, so that nobody reads half of it; it is written
//! only when something changed. Not here: the request mix and the load, which are the generator's.

use crate::demo::error::Error;
use crate::demo::schedule::{Kind, strength};
use crate::report::document::Fault;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Writes the faults file.
#[derive(Debug)]
pub struct Injector {
    file: Option<PathBuf>,
    faults: Vec<Fault>,
    written: Value,
}

impl Injector {
    /// Writes a file without faults, so that the application finds one when it starts.
    pub fn new(file: Option<PathBuf>, faults: &[Fault]) -> Result<Self, Error> {
        let mut injector = Self { file, faults: faults.to_vec(), written: Value::Null };
        injector.set(f64::NEG_INFINITY)?;
        Ok(injector)
    }

    /// Makes the file say what stands at `now_s`.
    pub fn set(&mut self, now_s: f64) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let wanted = document(&self.faults, now_s);
        if wanted != self.written {
            replace(file, &wanted.to_string()).map_err(|e| Error::failed(&format!("writing {}", file.display()), e))?;
            self.written = wanted;
        }
        Ok(())
    }
}

fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let beside = file.with_extension("next");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)
}

/// The faults standing at `now_s`, in the form that the sample application reads.
fn document(faults: &[Fault], now_s: f64) -> Value {
    let mut out = Map::new();
    for fault in faults {
        let s = (strength(fault, now_s) * 50.0).round() / 50.0;
        let (key, value) = match Kind::parse(&fault.name) {
            Some(Kind::HiddenLoss) => ("pool_factor", 1.0 - (1.0 - fault.depth) * s),
            Some(Kind::Leak) if now_s > fault.end_s => ("release_leaked", 0.0),
            Some(Kind::Leak) => ("leak_mib_per_s", fault.depth / leaking_s(fault) * s),
            Some(Kind::SlowDependency) => ("dependency_ms", fault.depth * s),
            Some(Kind::SlowStart) => ("start_delay_s", fault.depth * s.ceil()),
            Some(Kind::CostlierMix | Kind::Surge) | None => continue,
        };
        if key == "release_leaked" {
            out.insert(key.into(), json!(true));
        } else if s > 0.0 {
            out.insert(key.into(), json!((value * 1_000.0).round() / 1_000.0));
        }
    }
    Value::Object(out)
}

/// How long a leak at its full rate would take to leak what this one does until it begins to ease.
fn leaking_s(fault: &Fault) -> f64 {
    ((fault.full_s - fault.start_s) / 2.0 + fault.easing_s - fault.full_s).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, depth: f64) -> Fault {
        Fault { name: kind.name().into(), start_s: 10.0, full_s: 20.0, easing_s: 30.0, end_s: 32.0, depth, ..Fault::default() }
    }

    #[test]
    fn faults_ramp_in_the_applications_own_words() {
        let at = |kind, depth, t| document(&[fault(kind, depth)], t);
        assert_eq!(at(Kind::HiddenLoss, 0.5, 5.0), json!({}));
        assert_eq!(at(Kind::HiddenLoss, 0.5, 15.0), json!({"pool_factor": 0.75}));
        assert_eq!(at(Kind::HiddenLoss, 0.5, 25.0), json!({"pool_factor": 0.5}));
        assert_eq!(at(Kind::SlowDependency, 40.0, 15.0), json!({"dependency_ms": 20.0}));
        assert_eq!(at(Kind::SlowStart, 10.0, 11.0), json!({"start_delay_s": 10.0}));
        assert_eq!(at(Kind::CostlierMix, 1.7, 25.0), json!({}), "the mix is the generator's");
    }

    #[test]
    fn a_leak_adds_up_to_its_depth_and_is_given_back() {
        let leak = [fault(Kind::Leak, 90.0)];
        let rate = |t: f64| document(&leak, t)["leak_mib_per_s"].as_f64().unwrap_or(0.0);
        let leaked: f64 = (0..300).map(|i| rate(f64::from(i) / 10.0) / 10.0).sum();
        assert!((leaked / 90.0 - 1.0).abs() < 0.02, "{leaked}");
        assert_eq!(document(&leak, 33.0), json!({"release_leaked": true}));
    }

    #[test]
    fn what_it_says_is_what_the_application_reads() {
        for kind in Kind::INJECTED {
            for t in [15.0, 25.0, 33.0] {
                let said = document(&[fault(kind, 0.5)], t).to_string();
                crate::app::Faults::parse(said.as_bytes()).unwrap();
            }
        }
    }

    #[test]
    fn the_file_is_replaced_only_when_something_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("arm").join("faults.json");
        let mut injector = Injector::new(Some(file.clone()), &[fault(Kind::HiddenLoss, 0.5)]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
        injector.set(25.0).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"pool_factor":0.5}"#);
        std::fs::remove_file(&file).unwrap();
        injector.set(26.0).unwrap();
        assert!(!file.exists(), "nothing had changed");
        Injector::new(None, &[]).unwrap().set(1.0).unwrap();
    }
}

//! What the orchestrator is told at its start: one JSON document, `foreshadow-agent orchestrate --spec FILE.json`.
//!
//! Written by `local::client` from the agent's checked configuration; a person may write one too. Promises: unknown fields are refused,
//! and a [`Spec`] that passed [`Spec::check`] can be carried out.

use super::profile::{Profile, Profiles};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the workload.
    pub name: String,
    /// Directory for state, generated configuration and logs. One orchestrator at a time owns it.
    pub state_dir: PathBuf,
    /// Port of the front balancer on loopback; 0 = any free one, kept for the orchestrator's life.
    #[serde(default)]
    pub front_port: u16,
    /// Program and first arguments of the proxy; a name without `/` is looked up beside this program, then on `PATH`.
    #[serde(default = "default_proxy")]
    pub proxy_command: Vec<String>,
    /// Replicas wanted when nobody asks for a number.
    pub replicas: u32,
    /// Least replicas.
    pub min: u32,
    /// Most replicas; ones that are draining count.
    pub max: u32,
    /// Who scales besides the floor.
    #[serde(default)]
    pub scaler: Scaler,
    /// The application's template.
    pub app: App,
    /// What the sidecars may copy.
    #[serde(default)]
    pub mirror: Mirror,
    /// Runtime key by which the agent sets the share of requests copied (0 until it does).
    #[serde(default = "default_runtime_key")]
    pub runtime_key: String,
    /// More profiles, or other meanings of the predefined ones.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// Who scales besides the floor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaler {
    /// Nobody: [`Spec::replicas`] and the floor.
    #[default]
    None,
    /// Something that calls `PUT /v1/scale`.
    External,
}

/// The application's template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Command for the shell; listens on `127.0.0.1:$PORT`.
    pub command: String,
    /// More environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Path that answers 2xx when the application is ready; None: ready when it accepts a connection.
    #[serde(default)]
    pub ready_path: Option<String>,
    /// A start that takes longer is given up and tried again.
    #[serde(default = "default_ready_timeout_s")]
    pub ready_timeout_s: f64,
    /// Longest time to finish requests under way once out of rotation; the same again to end by itself.
    #[serde(default = "default_drain_s")]
    pub drain_s: f64,
    /// Processor limit of one replica, in cores.
    #[serde(default)]
    pub cpu_cores: Option<f64>,
    /// Memory limit of one replica, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// What the sidecars may copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Methods.
    pub methods: Methods,
    /// Most copies waiting or under way in one sidecar.
    pub max_in_flight: u32,
    /// A copy is given up after this, in milliseconds.
    pub timeout_ms: u64,
    /// Requests with a larger body are not copied, in bytes.
    pub max_body_bytes: u64,
}

/// Methods that may be copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Methods {
    /// GET, HEAD, OPTIONS.
    #[default]
    Safe,
    /// Every method: only for applications whose shadow has its own data.
    All,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { methods: Methods::Safe, max_in_flight: 256, timeout_ms: 5_000, max_body_bytes: 1 << 20 }
    }
}

fn default_proxy() -> Vec<String> {
    vec!["foreshadow-proxy".to_owned()]
}

fn default_runtime_key() -> String {
    "foreshadow.mirror".to_owned()
}

fn default_ready_timeout_s() -> f64 {
    60.0
}

fn default_drain_s() -> f64 {
    2.0
}

/// Why a spec is refused. Exit code 78.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(String),
    /// Not JSON of this form.
    #[error("{file}:{line}:{column}: {what}")]
    Syntax {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong and what was expected.
        what: String,
    },
    /// A value that cannot be carried out.
    #[error("{field}: {what}")]
    Value {
        /// Field.
        field: &'static str,
        /// What was wrong and what would be right.
        what: String,
    },
}

impl Spec {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|e| SpecError::Read(format!("{}: {e}", path.display())))?;
        let spec: Self = serde_json::from_str(&text).map_err(|e| SpecError::Syntax {
            file: path.display().to_string(),
            line: e.line(),
            column: e.column(),
            what: e.to_string(),
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// Whether this can be carried out.
    pub fn check(&self) -> Result<(), SpecError> {
        let wrong = |field, what: String| Err(SpecError::Value { field, what });
        if self.app.command.trim().is_empty() {
            return wrong("app.command", "is empty; a shell command that listens on $PORT is needed".into());
        }
        if self.proxy_command.first().is_none_or(|program| program.is_empty()) {
            return wrong("proxy_command", "names no program".into());
        }
        if self.max == 0 || self.min > self.max {
            return wrong("max", format!("is {}; must be at least 1 and at least min ({})", self.max, self.min));
        }
        for (field, seconds) in [("app.ready_timeout_s", self.app.ready_timeout_s), ("app.drain_s", self.app.drain_s)] {
            if !(0.0..=3_600.0).contains(&seconds) {
                return wrong(field, format!("is {seconds}; must be from 0 to 3600"));
            }
        }
        if self.app.cpu_cores.is_some_and(|cores| !(0.01..=1_024.0).contains(&cores)) {
            return wrong("app.cpu_cores", "must be from 0.01 to 1024".into());
        }
        if self.app.ready_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return wrong("app.ready_path", "must begin with /".into());
        }
        if self.app.env.iter().any(|(k, v)| k.is_empty() || k.contains(['=', '\0']) || v.contains('\0')) {
            return wrong("app.env", "names must be non-empty and without `=`; neither names nor values may hold a zero byte".into());
        }
        if self.profiles.values().any(|p| !p.is_usable()) {
            return wrong("profiles", "factors must be above 0 and at most 16".into());
        }
        Ok(())
    }

    /// Predefined profiles and this spec's own.
    pub fn profiles(&self) -> Profiles {
        Profiles::with(&self.profiles)
    }

    /// Fingerprint of the application's template: what a release is here.
    pub fn release(&self) -> String {
        fingerprint(&self.app)
    }

    /// Fingerprint of everything: an orchestrator started from another spec is not the one that is wanted.
    pub fn fingerprint(&self) -> String {
        fingerprint(self)
    }
}

fn fingerprint(value: &impl Serialize) -> String {
    // Maps in a spec are ordered, so equal specs have equal text.
    format!("{:016x}", fnv1a(serde_json::to_string(value).unwrap_or_default().as_bytes()))
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): stable over builds, unlike the standard library's hasher. For names, not for secrets.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Spec {
        let text = r#"{"name":"n","state_dir":"s","replicas":2,"min":1,"max":4,"app":{"command":"serve $PORT"}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_short_spec_gets_defaults_and_survives_a_round_trip() {
        let spec = minimal();
        assert_eq!(spec.check(), Ok(()));
        assert_eq!((spec.app.drain_s, spec.mirror.methods, spec.scaler), (2.0, Methods::Safe, Scaler::None));
        assert_eq!(serde_json::from_str::<Spec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn broken_specs_say_what_and_where() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spec.json");
        std::fs::write(&file, "{\n \"name\": \"n\", \"colour\": 1}").unwrap();
        let error = Spec::load(&file).unwrap_err().to_string();
        assert!(error.contains("spec.json:2:") && error.contains("colour"), "{error}");
        type Damage = fn(&mut Spec);
        let broken: [(&str, Damage); 5] = [
            ("app.command", |s| s.app.command = " ".into()),
            ("max", |s| s.max = 0),
            ("app.drain_s", |s| s.app.drain_s = f64::NAN),
            ("app.ready_path", |s| s.app.ready_path = Some("healthz".into())),
            ("app.env", |s| drop(s.app.env.insert("A=B".into(), "x".into()))),
        ];
        for (field, damage) in broken {
            let mut spec = minimal();
            damage(&mut spec);
            assert!(spec.check().unwrap_err().to_string().starts_with(field), "{field}");
        }
    }

    #[test]
    fn a_release_is_the_template_and_nothing_else() {
        let (spec, mut other) = (minimal(), minimal());
        other.max = 9;
        assert_eq!(spec.release(), other.release());
        assert_ne!(spec.fingerprint(), other.fingerprint());
        other.app.env.insert("VERSION".into(), "2".into());
        assert_ne!(spec.release(), other.release());
    }
}

//! The agent's configuration for an arm, in the form of `config/local.yaml`.
//!
//! Called by [`crate::demo::arm`]. The arms differ in two fields only: the mode, and whether there is a shadow. Not here: what the fields mean.

use std::path::PathBuf;

/// What one arm's agent is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Whether Foreshadow acts (with a shadow) or only looks (without).
    pub acts: bool,
    /// Directory for state, history and logs.
    pub dir: PathBuf,
    /// Port of the agent's own server.
    pub server_port: u16,
    /// The application's command, with `$PORT`.
    pub command: String,
    /// Request path of the synthetic stream.
    pub path: String,
    /// Path that answers with a success once a replica is ready.
    pub ready_path: String,
    /// A slower answer is bad, in milliseconds.
    pub threshold_ms: f64,
    /// Share of answers that must be good.
    pub target_ratio: f64,
    /// Replicas at start.
    pub replicas: u32,
    /// Fewest replicas.
    pub min_replicas: u32,
    /// Most replicas.
    pub max_replicas: u32,
    /// From asking for a replica until it takes traffic, in seconds.
    pub replica_start_s: f64,
    /// Processor cores requested for one replica.
    pub cpu_cores: f64,
    /// Memory of one replica in MiB.
    pub memory_mib: u64,
    /// The share of a replica that the shadow is.
    pub profile: &'static str,
    /// Most copies a second.
    pub max_copy_rps: f64,
    /// Seed of everything random in the agent.
    pub seed: u64,
}

impl Setup {
    /// The configuration file.
    pub fn yaml(&self) -> String {
        let Self { acts, server_port, threshold_ms, target_ratio, replicas, min_replicas, max_replicas, replica_start_s, .. } = self;
        let Self { cpu_cores, memory_mib, profile, max_copy_rps, seed, .. } = self;
        let mode = if *acts { "act" } else { "observe" };
        let (command, path, ready_path) = (quoted(&self.command), quoted(&self.path), quoted(&self.ready_path));
        let state_dir = quoted(&self.dir.join("state").to_string_lossy());
        let history = quoted(&self.dir.join("history.redb").to_string_lossy());
        format!(
            "workload:
  name: demo
  mode: {mode}
  objective: {{ threshold_ms: {threshold_ms}, target_ratio: {target_ratio} }}
  bounds: {{ min_replicas: {min_replicas}, max_replicas: {max_replicas} }}
  actuation: {{ headroom: 0.95, floor_ttl_s: 20, lower_after_s: 8, max_step_up: 4 }}
  forecast:
    replica_start_s: {replica_start_s}
    horizons_s: [5, 10, 20, 40]
    train_every_s: 20
    seed: {seed}
  shadow:
    enabled: {acts}
    profiles: [{profile}]
    copies: {{ methods: safe, min_rps: 1, max_rps: {max_copy_rps}, max_fraction: 4 }}
    synthetic:
      enabled: {acts}
      requests:
        - {{ method: GET, path: {path} }}
collect: {{ interval_ms: 1000, timeout_ms: 500, stale_after_s: 5 }}
discovery:
  local:
    state_dir: {state_dir}
    front_port: 0
    scaler: external
    replicas: {replicas}
    app:
      command: {command}
      ready_path: {ready_path}
      ready_timeout_s: 60
      drain_s: 2
      resources: {{ cpu_cores: {cpu_cores}, memory_mib: {memory_mib} }}
history: {{ path: {history}, keep_hours: 24, max_mib: 256 }}
server: {{ listen: 127.0.0.1:{server_port} }}
"
        )
    }

    /// Where the orchestrator says how it is reached.
    pub fn locator(&self) -> PathBuf {
        self.dir.join("state").join("orchestrator.json")
    }

    /// Address of the live page.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}", self.server_port)
    }
}

/// A YAML double-quoted scalar: JSON's strings are a subset of it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(acts: bool) -> Setup {
        Setup {
            acts,
            dir: "/tmp/x".into(),
            server_port: 18_080,
            command: "serve --say \"hi: #1\" --port $PORT".into(),
            path: "/work".into(),
            ready_path: "/healthz".into(),
            threshold_ms: 150.0,
            target_ratio: 0.99,
            replicas: 6,
            min_replicas: 2,
            max_replicas: 12,
            replica_start_s: 5.0,
            cpu_cores: 0.1,
            memory_mib: 128,
            profile: "cpu-half",
            max_copy_rps: 400.0,
            seed: 1,
        }
    }

    /// Names of fields in a YAML text, in block or flow style.
    fn fields(text: &str) -> Vec<String> {
        let plain =
            text.lines().map(|l| l.split(" #").next().unwrap_or_default().replace(['{', '}', ','], "\n")).collect::<Vec<_>>().join("\n");
        let name = |line: &str| Some(line.trim().trim_start_matches("- ").split_once(':')?.0.trim().to_string());
        plain.lines().filter_map(name).filter(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
    }

    #[test]
    fn every_field_stands_in_the_sample_configuration() {
        let sample = fields(include_str!("../../../config/local.yaml"));
        for field in fields(&setup(true).yaml()) {
            assert!(sample.contains(&field), "{field} is not in config/local.yaml");
        }
    }

    #[test]
    fn arms_differ_in_mode_and_shadow_only() {
        let (a, b) = (setup(true).yaml(), setup(false).yaml());
        let differing: Vec<_> = a.lines().zip(b.lines()).filter(|(x, y)| x != y).map(|(x, _)| x.trim()).collect();
        assert_eq!(differing, ["mode: act", "enabled: true", "enabled: true"]);
    }

    #[test]
    fn commands_are_quoted() {
        assert!(setup(true).yaml().contains(r#"command: "serve --say \"hi: #1\" --port $PORT""#));
    }
}

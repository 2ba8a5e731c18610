//! What an instance may use, and how it is told.

use crate::local::cgroup::Resources;
use crate::local::machine::slot::{Role, Slot};
use crate::local::notes::Notes;
use crate::local::spec::Spec;

/// Production's limits, or what the shadow's profile makes of them. A factor needs something to be a factor of: without a processor limit
/// that is the whole machine; without a memory limit there is nothing sensible, and that is said.
pub fn of(spec: &Spec, slot: &Slot, notes: &mut Notes) -> Resources {
    let production = Resources { cpu_cores: spec.app.cpu_cores, memory_bytes: spec.app.memory_bytes };
    let Some(profile) = spec.profiles().get(&slot.profile).filter(|_| slot.role == Role::Shadow) else { return production };
    let machine = || std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let cpu_cores =
        if profile.cpu == 1.0 { production.cpu_cores } else { Some(production.cpu_cores.unwrap_or_else(machine) * profile.cpu) };
    if profile.memory != 1.0 && production.memory_bytes.is_none() {
        notes.add(format!("profile {} changes no memory limit: app.resources.memory_mib is not set", slot.profile));
    }
    let memory_bytes = production.memory_bytes.map(|bytes| (bytes as f64 * profile.memory) as u64);
    Resources { cpu_cores, memory_bytes }
}

/// Environment that tells an application where to listen, what it is, and what it may use.
pub fn environment(role: Role, port: u16, resources: &Resources) -> Vec<(String, String)> {
    let role = if role == Role::Shadow { "shadow" } else { "production" };
    let mut env = vec![("PORT".to_owned(), port.to_string()), ("FORESHADOW_ROLE".to_owned(), role.to_owned())];
    if let Some(cores) = resources.cpu_cores {
        env.push(("CPU_LIMIT_MILLIS".to_owned(), format!("{:.0}", (cores * 1_000.0).max(1.0))));
    }
    if let Some(bytes) = resources.memory_bytes {
        env.push(("MEMORY_LIMIT_BYTES".to_owned(), bytes.to_string()));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::machine::clock::Now;

    fn limits(role: Role, profile: &str, cpu: Option<f64>, memory: Option<u64>) -> (Resources, usize) {
        let text = r#"{"name":"n","state_dir":"s","replicas":1,"min":1,"max":1,"app":{"command":"x"}}"#;
        let mut spec: Spec = serde_json::from_str(text).unwrap();
        (spec.app.cpu_cores, spec.app.memory_bytes) = (cpu, memory);
        let slot = Slot::new("one".into(), role, profile.into(), 1.0, Now::at_s(0.0));
        let mut notes = Notes::default();
        (of(&spec, &slot, &mut notes), notes.list().len())
    }

    #[test]
    fn profiles_change_one_axis_of_the_shadow_only() {
        let resources = |cpu_cores, memory_bytes| (Resources { cpu_cores, memory_bytes }, 0);
        let full = (Some(0.4), Some(1_000));
        assert_eq!(limits(Role::Production, "production", full.0, full.1), resources(Some(0.4), Some(1_000)));
        assert_eq!(limits(Role::Shadow, "same", full.0, full.1), resources(Some(0.4), Some(1_000)));
        assert_eq!(limits(Role::Shadow, "cpu-half", full.0, full.1), resources(Some(0.2), Some(1_000)));
        assert_eq!(limits(Role::Shadow, "memory-half", full.0, full.1), resources(Some(0.4), Some(500)));
        assert_eq!(limits(Role::Shadow, "same", None, None), resources(None, None));
    }

    #[test]
    fn a_factor_of_nothing_is_the_machine_or_said() {
        let (resources, notes) = limits(Role::Shadow, "cpu-half", None, None);
        assert!(resources.cpu_cores.unwrap() >= 0.5 && notes == 0);
        let (resources, notes) = limits(Role::Shadow, "memory-half", None, None);
        assert_eq!((resources.memory_bytes, notes), (None, 1));
    }

    #[test]
    fn an_application_is_told_what_it_is_and_may_use() {
        let resources = Resources { cpu_cores: Some(0.25), memory_bytes: Some(5) };
        let env = environment(Role::Shadow, 81, &resources);
        let text: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(text, ["PORT=81", "FORESHADOW_ROLE=shadow", "CPU_LIMIT_MILLIS=250", "MEMORY_LIMIT_BYTES=5"]);
    }
}

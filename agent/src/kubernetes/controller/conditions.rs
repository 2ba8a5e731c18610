//! What was found, as conditions: pure, so that every wording is tested without a cluster.

use crate::kubernetes::crd::shadow::Methods;
use crate::kubernetes::crd::status::{READY, SHADOW_READY, SIDECARS_READY};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Condition's type.
    pub kind: &'static str,
    /// Whether it holds; `None`: cannot be told.
    pub holds: Option<bool>,
    /// One word.
    pub reason: &'static str,
    /// What people should know or do.
    pub message: String,
}

impl Finding {
    /// Makes one.
    pub fn new(kind: &'static str, holds: Option<bool>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds, reason, message: message.into() }
    }
}

/// The findings with `Ready`, which holds when all of them do.
pub fn with_ready(mut findings: Vec<Finding>) -> Vec<Finding> {
    let first = findings.iter().find(|f| f.holds == Some(false)).or_else(|| findings.iter().find(|f| f.holds.is_none()));
    let ready = match first {
        Some(first) => Finding::new(READY, Some(false), first.reason, first.message.clone()),
        None => Finding::new(READY, Some(true), "InPlace", "everything that was asked for is in place"),
    };
    findings.insert(0, ready);
    findings
}

/// Findings as conditions. The time of a condition is that of its last change of status, from `before`.
pub fn conditions(findings: &[Finding], before: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let one = |found: &Finding| {
        let status = found.holds.map_or("Unknown", |holds| if holds { "True" } else { "False" });
        let old = before.iter().find(|c| c.type_ == found.kind && c.status == status);
        Condition {
            type_: found.kind.to_owned(),
            status: status.to_owned(),
            reason: found.reason.to_owned(),
            message: found.message.clone(),
            observed_generation: generation,
            last_transition_time: old.map_or(Time(now), |c| c.last_transition_time.clone()),
        }
    };
    findings.iter().map(one).collect()
}

/// Findings that were not so before: worth an Event.
pub fn news<'a>(findings: &'a [Finding], before: &[Condition]) -> Vec<&'a Finding> {
    let told = |f: &Finding| before.iter().any(|c| c.type_ == f.kind && c.reason == f.reason);
    findings.iter().filter(|f| !told(f) && f.kind != READY).collect()
}

/// One of production's pods, as far as its sidecar goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSidecar {
    /// What injection left, if anything.
    pub injected: Option<String>,
}

/// Whether production's pods have sidecars with the settings that hold now.
pub fn sidecars(workload: &str, pods: &[PodSidecar], methods: Methods, namespace_enabled: bool) -> Finding {
    let total = pods.len();
    let injected: Vec<&String> = pods.iter().filter_map(|p| p.injected.as_ref()).collect();
    let finding = |holds, reason, message: String| Finding::new(SIDECARS_READY, holds, reason, message);
    if total == 0 {
        return finding(None, "NoPods", format!("{workload} has no pods"));
    }
    if injected.len() < total {
        let missing = total - injected.len();
        let (kind, name) = workload.split_once('/').unwrap_or(("deployment", workload));
        let restart = format!("kubectl rollout restart {}/{name}", kind.to_ascii_lowercase());
        let label = if namespace_enabled { String::new() } else { "label the namespace foreshadow.dev/inject=enabled, then ".to_owned() };
        let reason = if injected.is_empty() { "NotInjected" } else { "PartlyInjected" };
        return finding(Some(false), reason, format!("{missing} of {total} pods have no sidecar: {label}{restart}"));
    }
    let wanted = if methods == Methods::All { "all" } else { "safe" };
    let outdated = injected.iter().filter(|s| !has_methods(s, wanted)).count();
    if outdated > 0 {
        let message = format!("{outdated} of {total} pods copy other methods than `{wanted}` until they are restarted");
        return finding(Some(false), "Outdated", message);
    }
    finding(Some(true), "Injected", format!("{total} of {total} pods have a sidecar"))
}

fn has_methods(status: &str, wanted: &str) -> bool {
    serde_json::from_str::<Value>(status).is_ok_and(|s| s["methods"] == wanted)
}

/// Whether the shadow is up, from its Deployment.
pub fn shadow(deployment: &Value, notes: &[String]) -> Finding {
    let status = &deployment["status"];
    let current = status["observedGeneration"].as_i64() >= deployment["metadata"]["generation"].as_i64();
    let updated = status["updatedReplicas"].as_u64().unwrap_or(0);
    let ready = status["readyReplicas"].as_u64().unwrap_or(0);
    let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    let refused = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True");
    if let Some(refused) = refused {
        let why = refused["message"].as_str().unwrap_or("its pod is refused");
        return Finding::new(SHADOW_READY, Some(false), "PodRefused", format!("{why}{notes}"));
    }
    if current && updated >= 1 && ready >= 1 {
        return Finding::new(SHADOW_READY, Some(true), "Running", format!("it runs production's release{notes}"));
    }
    Finding::new(SHADOW_READY, Some(false), "Starting", format!("its pod is not ready yet{notes}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(methods: Option<&str>) -> PodSidecar {
        PodSidecar { injected: methods.map(|m| json!({ "methods": m }).to_string()) }
    }

    #[test]
    fn sidecars_say_what_to_do() {
        let said = |pods: &[PodSidecar], enabled| {
            let f = sidecars("Deployment/web", pods, Methods::Safe, enabled);
            (f.holds, f.reason, f.message)
        };
        assert_eq!(said(&[], true).1, "NoPods");
        let (holds, reason, message) = said(&[pod(None), pod(None)], false);
        assert_eq!((holds, reason), (Some(false), "NotInjected"));
        assert_eq!(
            message,
            "2 of 2 pods have no sidecar: label the namespace foreshadow.dev/inject=enabled, then kubectl rollout restart deployment/web"
        );
        assert_eq!(said(&[pod(Some("safe")), pod(None)], true).1, "PartlyInjected");
        assert_eq!(said(&[pod(Some("all"))], true).1, "Outdated");
        assert_eq!(said(&[pod(Some("safe"))], true).0, Some(true));
    }

    #[test]
    fn ready_gives_the_first_reason_against_it() {
        let no = Finding::new(SHADOW_READY, Some(false), "Starting", "wait");
        let unknown = Finding::new(SIDECARS_READY, None, "NoPods", "none");
        let all = with_ready(vec![unknown.clone(), no]);
        assert_eq!((all[0].kind, all[0].holds, all[0].reason), (READY, Some(false), "Starting"));
        assert_eq!(with_ready(vec![unknown])[0].reason, "NoPods");
        assert_eq!(with_ready(Vec::new())[0].holds, Some(true));
    }

    #[test]
    fn a_conditions_time_is_that_of_its_last_change() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let found = |holds| [Finding::new(READY, Some(holds), "R", "m")];
        let first = conditions(&found(true), &[], Some(1), at(10));
        let second = conditions(&found(true), &first, Some(2), at(20));
        assert_eq!((second[0].last_transition_time.0, second[0].observed_generation), (at(10), Some(2)));
        assert_eq!(conditions(&found(false), &second, Some(2), at(30))[0].last_transition_time.0, at(30));
    }

    #[test]
    fn only_what_is_new_is_told() {
        let found = [Finding::new(SHADOW_READY, Some(true), "Running", "m"), Finding::new(SIDECARS_READY, Some(true), "Injected", "m")];
        let before = conditions(&found[..1], &[], None, Timestamp::UNIX_EPOCH);
        assert_eq!(news(&found, &before), [&found[1]]);
    }

    #[test]
    fn a_shadow_is_ready_when_the_current_release_is() {
        let deployment = |generation: i64, observed: i64, ready: u64| json!({ "metadata": { "generation": generation }, "status": { "observedGeneration": observed, "updatedReplicas": 1, "readyReplicas": ready } });
        assert_eq!(shadow(&deployment(2, 2, 1), &[]).holds, Some(true));
        assert_eq!(shadow(&deployment(3, 2, 1), &[]).reason, "Starting");
        let refused = json!({ "status": { "conditions": [{ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" }] } });
        assert_eq!(shadow(&refused, &["note".into()]).message, "exceeded quota; note");
    }
}

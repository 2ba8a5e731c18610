//! From a ShadowScaler's spec to what the decision core and the actor are told. Pure; called whenever a spec changes.

use crate::config::model::Mode;
use crate::kubernetes::act::scaler::{Target, quantity};
use crate::kubernetes::crd::{self, ShadowScalerSpec, TargetKind};
use foreshadow_brain::Settings;
use foreshadow_snapshot::RequestShape;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// What the decision core is told.
pub fn settings(spec: &ShadowScalerSpec) -> Settings {
    let replicas = &spec.actuation.replicas;
    Settings {
        threshold_ms: spec.objective.threshold_ms,
        target_ratio: spec.objective.target_ratio,
        min_replicas: spec.bounds.min_replicas,
        max_replicas: spec.bounds.max_replicas,
        replica_start_s: spec.forecast.replica_start_seconds,
        horizons_s: spec.forecast.horizons_seconds.clone(),
        headroom: replicas.headroom,
        floor_ttl_s: f64::from(replicas.floor_ttl_seconds),
        lower_after_s: f64::from(replicas.lower_after_seconds),
        max_step_up: replicas.max_step_up,
        copy_rate_rps: (spec.shadow.copies.min_rps, spec.shadow.copies.max_rps),
        max_fraction: spec.shadow.copies.max_fraction,
        train_every_s: spec.forecast.train_every_seconds,
        seed: u64::from(spec.forecast.seed),
        ..Settings::default()
    }
}

/// How much may be done about the number of replicas.
pub fn mode(spec: &ShadowScalerSpec) -> Mode {
    match (spec.mode, spec.actuation.replicas.enabled) {
        (crd::Mode::Observe, _) | (crd::Mode::Act, false) => Mode::Observe,
        (crd::Mode::Recommend, _) => Mode::Recommend,
        (crd::Mode::Act, true) => Mode::Act,
    }
}

/// The workload.
pub fn target(spec: &ShadowScalerSpec) -> Target {
    let target = &spec.target_ref;
    Target { api_version: target.api_version.clone(), kind: kind(target.kind).into(), name: target.name.clone() }
}

/// Its kind, as it is spelled.
pub fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Deployment => "Deployment",
        TargetKind::StatefulSet => "StatefulSet",
    }
}

/// Requests of the synthetic stream until real shapes have been seen.
pub fn requests(spec: &ShadowScalerSpec) -> Vec<RequestShape> {
    let method = |r: &crd::shadow::Request| serde_json::to_value(r.method).ok().and_then(|m| m.as_str().map(str::to_owned));
    let shape =
        |r: &crd::shadow::Request| RequestShape { method: method(r).unwrap_or_default(), path: r.path.clone(), host: String::new() };
    spec.shadow.synthetic.requests.iter().map(shape).collect()
}

/// Cost of a shadow that runs as `profile`, relative to one production replica by the price list.
pub fn size(spec: &ShadowScalerSpec, profile: &str, production: Option<&PodSpec>) -> f64 {
    let Some(profile) = spec.shadow.profile(profile) else { return 1.0 };
    let total = |resource: &str| -> f64 {
        let containers = production.map(|p| p.containers.as_slice()).unwrap_or_default();
        let given = containers.iter().filter_map(|c| {
            let resources = c.resources.as_ref()?;
            let requests = resources.requests.as_ref().and_then(|r| r.get(resource));
            let limits = || resources.limits.as_ref().and_then(|l| l.get(resource));
            quantity(&Value::String(requests.or_else(limits)?.0.clone()))
        });
        given.sum()
    };
    let cpu = spec.cost.cpu_core_hour * total("cpu");
    let memory = spec.cost.memory_gib_hour * total("memory") / f64::from(1_u32 << 30);
    if cpu + memory <= 0.0 { (profile.cpu + profile.memory) / 2.0 } else { (cpu * profile.cpu + memory * profile.memory) / (cpu + memory) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(changes: Value) -> ShadowScalerSpec {
        let mut all = json!({"targetRef": {"name": "web"}, "objective": {"thresholdMs": 250}});
        changes.as_object().unwrap().iter().for_each(|(k, v)| all[k] = v.clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn the_core_is_told_what_the_spec_says() {
        let s = settings(&spec(json!({"bounds": {"minReplicas": 2, "maxReplicas": 9}})));
        assert_eq!((s.threshold_ms, s.min_replicas, s.max_replicas, s.floor_ttl_s), (250.0, 2, 9, 120.0));
        assert_eq!(s.clone(), s.sane(), "every default makes sense to the core");
    }

    #[test]
    fn an_axis_that_is_off_is_only_observed() {
        assert_eq!(mode(&spec(json!({}))), Mode::Observe);
        assert_eq!(mode(&spec(json!({"mode": "Act"}))), Mode::Act);
        assert_eq!(mode(&spec(json!({"mode": "Act", "actuation": {"replicas": {"enabled": false}}}))), Mode::Observe);
        assert_eq!(mode(&spec(json!({"mode": "Recommend"}))), Mode::Recommend);
    }

    #[test]
    fn a_shadow_costs_what_the_price_list_says() {
        let half = spec(json!({}));
        let pod: PodSpec =
            serde_json::from_value(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}))
                .unwrap();
        let expected = (0.03 * 0.5 + 0.004) / 0.034;
        assert!((size(&half, "cpu-half", Some(&pod)) - expected).abs() < 1e-9);
        assert_eq!(size(&half, "cpu-half", None), 0.75, "nothing is known of its size");
        assert_eq!(size(&half, "gone", Some(&pod)), 1.0);
    }

    #[test]
    fn synthetic_requests_have_methods_that_do_not_write() {
        let s = spec(json!({"shadow": {"synthetic": {"requests": [{"path": "/a"}, {"path": "/b", "method": "HEAD"}]}}}));
        let methods: Vec<String> = requests(&s).into_iter().map(|r| r.method).collect();
        assert_eq!(methods, ["GET", "HEAD"]);
    }
}

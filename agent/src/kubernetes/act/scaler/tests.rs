//! Which scaler a workload has, over the situations that Kubernetes allows.

use super::*;
use serde_json::json;

fn object(text: Value) -> DynamicObject {
    serde_json::from_value(text).unwrap()
}

fn hpa(name: &str, target: &str) -> DynamicObject {
    object(json!({"metadata": {"name": name}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}}}))
}

fn target() -> Target {
    Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "shop".into() }
}

fn scaled(name: &str, annotations: Value) -> DynamicObject {
    object(json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"scaleTargetRef": {"name": "shop"}}}))
}

#[test]
fn finds_the_one_scaler_there_is() {
    let mut near = Neighbours { hpas: vec![hpa("other", "cart")], ..Neighbours::default() };
    assert_eq!(place(&target(), &near), Ok(Place { kind: Kind::Scale, name: "shop".into() }));
    near.hpas.push(hpa("h", "shop"));
    assert_eq!(place(&target(), &near), Ok(Place { kind: Kind::Hpa, name: "h".into() }));
}

#[test]
fn keda_s_own_hpa_is_not_written_to() {
    let mut own = hpa("keda-hpa-s", "shop");
    own.metadata.owner_references =
        serde_json::from_value(json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "s", "uid": "u"}])).unwrap();
    let near = Neighbours { hpas: vec![own], scaled_objects: vec![scaled("s", json!({}))], ..Neighbours::default() };
    assert_eq!(place(&target(), &near), Ok(Place { kind: Kind::Keda, name: "s".into() }));
}

#[test]
fn two_scalers_paused_ones_and_disabled_ones_are_told_in_words() {
    let says = |near: &Neighbours| place(&target(), near).unwrap_err().to_string();
    let two = Neighbours { hpas: vec![hpa("a", "shop"), hpa("b", "shop")], ..Neighbours::default() };
    assert!(says(&two).contains("HPA a and HPA b"), "{}", says(&two));
    let mixed = Neighbours { hpas: vec![hpa("a", "shop")], scaled_objects: vec![scaled("s", json!({}))], ..Neighbours::default() };
    assert!(says(&mixed).contains("HPA a and ScaledObject s"));
    let paused =
        Neighbours { scaled_objects: vec![scaled("s", json!({"autoscaling.keda.sh/paused-replicas": "2"}))], ..Neighbours::default() };
    assert!(says(&paused).contains("paused"));
    let mut ambiguous = hpa("a", "shop");
    ambiguous.data["status"]["conditions"] = json!([{"type": "ScalingActive", "status": "False", "reason": "AmbiguousSelector"}]);
    assert!(says(&Neighbours { hpas: vec![ambiguous], ..Neighbours::default() }).contains("AmbiguousSelector"));
}

#[test]
fn a_vertical_scaler_that_acts_has_the_resize_axis() {
    let vpa = |mode: &str| {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"});
        let vpa = json!({"metadata": {"name": "v"}, "spec": {"targetRef": reference, "updatePolicy": {"updateMode": mode}}});
        Neighbours { vpas: vec![object(vpa)], ..Neighbours::default() }
    };
    assert_eq!(vertical(&target(), &vpa("Off")), None);
    assert_eq!(vertical(&target(), &vpa("Recreate")), Some("v".into()));
}

#[test]
fn the_reactive_wish_is_seen_through_the_floor() {
    let with = |minimum: u32, desired: u32, utilization: u32| {
        object(json!({
            "metadata": {"name": "h"},
            "spec": {"minReplicas": minimum, "maxReplicas": 12, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]},
            "status": {"currentReplicas": 6, "desiredReplicas": desired, "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": utilization, "averageValue": "120m"}}}]},
        }))
    };
    assert_eq!(reactive(&with(2, 7, 70)), Some(7), "above the floor it says so itself");
    assert_eq!(reactive(&with(6, 6, 30)), Some(3), "half the target on six replicas");
    assert_eq!(reactive(&with(6, 6, 63)), Some(6), "within tolerance");
    assert_eq!(reactive(&object(json!({"metadata": {}, "spec": {}, "status": {"desiredReplicas": 1}}))), None);
}

#[test]
fn quantities_of_all_forms() {
    for (text, value) in [("250m", 0.25), ("2", 2.0), ("1Gi", 1_073_741_824.0), ("1.5k", 1_500.0), ("1e3", 1_000.0)] {
        assert_eq!(quantity(&json!(text)), Some(value), "{text}");
    }
    assert_eq!((quantity(&json!(3)), quantity(&json!("x")), quantity(&Value::Null)), (Some(3.0), None, None));
}

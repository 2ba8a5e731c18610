use super::*;
use foreshadow_brain::decision::{Alarm, Forecast};
use foreshadow_brain::sample::{PathSample, ScaleState, ShadowSample};
use serde_json::{Value, json};

fn spec(changes: Value) -> ShadowScalerSpec {
    let mut all = json!({
        "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 }, "bounds": { "minReplicas": 1, "maxReplicas": 20 },
        "shadow": { "profiles": ["cpu-half", "double", "cheap"], "customProfiles": [
            { "name": "double", "cpu": 2.0 }, { "name": "cheap", "nodeSelector": { "pool": "spot" } }] },
        "actuation": {
            "resources": { "enabled": true, "cpu": { "min": "250m", "max": "2" } },
            "class": { "enabled": true, "classes": [
                { "name": "cheap", "nodeSelector": { "pool": "spot" }, "relativeCost": 0.4 },
                { "name": "same", "nodeSelector": { "pool": "standard" }, "relativeCost": 1.0 }] },
        },
    });
    for (pointer, value) in changes.as_object().unwrap() {
        *all.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn size(cpu: &str) -> Size {
    let of: BTreeMap<String, String> = [("cpu".to_owned(), cpu.to_owned()), ("memory".to_owned(), "256Mi".to_owned())].into();
    Size { requests: of.clone(), limits: of }
}

/// Shares of a replica's capacity by profile.
fn measured(shares: &[(&str, f64)]) -> Measured {
    let mut measured = Measured::default();
    for (profile, share) in shares {
        let shadow = ShadowSample { profile: (*profile).to_owned(), ready: true, ..ShadowSample::default() };
        let scale = ScaleState { replica_cores: Some(1.0), ..ScaleState::default() };
        let sample = Sample { at_ms: 1_000, shadow: Some(shadow), scale, ..Sample::default() };
        let decision = Decision { shadow_scale: Some(*share), capacity_rps: Some(Band::default()), ..Decision::default() };
        (0..150).for_each(|_| measured.learn(&sample, &decision));
    }
    measured
}

fn band(middle: f64) -> Option<Band> {
    Some(Band { p10: middle * 0.95, p50: middle, p90: middle * 1.05 })
}

/// Ready replicas of 100 requests a second each, and a load to come.
fn chosen(spec: &ShadowScalerSpec, measured: &Measured, ready: u32, load: f64) -> Choice {
    let forecast = |load| Forecast { load_rps: band(load), ..Forecast::default() };
    let decision = Decision { capacity_rps: band(100.0), forecasts: vec![forecast(load / 2.0), forecast(load)], ..Decision::default() };
    with(spec, measured, &decision, ScaleState { ready, ..ScaleState::default() })
}

fn with(spec: &ShadowScalerSpec, measured: &Measured, decision: &Decision, scale: ScaleState) -> Choice {
    let sample = Sample { at_ms: 2_000, production: Some(PathSample::default()), scale, ..Sample::default() };
    let settings = crate::kubernetes::node::settings::settings(spec);
    let running = Sizing { container: "app".into(), size: size("1") };
    let nodes = [("pool".to_owned(), "standard".to_owned())].into();
    let annotations = BTreeMap::new();
    choose(Seen {
        spec,
        settings: &settings,
        template: &size("1"),
        running: &running,
        nodes: &nodes,
        annotations: &annotations,
        measured,
        sample: &sample,
        decision,
    })
}

#[test]
fn a_size_that_carries_the_load_for_less_is_taken() {
    let Choice::Change(change, why) = chosen(&spec(json!({})), &measured(&[("cpu-half", 0.45), ("double", 2.9)]), 10, 700.0) else {
        panic!()
    };
    let expected = Size { requests: size("2000m").requests, limits: size("2000m").limits };
    assert_eq!(change, Change::Size(Sizing { container: "app".into(), size: expected }), "{why}");
    assert!(why.contains("other cores"), "{why}");
}

#[test]
fn a_class_that_costs_less_is_taken_and_no_two_axes_at_once() {
    let Choice::Change(change, why) = chosen(&spec(json!({})), &measured(&[("cheap", 0.9)]), 10, 700.0) else { panic!() };
    assert_eq!(change, Change::Class([("pool".to_owned(), "spot".to_owned())].into()), "{why}");
}

#[test]
fn bandwidth_that_nobody_needs_is_given_back_where_it_has_a_price() {
    let mut spec = spec(json!({ "/actuation/resources/enabled": false, "/actuation/class/enabled": false }));
    spec.shadow.profiles.push("narrow".into());
    let narrow = json!({ "name": "narrow", "bandwidth": "50M" });
    spec.shadow.custom_profiles.push(serde_json::from_value(narrow).unwrap());
    spec.actuation.bandwidth = serde_json::from_value(json!({ "enabled": true, "bounds": { "min": "10M", "max": "1G" } })).unwrap();
    let measured = measured(&[("narrow", 0.99)]);
    assert!(matches!(chosen(&spec, &measured, 10, 700.0), Choice::Stay(_)), "it costs nothing");
    spec.cost.bandwidth_gbit_hour = 0.1;
    let Choice::Change(change, why) = chosen(&spec, &measured, 10, 700.0) else { panic!() };
    assert_eq!(change, Change::Bandwidth { ingress: "50M".into(), egress: "50M".into() }, "{why}");
    assert!(why.contains("other bandwidth"), "{why}");
}

#[test]
fn bounds_and_axes_that_are_off_are_kept_to() {
    let all = measured(&[("double", 2.9), ("cheap", 0.9)]);
    let narrow = spec(json!({ "/actuation/resources/cpu/max": "1500m", "/actuation/class/enabled": false }));
    assert!(matches!(chosen(&narrow, &all, 10, 700.0), Choice::Stay(why) if why.contains("no profile")));
    let off = spec(json!({ "/actuation/resources/enabled": false, "/actuation/class/enabled": false }));
    assert!(matches!(chosen(&off, &all, 10, 700.0), Choice::Stay(why) if why.contains("no profile")));
}

#[test]
fn what_saves_little_or_wants_more_replicas_first_stays() {
    let little = chosen(&spec(json!({})), &measured(&[("double", 2.05)]), 10, 700.0);
    assert!(matches!(&little, Choice::Stay(why) if why.contains("saves")), "{little:?}");
    let more = chosen(&spec(json!({})), &measured(&[("cpu-half", 0.8)]), 8, 620.0);
    assert!(matches!(&more, Choice::Stay(why) if why.contains("have to be ready first")), "{more:?}");
}

#[test]
fn nothing_is_done_on_old_numbers_or_while_replicas_start() {
    let (spec, measured) = (spec(json!({})), measured(&[("double", 2.9)]));
    let fresh = Decision {
        capacity_rps: band(100.0),
        forecasts: vec![Forecast { load_rps: band(700.0), ..Forecast::default() }],
        ..Decision::default()
    };
    let ready = ScaleState { ready: 10, ..ScaleState::default() };
    assert!(matches!(with(&spec, &measured, &fresh, ready.clone()), Choice::Change(..)));
    assert!(matches!(with(&spec, &measured, &fresh, ScaleState { starting: 1, ..ready.clone() }), Choice::Stay(_)));
    let stale = Decision { alarms: vec![Alarm { kind: "stale_data".into(), ..Alarm::default() }], ..fresh.clone() };
    assert!(matches!(with(&spec, &measured, &stale, ready.clone()), Choice::Stay(_)));
    assert!(matches!(with(&spec, &measured, &Decision::default(), ready), Choice::Stay(why) if why.contains("not known")));
}

//! The shadow, from templates as people have them.

use super::*;
use crate::kubernetes::crd::ShadowScalerSpec;

fn scaler(shadow: Value) -> ShadowScaler {
    let spec: ShadowScalerSpec =
        serde_json::from_value(json!({ "targetRef": { "name": "web" }, "objective": { "thresholdMs": 100 }, "shadow": shadow })).unwrap();
    let mut scaler = ShadowScaler::new("web", spec);
    scaler.metadata.namespace = Some("shop".into());
    scaler.metadata.uid = Some("0000".into());
    scaler
}

fn template() -> Value {
    json!({
        "metadata": { "labels": { "app": "web" }, "annotations": { "prometheus.io/scrape": "true", "team": "shop" } },
        "spec": {
            "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }],
            "affinity": { "podAntiAffinity": {}, "nodeAffinity": { "kept": true } },
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }, { "name": "conf", "configMap": { "name": "c" } }],
            "containers": [{
                "name": "app", "image": "app:1",
                "ports": [{ "name": "http", "containerPort": 8080, "hostPort": 80 }],
                "env": [{ "name": "DB", "value": "production" }, { "name": "KEY", "value": "secret" }],
                "livenessProbe": { "httpGet": { "path": "/", "port": "http" } },
                "resources": { "requests": { "cpu": "500m", "memory": "256Mi" }, "limits": { "cpu": "1", "memory": "512Mi" } },
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "claimed", "mountPath": "/claimed" }],
            }, { "name": "other-mesh", "image": "mesh:1" }],
        },
    })
}

fn built(shadow: Value, profile: &str) -> Result<Shadow, Impossible> {
    let (scaler, template) = (scaler(shadow), template());
    let ports = inject::ports::choose(&template, &[]).unwrap();
    build(Blueprint { scaler: &scaler, template: &template, profile, ports: &ports })
}

fn pod(shadow: &Shadow) -> &Value {
    shadow.deployment.pointer("/spec/template").unwrap()
}

#[test]
fn its_labels_and_selectors_are_its_own() {
    let shadow = built(json!({}), "same").unwrap();
    let labels = json!({ "foreshadow.dev/role": "shadow", "foreshadow.dev/scaler": "web" });
    assert_eq!(pod(&shadow).pointer("/metadata/labels"), Some(&labels));
    assert_eq!(shadow.deployment.pointer("/spec/selector/matchLabels"), Some(&labels));
    assert_eq!(shadow.service.pointer("/spec/selector"), Some(&labels));
    assert_eq!(shadow.deployment.pointer("/metadata/name"), Some(&json!("web-shadow")));
    assert_eq!(shadow.deployment.pointer("/metadata/ownerReferences/0/uid"), Some(&json!("0000")));
}

#[test]
fn it_runs_what_production_runs_without_touching_what_is_productions() {
    let shadow = built(json!({ "env": { "DB": "sandbox", "KEY": "" }, "excludeContainers": ["other-mesh"] }), "same").unwrap();
    let spec = &pod(&shadow)["spec"];
    assert_eq!(spec["containers"].as_array().map(Vec::len), Some(1));
    let container = &spec["containers"][0];
    assert_eq!(container["image"], "app:1");
    assert_eq!(container["env"], json!([{ "name": "DB", "value": "sandbox" }, { "name": "FORESHADOW_ROLE", "value": "shadow" }]));
    assert_eq!(container["ports"], json!([{ "name": "http", "containerPort": 8080 }]));
    assert_eq!(container["livenessProbe"]["failureThreshold"], 15);
    assert_eq!(spec["priorityClassName"], "foreshadow-shadow");
    assert_eq!(spec["affinity"], json!({ "nodeAffinity": { "kept": true } }));
    assert!(spec.get("topologySpreadConstraints").is_none());
    let volumes = json!([{ "name": "data", "emptyDir": {} }, { "name": "conf", "configMap": { "name": "c" } }, { "name": "claimed", "emptyDir": {} }]);
    assert_eq!((&spec["volumes"], shadow.notes.len()), (&volumes, 2));
    assert_eq!(pod(&shadow).pointer("/metadata/annotations"), Some(&json!({ "foreshadow.dev/inject": "disabled", "team": "shop" })));
}

#[test]
fn profiles_change_one_axis() {
    let sizes = |profile: &str| pod(&built(json!({}), profile).unwrap()).pointer("/spec/containers/0/resources").cloned().unwrap();
    let size =
        |rc: &str, rm: &str, lc: &str, lm: &str| json!({ "requests": { "cpu": rc, "memory": rm }, "limits": { "cpu": lc, "memory": lm } });
    assert_eq!(sizes("same"), size("500m", "256Mi", "1", "512Mi"));
    assert_eq!(sizes("cpu-half"), size("250m", "256Mi", "500m", "512Mi"));
    assert_eq!(sizes("cpu-quarter"), size("125m", "256Mi", "250m", "512Mi"));
    assert_eq!(sizes("memory-half"), size("500m", "128Mi", "1", "256Mi"));
    let custom = json!({ "profiles": ["slow"], "customProfiles": [{ "name": "slow", "bandwidth": "10M" }] });
    let slow = built(custom, "slow").unwrap();
    assert_eq!(pod(&slow).pointer("/metadata/annotations/kubernetes.io~1egress-bandwidth"), Some(&json!("10M")));
    let class = json!({ "profiles": ["arm"], "customProfiles": [{ "name": "arm", "nodeSelector": { "kubernetes.io/arch": "arm64" } }] });
    assert_eq!(pod(&built(class, "arm").unwrap()).pointer("/spec/nodeSelector"), Some(&json!({ "kubernetes.io/arch": "arm64" })));
    assert_eq!(built(json!({}), "huge"), Err(Impossible::NoProfile("huge".into())));
}

#[test]
fn profiles_take_turns_from_the_creation_on() {
    let mut scaler = scaler(json!({ "profiles": ["same", "cpu-half"], "cycleMinutes": 10 }));
    let created = k8s_openapi::jiff::Timestamp::from_second(1_000).unwrap();
    scaler.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
    let at = |s| profile_at(&scaler, s);
    assert_eq!((at(1_000), at(1_599)), (("same".into(), 600), ("same".into(), 1)));
    assert_eq!((at(1_600), at(2_200)), (("cpu-half".into(), 600), ("same".into(), 600)));
    assert_eq!(at(0), ("same".into(), 600), "a clock that runs behind");
}

#[test]
fn a_template_injected_by_hand_gives_the_same_shadow() {
    let original = template();
    for (takeover, ports) in [("named-port", 1), ("redirect", 1)] {
        let mut injected = original.clone();
        injected["metadata"]["annotations"]["foreshadow.dev/takeover"] = json!(takeover);
        let settings = inject::Settings {
            proxy_image: "p".into(),
            init_image: "i".into(),
            pull_policy: None,
            native: inject::Native::Always,
            families: inject::Families::V4,
            takeover: inject::Takeover::Auto,
            methods: crate::kubernetes::crd::shadow::Methods::Safe,
        };
        assert!(matches!(inject::inject(&mut injected, &settings, &inject::Around::default()), inject::Outcome::Injected(_)));
        assert!(inject::remove::remove(&mut injected));
        assert_eq!(injected["spec"]["containers"][0]["ports"], original["spec"]["containers"][0]["ports"], "{takeover}");
        let (one, two) = (injected["spec"].clone(), original["spec"].clone());
        let probe = |v: &Value| v.pointer("/containers/0/livenessProbe/httpGet/port").cloned();
        assert_eq!(probe(&one), Some(json!(8080)), "{takeover}: the number in place of the name");
        assert_eq!((one["volumes"].clone(), one.get("initContainers")), (two["volumes"].clone(), None), "{takeover} {ports}");
    }
}

#[test]
fn endpoint_names_only_grow() {
    let scaler = scaler(json!({}));
    let port = |number| Port { number, name: None, container: None, http2: false };
    let file = |map: Value| map["data"][names::SHADOW_FILE].as_str().unwrap().to_owned();
    let first = file(endpoints_config_map(&scaler, &[port(8080), port(8081)], Some("10.0.0.7"), None));
    assert_eq!(inject::proxy_config::endpoint_names(&first), ["shadow", "shadow-8080", "shadow-8081"].map(str::to_owned).into());
    let second = file(endpoints_config_map(&scaler, &[port(9090)], None, Some(&first)));
    let all: Vec<String> = inject::proxy_config::endpoint_names(&second).into_iter().collect();
    assert_eq!(all, ["shadow", "shadow-8080", "shadow-8081", "shadow-9090"]);
    assert!(!second.contains("10.0.0.7") && second.contains("endpoints: []"));
}

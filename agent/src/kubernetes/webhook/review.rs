//! One question of the API server and its answer. Pure: what is known of the surroundings is given.
//!
//! Promise: a pod is never refused. Without a sidecar it comes in as it is, and the reason comes back as a warning.

use crate::kubernetes::inject::{Around, Outcome, Settings, inject};
use serde_json::{Value, json};

/// What was asked and what came of it, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// A sidecar was put in.
    Injected,
    /// It had one.
    Already,
    /// There was a reason not to.
    Skipped,
    /// The question could not be read.
    Unreadable,
}

impl Verdict {
    /// As a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Already => "already",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Answers an AdmissionReview, version v1.
pub fn answer(question: &Value, settings: &Settings, around: impl FnOnce(&str, &Value) -> Around) -> (Value, Verdict) {
    let request = question.get("request").unwrap_or(&Value::Null);
    let uid = request.get("uid").and_then(Value::as_str).unwrap_or("");
    let object = request.get("object").filter(|o| o.is_object());
    let Some(pod) = object.filter(|_| !uid.is_empty()) else {
        return (review(uid, None, vec!["foreshadow: the review has no pod".into()]), Verdict::Unreadable);
    };
    let namespace = request.get("namespace").and_then(Value::as_str).unwrap_or("");
    let mut settings = settings.clone();
    let around = around(namespace, pod);
    settings.methods = around.methods.unwrap_or(settings.methods);
    let mut changed = pod.clone();
    match inject(&mut changed, &settings, &around) {
        Outcome::Injected(warnings) => {
            let patch = json_patch::diff(pod, &changed);
            let warnings = warnings.into_iter().map(|w| format!("foreshadow: {w}")).collect();
            (review(uid, serde_json::to_vec(&patch).ok(), warnings), Verdict::Injected)
        }
        Outcome::Already => (review(uid, None, Vec::new()), Verdict::Already),
        Outcome::Skipped(why) => (review(uid, None, vec![format!("foreshadow: no sidecar: {why}")]), Verdict::Skipped),
    }
}

fn review(uid: &str, patch: Option<Vec<u8>>, warnings: Vec<String>) -> Value {
    let mut response = json!({ "uid": uid, "allowed": true });
    if let Some(patch) = patch {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(base64(&patch));
    }
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::crd::shadow::Methods;
    use crate::kubernetes::inject::{Families, Native, Takeover};

    fn settings() -> Settings {
        Settings {
            proxy_image: "p".into(),
            init_image: "i".into(),
            pull_policy: None,
            native: Native::Always,
            families: Families::V4,
            takeover: Takeover::Auto,
            methods: Methods::Safe,
        }
    }

    fn question(spec: Value) -> Value {
        let pod = json!({ "metadata": { "generateName": "web-1-" }, "spec": spec });
        json!({ "request": { "uid": "u1", "namespace": "shop", "object": pod } })
    }

    #[test]
    fn the_patch_makes_the_pod_that_inject_makes() {
        let spec = json!({ "containers": [{ "name": "app", "ports": [{ "name": "http", "containerPort": 8080 }] }] });
        let question = question(spec);
        let around = || Around { methods: Some(Methods::All), ..Around::default() };
        let (answer, verdict) = answer(&question, &settings(), |namespace, _| {
            assert_eq!(namespace, "shop");
            around()
        });
        assert_eq!((verdict, &answer["response"]["uid"], &answer["response"]["allowed"]), (Verdict::Injected, &json!("u1"), &json!(true)));
        use ::base64::Engine as _;
        let patch = ::base64::engine::general_purpose::STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut patched = question["request"]["object"].clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        let mut expected = question["request"]["object"].clone();
        inject(&mut expected, &Settings { methods: Methods::All, ..settings() }, &around());
        assert_eq!(patched, expected);
    }

    #[test]
    fn nothing_is_ever_refused() {
        let skipped = question(json!({ "hostNetwork": true, "containers": [] }));
        for (question, expected) in
            [(skipped, Verdict::Skipped), (json!({}), Verdict::Unreadable), (json!({ "request": { "uid": "x" } }), Verdict::Unreadable)]
        {
            let (answer, verdict) = answer(&question, &settings(), |_, _| Around::default());
            assert_eq!((verdict, &answer["response"]["allowed"]), (expected, &json!(true)));
            assert!(answer["response"]["warnings"][0].as_str().is_some_and(|w| w.starts_with("foreshadow: ")));
        }
    }
}

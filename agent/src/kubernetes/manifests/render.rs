//! Objects as files: comments, kustomizations, the Helm chart.

use super::{Values, files, monitoring};
use crate::kubernetes::yaml;
use serde_json::{Value, json};

const GENERATED: &str = "# Written by `foreshadow-agent manifests`; a test holds this file to it.\n";

/// Objects as one file.
pub fn file(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(text).collect();
    format!("{GENERATED}{}", texts.join("---\n"))
}

/// One object; the key `#` becomes a comment.
pub fn text(object: &Value) -> String {
    let plain = yaml::write(object);
    let (mut out, mut dash): (String, Option<usize>) = (String::with_capacity(plain.len()), None);
    for line in plain.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(comment) = line.trim_start().strip_prefix("- \"#\": ") {
            out.push_str(&format!("{}# {}\n", " ".repeat(indent), unquoted(comment)));
            dash = Some(indent);
            continue;
        }
        match dash.take() {
            // The comment's line had the list's dash.
            Some(indent) => out.push_str(&format!("{}- {}\n", " ".repeat(indent), line.trim_start())),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

fn unquoted(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

/// A kustomization, with its kind when it does not say another.
pub fn kustomization(fields: &Value) -> String {
    let mut object = json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization" });
    if let (Some(all), Some(more)) = (object.as_object_mut(), fields.as_object()) {
        all.extend(more.clone());
    }
    format!("{GENERATED}{}", yaml::write(&object))
}

/// Overlays: how the base is adapted.
pub fn overlays() -> Vec<(&'static str, String)> {
    let single = "- op: replace\n  path: /spec/replicas\n  value: 1\n";
    vec![
        ("default/kustomization.yaml", kustomization(&json!({ "resources": ["../../base"] }))),
        (
            "monitoring/kustomization.yaml",
            kustomization(&json!({ "resources": ["../../base"], "components": ["../../components/monitoring"] })),
        ),
        (
            "single/kustomization.yaml",
            kustomization(&json!({
                "resources": ["../../base"],
                "patches": [{ "target": { "kind": "Deployment", "name": "foreshadow-controller" }, "patch": single }],
            })),
        ),
    ]
}

/// The Helm chart. Objects are the same; values are template expressions.
pub fn chart() -> Vec<(String, String)> {
    let values = Values {
        namespace: "{{ .Release.Namespace }}".into(),
        registry: "{{ .Values.image.registry }}".into(),
        tag: "{{ .Values.image.tag }}".into(),
        pull_policy: "{{ .Values.image.pullPolicy }}".into(),
        replicas: "{{ .Values.controller.replicas }}".into(),
    };
    let mut all = vec![
        ("Chart.yaml".to_owned(), chart_yaml()),
        ("values.yaml".to_owned(), VALUES.replace("VERSION", env!("CARGO_PKG_VERSION"))),
        ("templates/podmonitors.yaml".to_owned(), when(".Values.podMonitors", &template(&monitoring(&values)))),
    ];
    for (name, objects) in files(&values) {
        match name {
            // `helm install --create-namespace` makes it, and helm installs what stands in crds/ first.
            "namespace.yaml" => {}
            "crd.yaml" => all.push(("crds/shadowscalers.yaml".to_owned(), file(&objects))),
            "network.yaml" => all.push(("templates/network.yaml".to_owned(), when(".Values.networkPolicies", &template(&objects)))),
            other => all.push((format!("templates/{other}"), template(&objects))),
        }
    }
    all
}

fn template(objects: &[Value]) -> String {
    // A number must not be in quotes.
    file(objects).replace("\"{{ .Values.controller.replicas }}\"", "{{ .Values.controller.replicas }}")
}

fn when(condition: &str, text: &str) -> String {
    format!("{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n")
}

fn chart_yaml() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let chart = json!({
        "apiVersion": "v2",
        "name": "foreshadow",
        "description": "The shadow fails first, so production doesn't: capacity measured on live traffic, floors raised ahead of need",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    });
    format!("{GENERATED}{}", yaml::write(&chart))
}

const VALUES: &str = "# Written by `foreshadow-agent manifests`; a test holds this file to it.
image:
  registry: foreshadow.dev # what stands before /foreshadow-agent, /foreshadow-proxy and /foreshadow-init
  tag: \"VERSION\"
  pullPolicy: IfNotPresent
controller:
  replicas: 2
networkPolicies: true
podMonitors: false # needs the Prometheus operator's types
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_before_their_rules() {
        let role = json!({ "rules": [{ "#": "why: this", "apiGroups": [""], "verbs": ["get"] }, { "#": "that", "resources": ["pods"] }] });
        let text = text(&role);
        assert_eq!(text, "rules:\n# why: this\n- apiGroups:\n  - \"\"\n  verbs:\n  - get\n# that\n- resources:\n  - pods\n");
        assert!(!yaml::read(&text).unwrap()[0].value.as_ref().unwrap().to_string().contains('#'));
    }
}

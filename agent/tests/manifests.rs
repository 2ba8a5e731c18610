//! manifests/ is what `foreshadow-agent manifests` writes. `UPDATE_GOLDEN=1 cargo test -p foreshadow-agent --test manifests` writes it anew.

use foreshadow_agent::kubernetes::{crd, manifests, yaml};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn files_below(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files_below(&path, found) } else { found.extend([path]) }
    }
}

#[test]
fn the_directory_is_what_the_command_writes() {
    let tree = manifests::tree();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for (path, text) in &tree {
            let file = folder().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
    }
    let mut there = BTreeSet::new();
    ["kustomize", "helm"].iter().for_each(|part| files_below(&folder().join(part), &mut there));
    let expected: BTreeSet<PathBuf> = tree.keys().map(|p| folder().join(p)).collect();
    assert_eq!(there, expected, "files that nobody writes, or that are missing: UPDATE_GOLDEN=1 writes, `git rm` removes");
    for (path, text) in &tree {
        let is = std::fs::read_to_string(folder().join(path)).unwrap();
        assert!(is == *text, "manifests/{path} is not what the command writes; UPDATE_GOLDEN=1 writes it anew");
    }
}

#[test]
fn the_shipped_definition_is_that_of_the_types() {
    let text = std::fs::read_to_string(folder().join("kustomize/base/crd.yaml")).unwrap();
    let shipped = yaml::read(&text).unwrap().remove(0).value.unwrap();
    assert_eq!(shipped, serde_json::to_value(crd::definition()).unwrap());
}

fn objects() -> Vec<Value> {
    manifests::files(&manifests::Values::default()).into_iter().flat_map(|f| f.1).collect()
}

#[test]
fn every_rule_has_a_reason_and_none_is_for_everything() {
    let mut rules = 0;
    for object in objects().iter().filter(|o| o["kind"].as_str().is_some_and(|k| k.ends_with("Role"))) {
        for rule in object["rules"].as_array().unwrap() {
            assert!(rule["#"].as_str().is_some_and(|why| why.len() > 8), "{rule}");
            assert!(!rule.to_string().contains("\"*\""), "{rule}");
            let secrets = rule["resources"].as_array().unwrap().iter().any(|r| r == "secrets");
            let named = rule.get("resourceNames").is_some() || rule["verbs"] == serde_json::json!(["create"]);
            assert!(!secrets || (object["kind"] == "Role" && named), "Secrets are read by name, in our own namespace: {rule}");
            rules += 1;
        }
    }
    assert!(rules > 20);
}

#[test]
fn no_container_may_do_what_it_need_not() {
    let mut containers = 0;
    for object in objects() {
        for container in object.pointer("/spec/template/spec/containers").and_then(Value::as_array).into_iter().flatten() {
            let context = &container["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }));
            assert!(container.pointer("/resources/limits/memory").is_some() && container.get("readinessProbe").is_some());
            containers += 1;
        }
    }
    assert_eq!(containers, 2, "controller and node agent");
}

#[test]
fn the_chart_and_the_kustomization_have_the_same_objects() {
    let tree = manifests::tree();
    let kinds = |prefix: &str| -> BTreeSet<String> {
        let files = tree.iter().filter(|(p, _)| p.starts_with(prefix) && !p.ends_with("kustomization.yaml"));
        let objects = files.flat_map(|(_, text)| text.split("\n---\n").map(str::to_owned).collect::<Vec<_>>());
        objects
            .filter_map(|text| {
                let kind = text.lines().find_map(|l| l.strip_prefix("kind: "))?.to_owned();
                let name = text.lines().skip_while(|l| *l != "metadata:").find_map(|l| l.strip_prefix("  name: "))?.to_owned();
                Some(format!("{kind}/{name}"))
            })
            .collect()
    };
    let mut kustomize = kinds("kustomize/");
    let chart = kinds("helm/foreshadow/");
    assert!(kustomize.remove("Namespace/foreshadow"), "helm makes the namespace itself");
    assert_eq!(kustomize, chart);
}

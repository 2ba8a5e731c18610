//! Manifests: every pod or pod template in a text of several documents, with the Services and Namespaces that stand beside them.
//!
//! Used by the command, both ways (in and out again), and by tests. Documents without a change keep their text, comments included.

use super::json::{field, list};
use super::{Around, Outcome, Settings, inject, remove};
use crate::kubernetes::yaml::{self, Document, Unreadable};
use serde_json::Value;
use std::collections::BTreeMap;

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `Deployment/web`.
    pub object: String,
    /// What became of its pod.
    pub outcome: Outcome,
}

/// Where an object keeps its pod template, by kind.
fn template_path(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" | "Rollout" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        "PodTemplate" => Some("/template"),
        _ => None,
    }
}

/// Injects into everything in `text`.
///
/// # Errors
/// When a document cannot be read, with its line.
pub fn inject_all(text: &str, settings: &Settings) -> Result<(String, Vec<Report>), Unreadable> {
    let documents = yaml::read(text)?;
    let objects: Vec<&Value> = documents.iter().filter_map(|d| d.value.as_ref()).flat_map(members).collect();
    let surroundings = Surroundings::of(&objects);
    let mut reports = Vec::new();
    let mut change = |object: &mut Value| {
        let report = inject_one(object, settings, &surroundings);
        let changed = matches!(report.as_ref().map(|r| &r.outcome), Some(Outcome::Injected(_)));
        reports.extend(report);
        changed
    };
    let texts: Vec<String> = documents.iter().map(|d| changed(d, &mut change)).collect();
    Ok((texts.join("---\n"), reports))
}

/// Takes the sidecar out of everything in `text` again; objects that can have one, and whether they had.
///
/// # Errors
/// As [`inject_all`].
pub fn remove_all(text: &str) -> Result<(String, Vec<(String, bool)>), Unreadable> {
    let mut reports = Vec::new();
    let mut change = |object: &mut Value| {
        let title = title(object);
        let Some((path, title)) = field(object, "kind").as_str().and_then(template_path).zip(title) else { return false };
        let had = object.pointer_mut(path).is_some_and(remove::remove);
        reports.push((title, had));
        had
    };
    let texts: Vec<String> = yaml::read(text)?.iter().map(|d| changed(d, &mut change)).collect();
    Ok((texts.join("---\n"), reports))
}

/// A document's text after `change` was asked of each of its objects: its own to the letter, unless one says that it changed.
fn changed(document: &Document, change: &mut dyn FnMut(&mut Value) -> bool) -> String {
    let mut text = document.text.clone();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let Some(mut value) = document.value.clone() else { return text };
    let changed = match is_list(&value).then(|| value.get_mut("items").and_then(Value::as_array_mut)).flatten() {
        Some(items) => items.iter_mut().map(change).fold(false, |all, one| all | one),
        None => change(&mut value),
    };
    if changed { yaml::write(&value) } else { text }
}

/// `Deployment/web`.
fn title(object: &Value) -> Option<String> {
    let name = object.pointer("/metadata/name").or_else(|| object.pointer("/metadata/generateName")).and_then(Value::as_str);
    Some(format!("{}/{}", field(object, "kind").as_str()?, name.unwrap_or("?")))
}

fn inject_one(value: &mut Value, settings: &Settings, surroundings: &Surroundings) -> Option<Report> {
    let object = title(value)?;
    let (kind, name) = object.split_once('/')?;
    let path = template_path(kind)?;
    let namespace = namespace_of(value);
    let template = value.pointer_mut(path)?;
    let around = surroundings.around(kind, name, &namespace);
    let outcome = if list(template, "containers").is_empty() { return None } else { inject(template, settings, &around) };
    Some(Report { object, outcome })
}

fn is_list(value: &Value) -> bool {
    field(value, "kind").as_str().is_some_and(|k| k.ends_with("List")) && field(value, "items").is_array()
}

fn members(value: &Value) -> Vec<&Value> {
    if is_list(value) { field(value, "items").as_array().into_iter().flatten().collect() } else { vec![value] }
}

fn namespace_of(value: &Value) -> String {
    value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("").to_owned()
}

/// What else the text says.
struct Surroundings {
    services: BTreeMap<String, Vec<Value>>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

impl Surroundings {
    fn of(objects: &[&Value]) -> Self {
        let mut found = Self { services: BTreeMap::new(), namespaces: BTreeMap::new() };
        for object in objects {
            match field(object, "kind").as_str() {
                Some("Service") => found.services.entry(namespace_of(object)).or_default().push((*object).clone()),
                Some("Namespace") => {
                    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
                    let labels = labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
                    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
                    found.namespaces.insert(name.to_owned(), labels);
                }
                _ => {}
            }
        }
        found
    }

    fn around(&self, kind: &str, name: &str, namespace: &str) -> Around {
        Around {
            workload: (kind != "Pod").then(|| (kind.to_owned(), name.to_owned())),
            services: self.services.get(namespace).cloned().unwrap_or_default(),
            namespace_labels: self.namespaces.get(namespace).cloned().unwrap_or_default(),
            methods: None,
        }
    }
}

//! Which scaler a workload has, and what stands in the way of a floor: decided from the objects of its namespace. Pure.
//!
//! Called by `carrier` when it looks for where the floor goes, and by preflight. Promises: exactly one carrier or a reason in words; a
//! second autoscaler is never made.

use super::floor::Kind;
use super::refusal::Refusal;
use crate::kubernetes::quantity;
use kube::core::DynamicObject;
use serde_json::Value;

/// A workload, as scalers refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// E.g. `apps/v1`.
    pub api_version: String,
    /// E.g. `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// The objects of the workload's namespace that matter.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// HorizontalPodAutoscalers.
    pub hpas: Vec<DynamicObject>,
    /// KEDA's ScaledObjects, when KEDA is installed.
    pub scaled_objects: Vec<DynamicObject>,
    /// VerticalPodAutoscalers, when they are installed.
    pub vpas: Vec<DynamicObject>,
}

/// Where the floor goes: kind and name of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What kind of object.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// Finds it.
///
/// # Errors
/// Two scalers on one target, or one that Kubernetes has disabled or a person has paused.
pub fn place(target: &Target, near: &Neighbours) -> Result<Place, Refusal> {
    let scaled: Vec<&DynamicObject> = near.scaled_objects.iter().filter(|s| refers(&s.data["spec"]["scaleTargetRef"], target)).collect();
    let hpas: Vec<&DynamicObject> = near.hpas.iter().filter(|h| refers(&h.data["spec"]["scaleTargetRef"], target)).collect();
    let own: Vec<&&DynamicObject> = hpas.iter().filter(|h| !made_by_keda(h)).collect();
    let mut names: Vec<String> = own.iter().map(|h| format!("HPA {}", name(h))).collect();
    names.extend(scaled.iter().map(|s| format!("ScaledObject {}", name(s))));
    if names.len() > 1 {
        let what = format!("{} scale the same workload: Kubernetes disables both. Remove all but one", names.join(" and "));
        return Err(Refusal::Situation(what));
    }
    if let Some(ambiguous) = hpas.iter().find(|h| condition(h, "ScalingActive").is_some_and(|c| c["reason"] == "AmbiguousSelector")) {
        let what = format!(
            "HPA {} is disabled by Kubernetes (AmbiguousSelector): another HPA selects the same pods. Make the selectors disjoint",
            name(ambiguous)
        );
        return Err(Refusal::Situation(what));
    }
    if let Some(object) = scaled.first() {
        let paused = object.metadata.annotations.iter().flatten().find(|(key, _)| key.starts_with("autoscaling.keda.sh/paused"));
        return match paused {
            Some((key, _)) => Err(Refusal::Situation(format!("ScaledObject {} is paused (annotation {key})", name(object)))),
            None => Ok(Place { kind: Kind::Keda, name: name(object) }),
        };
    }
    Ok(match own.first() {
        Some(hpa) => Place { kind: Kind::Hpa, name: name(hpa) },
        None => Place { kind: Kind::Scale, name: target.name.clone() },
    })
}

/// The VerticalPodAutoscaler that acts on the target's resources, when there is one: the resize axis is then its, not ours.
pub fn vertical(target: &Target, near: &Neighbours) -> Option<String> {
    let acts = |vpa: &&DynamicObject| vpa.data["spec"]["updatePolicy"]["updateMode"].as_str().unwrap_or("Auto") != "Off";
    near.vpas.iter().filter(acts).find(|vpa| refers(&vpa.data["spec"]["targetRef"], target)).map(name)
}

/// What the HPA alone asks for, when its own numbers tell: its status says the larger of its wish and the floor, so while the floor
/// binds, the wish is computed from its metrics as the HPA does (ratio to the target, tolerance of a tenth).
pub fn reactive(hpa: &DynamicObject) -> Option<u32> {
    let (spec, status) = (&hpa.data["spec"], &hpa.data["status"]);
    let desired = number(&status["desiredReplicas"])?;
    let least = number(&spec["minReplicas"]).unwrap_or(1);
    if desired > least {
        return Some(desired);
    }
    let current = f64::from(number(&status["currentReplicas"])?);
    let wishes = spec["metrics"].as_array()?.iter().filter_map(|metric| {
        let found = status["currentMetrics"].as_array()?.iter().find(|c| same_metric(c, metric))?;
        let ratio = ratio(metric, found)?;
        Some(if (ratio - 1.0).abs() <= 0.1 { current } else { (current * ratio).ceil() })
    });
    let wish = wishes.fold(None, |most: Option<f64>, w| Some(most.map_or(w, |m| m.max(w))))?;
    Some((wish as u32).min(number(&spec["maxReplicas"]).unwrap_or(u32::MAX)))
}

fn same_metric(current: &Value, wanted: &Value) -> bool {
    let body = |m: &Value| m["type"].as_str().map(|t| (t.to_owned(), uncapital(t))).map(|(t, key)| (t, m[key].clone()));
    let (Some((kind, now)), Some((other, spec))) = (body(current), body(wanted)) else { return false };
    kind == other && now["name"] == spec["name"] && now["metric"]["name"] == spec["metric"]["name"] && now["container"] == spec["container"]
}

fn ratio(wanted: &Value, current: &Value) -> Option<f64> {
    let key = uncapital(wanted["type"].as_str()?);
    let (target, now) = (&wanted[&key]["target"], &current[&key]["current"]);
    let pair = |field: &str| Some((quantity(&now[field])?, quantity(&target[field])?));
    let (now, target) = pair("averageUtilization").or_else(|| pair("averageValue")).or_else(|| pair("value"))?;
    (target > 0.0).then(|| now / target)
}

fn uncapital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A Kubernetes quantity or number.
pub fn quantity(value: &Value) -> Option<f64> {
    value.as_str().map_or_else(|| value.as_f64(), quantity::parse)
}

fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn refers(reference: &Value, target: &Target) -> bool {
    let group = |version: &str| version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    let version = reference["apiVersion"].as_str().unwrap_or("apps/v1");
    let kind = reference["kind"].as_str().unwrap_or("Deployment");
    reference["name"] == target.name.as_str() && kind == target.kind && group(version) == group(&target.api_version)
}

fn made_by_keda(hpa: &DynamicObject) -> bool {
    hpa.metadata.owner_references.iter().flatten().any(|o| o.kind == "ScaledObject")
}

fn name(object: &DynamicObject) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

#[cfg(test)]
mod tests;

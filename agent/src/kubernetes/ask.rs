//! `status` and `explain` against a cluster: what ShadowScalers say, as a table and as sentences.
//!
//! Called by `command`. Reads only; needs no more than to get ShadowScalers and Events.

use super::crd::ShadowScaler;
use super::crd::status::{ACTING, OBSERVING, READY, ShadowScalerStatus};
use crate::cli;
use comfy_table::{Table, presets::NOTHING};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// `status`: one line a workload, or everything about one.
///
/// # Errors
/// What the API server said.
pub async fn status(client: Client, namespace: Option<String>, workload: Option<&str>, json: bool) -> Result<u8, kube::Error> {
    let api: Api<ShadowScaler> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let all = api.list(&ListParams::default()).await?.items;
    let found: Vec<ShadowScaler> = all.into_iter().filter(|s| workload.is_none_or(|w| is_named(s, w))).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&found).unwrap_or_default());
    } else if found.is_empty() {
        let place = namespace.map_or_else(|| "the cluster".into(), |n| format!("namespace {n}"));
        println!("No ShadowScaler{} in {place}.", workload.map(|w| format!(" {w}")).unwrap_or_default());
    } else {
        println!("{}", table(&found));
    }
    Ok(if found.is_empty() && workload.is_some() { cli::UNAVAILABLE } else { cli::OK })
}

/// `explain`: why the last decision was taken, what would change it, what stands in the way.
///
/// # Errors
/// What the API server said.
pub async fn explain(client: Client, namespace: Option<String>, workload: &str, json: bool) -> Result<u8, kube::Error> {
    let (namespace, name) = match workload.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name),
        None => (namespace.unwrap_or_else(|| client.default_namespace().to_owned()), workload),
    };
    let scaler = Api::<ShadowScaler>::namespaced(client.clone(), &namespace).get(name).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&scaler).unwrap_or_default());
        return Ok(cli::OK);
    }
    print!("{}", sentences(&scaler));
    let about = ListParams::default().fields(&format!("regarding.name={name},regarding.kind=ShadowScaler"));
    let mut events = Api::<Event>::namespaced(client, &namespace).list(&about).await.map(|l| l.items).unwrap_or_default();
    events.sort_by_key(|e| std::cmp::Reverse(e.event_time.as_ref().map(|t| t.0)));
    for event in events.iter().take(10) {
        let at = event.event_time.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        println!("{} {}: {}", at.get(..19).unwrap_or(&at), text(&event.reason), text(&event.note));
    }
    Ok(cli::OK)
}

fn is_named(scaler: &ShadowScaler, workload: &str) -> bool {
    let name = scaler.name_any();
    workload == name || workload == format!("{}/{name}", scaler.namespace().unwrap_or_default())
}

fn table(scalers: &[ShadowScaler]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "NAMESPACE",
        "NAME",
        "TARGET",
        "MODE",
        "READY",
        "SEES",
        "REPLICAS",
        "FLOOR",
        "CAPACITY",
        "MARGIN",
        "SHADOW",
        "HOLDER",
    ]);
    for scaler in scalers {
        let status = scaler.status.clone().unwrap_or_default();
        let number = |n: Option<f64>| n.map_or_else(|| "-".into(), |n| format!("{n:.2}"));
        table.add_row([
            scaler.namespace().unwrap_or_default(),
            scaler.name_any(),
            format!("{:?}/{}", scaler.spec.target_ref.kind, scaler.spec.target_ref.name),
            format!("{:?}", scaler.spec.mode),
            condition(&status, READY),
            condition(&status, OBSERVING),
            status.replicas.map_or_else(|| "-".into(), |n| n.to_string()),
            status.floor.as_ref().map_or_else(|| "-".into(), |f| f.replicas.to_string()),
            status.capacity_rps.map_or_else(|| "-".into(), |c| format!("{:.1}/s", c.p50)),
            number(status.margin),
            status.profile.clone().unwrap_or_else(|| "-".into()),
            status.holder.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    table
}

fn find<'a>(status: &'a ShadowScalerStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

fn condition(status: &ShadowScalerStatus, kind: &str) -> String {
    match find(status, kind) {
        Some(c) if c.status == "True" => "yes".into(),
        Some(c) => c.reason.clone(),
        None => "-".into(),
    }
}

fn sentences(scaler: &ShadowScaler) -> String {
    let status = scaler.status.clone().unwrap_or_default();
    let (spec, objective) = (&scaler.spec, &scaler.spec.objective);
    let good = objective.target_ratio * 100.0;
    let mut told = format!(
        "{:?} {}: {good} % of answers within {} ms, mode {:?}.\n",
        spec.target_ref.kind, spec.target_ref.name, objective.threshold_ms, spec.mode
    );
    match &status.last_decision {
        Some(last) => {
            let floor =
                last.floor.map_or_else(|| "no floor: everything is left to the scaler".into(), |f| format!("a floor of {f} replicas"));
            told += &format!("Planned: {floor}.\nWhy: {}\n", last.reason);
            told += &format!("What would change it: {}\n", last.would_change.as_deref().unwrap_or("unknown"));
        }
        None => told += "Nothing was decided yet.\n",
    }
    if let Some(floor) = &status.floor {
        let until = floor.expires_at.as_ref().map(|t| format!(", falls away at {} unless renewed", t.0)).unwrap_or_default();
        told += &format!("Stands: {} replicas at least, through {}{until}.\n", floor.replicas, floor.through);
    }
    if let Some(capacity) = status.capacity_rps {
        told += &format!("Capacity of one replica: {} requests/s ({} to {}).\n", capacity.p50, capacity.p10, capacity.p90);
    }
    if let Some(margin) = status.margin {
        told += &format!("Forecast load is {:.0} % of what the ready replicas take.\n", margin * 100.0);
    }
    for (kind, word) in [(READY, "In place"), (OBSERVING, "Sees"), (ACTING, "May act")] {
        if let Some(c) = find(&status, kind) {
            told += &format!("{word}: {}, {}\n", if c.status == "True" { "yes" } else { "no" }, c.message);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scaler() -> ShadowScaler {
        serde_json::from_value(json!({
            "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"targetRef": {"name": "web"}, "objective": {"thresholdMs": 250}, "mode": "Act"},
            "status": {
                "replicas": 4, "floor": {"replicas": 6, "through": "HorizontalPodAutoscaler/web", "expiresAt": "2026-01-01T00:00:00Z"},
                "capacityRps": {"p10": 40.0, "p50": 50.0, "p90": 60.0}, "margin": 1.25, "profile": "cpu-half", "holder": "agent-1",
                "lastDecision": {"at": "2026-01-01T00:00:00Z", "reason": "load rises", "wouldChange": "less load", "floor": 6, "applied": true},
                "conditions": [{"type": "Acting", "status": "False", "reason": "FieldOwnedByOther", "message": "owned by kubectl",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    #[test]
    fn the_table_has_a_line_for_each_workload() {
        let text = table(&[scaler(), scaler()]).to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(["NAMESPACE", "Deployment/web", "50.0/s", "1.25", "cpu-half", "agent-1"].iter().all(|w| text.contains(w)), "{text}");
    }

    #[test]
    fn explain_says_why_what_would_change_it_and_what_stands_in_the_way() {
        let text = sentences(&scaler());
        for part in [
            "a floor of 6 replicas",
            "Why: load rises",
            "less load",
            "HorizontalPodAutoscaler/web",
            "125 %",
            "May act: no, owned by kubectl",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn workloads_are_found_with_and_without_namespace() {
        assert!(is_named(&scaler(), "web") && is_named(&scaler(), "shop/web") && !is_named(&scaler(), "other/web"));
    }
}

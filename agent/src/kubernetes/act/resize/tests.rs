//! What may be resized, and how far a resize is.

use super::*;

fn pod(class: &str, conditions: Value, actual: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": "a", "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]},
        "status": {"qosClass": class, "conditions": conditions, "containerStatuses": [
            {"name": "app", "image": "a", "imageID": "", "ready": true, "restartCount": 0,
             "resources": {"requests": {"cpu": actual, "memory": "64Mi"}, "limits": {"cpu": actual, "memory": "64Mi"}}}]}}))
    .unwrap()
}

fn sizing(cpu: &str, memory: &str) -> Sizing {
    let of: BTreeMap<String, String> = [("cpu".to_owned(), cpu.to_owned()), ("memory".to_owned(), memory.to_owned())].into();
    Sizing { container: "app".into(), size: Size { requests: of.clone(), limits: of } }
}

#[test]
fn what_cannot_be_is_said_beforehand() {
    let says = |pod: &Pod, sizing: &Sizing| check(pod, sizing).map_err(|e| e.to_string());
    assert_eq!(says(&pod("Guaranteed", json!([]), "500m"), &sizing("1", "64Mi")), Ok(()));
    let mut lopsided = sizing("1", "64Mi");
    lopsided.size.limits.insert("cpu".into(), "2".into());
    assert!(says(&pod("Guaranteed", json!([]), "500m"), &lopsided).unwrap_err().contains("requests must equal limits"));
    assert_eq!(says(&pod("Burstable", json!([]), "500m"), &lopsided), Ok(()));
    assert!(says(&pod("BestEffort", json!([]), "500m"), &sizing("1", "64Mi")).unwrap_err().contains("BestEffort"));
    assert!(says(&pod("Guaranteed", json!([]), "500m"), &sizing("500m", "128Mi")).unwrap_err().contains("restarts"));
    let busy = json!([{"type": "PodResizeInProgress", "status": "True"}]);
    assert!(says(&pod("Guaranteed", busy, "500m"), &sizing("1", "64Mi")).unwrap_err().contains("under way"));
}

#[test]
fn progress_is_what_the_kubelet_says() {
    let pending = |reason: &str| json!([{"type": "PodResizePending", "status": "True", "reason": reason, "message": "no room"}]);
    assert_eq!(progress(&pod("Guaranteed", json!([]), "500m"), &sizing("1", "64Mi")), Progress::Underway);
    assert_eq!(
        progress(&pod("Guaranteed", json!([]), "1"), &sizing("1000m", "64Mi")),
        Progress::Done,
        "the same amount, written otherwise"
    );
    assert_eq!(progress(&pod("Guaranteed", pending("Deferred"), "500m"), &sizing("1", "64Mi")), Progress::Deferred("no room".into()));
    assert_eq!(progress(&pod("Guaranteed", pending("Infeasible"), "500m"), &sizing("9", "64Mi")), Progress::Infeasible("no room".into()));
}

#[test]
fn the_size_before_is_read_from_the_specification() {
    let now = wanted(&pod("Guaranteed", json!([]), "1"), "app").unwrap();
    assert_eq!(now, sizing("500m", "64Mi").size);
    assert_eq!(wanted(&pod("Guaranteed", json!([]), "1"), "other"), None);
}

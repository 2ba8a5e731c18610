//! Which ports of a workload serve requests: the same choice that injection makes.

use crate::kubernetes::inject::ports::{self, Port};
use crate::kubernetes::inject::{Around, Skip, remove};
use serde_json::Value;

/// The ports, from the workload's template and the namespace's Services.
///
/// # Errors
/// Why it cannot be told.
pub fn ports(template: &Value, services: Vec<Value>) -> Result<Vec<Port>, Skip> {
    let mut plain = template.clone();
    remove::remove(&mut plain);
    let around = Around { services, ..Around::default() };
    ports::choose(&plain, &ports::targets(&plain, &around))
}

/// A Service of production's that selects these labels, if any does: the shadow would get production's traffic.
pub fn selected_by(services: &[Value], labels: &std::collections::BTreeMap<String, String>) -> Option<String> {
    let selects = |service: &&Value| {
        let selector = service.pointer("/spec/selector").and_then(Value::as_object).filter(|s| !s.is_empty());
        selector.is_some_and(|s| s.iter().all(|(k, v)| labels.get(k).map(String::as_str) == v.as_str()))
    };
    services.iter().find(selects).and_then(|s| s.pointer("/metadata/name")?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_that_would_catch_the_shadow_is_found() {
        let labels = crate::kubernetes::shadow::pod_labels("web");
        let service = |name: &str, selector: Value| json!({ "metadata": { "name": name }, "spec": { "selector": selector } });
        let services = [
            service("web", json!({ "app": "web" })),
            service("none", json!({})),
            service("all", json!({ "foreshadow.dev/role": "shadow" })),
        ];
        assert_eq!(selected_by(&services, &labels), Some("all".into()));
        assert_eq!(selected_by(&services[..2], &labels), None);
    }
}

//! Endpoint files: a DiscoveryResponse of ClusterLoadAssignments, as Envoy's filesystem EDS reads it. Used at load and at every reload.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::Endpoint;
use crate::nearest::nearest;

const RESPONSE: Schema = Schema {
    name: "envoy.service.discovery.v3.DiscoveryResponse",
    fields: "version_info resources type_url",
    unsupported: "canary nonce control_plane resource_errors",
};

/// The endpoints that a document gives for `service_name`; the whole document is checked. `None` when it has no such name.
pub fn endpoints(root: &Value<'_>, service_name: &str) -> Option<Vec<Endpoint>> {
    let fields = root.message(&RESPONSE)?;
    for label in ["version_info", "type_url"] {
        fields.get(label).map(|v| v.string());
    }
    let mut names: Vec<String> = Vec::new();
    let mut found = None;
    for resource in fields.list("resources") {
        let Some(assignment) = super::endpoint::assignment_any(&resource) else { continue };
        let endpoints = super::endpoint::addresses(&assignment);
        let Some(name) = assignment.get("cluster_name").and_then(|v| v.string()) else { continue };
        if names.contains(&name) {
            resource.problem(format!("an assignment for `{name}` stands before this one"), "expected one for each name");
        }
        if name == service_name {
            found = Some(endpoints);
        }
        names.push(name);
    }
    if found.is_none() && root.sink().is_clean() {
        let right = match nearest(service_name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "the file has no resources".to_owned(),
            None => format!("it has: {}", names.join(", ")),
        };
        root.problem(format!("no resource has the cluster_name `{service_name}`"), right);
    }
    found
}

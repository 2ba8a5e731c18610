//! Who owns a field of an object, by its `managedFields`.
//!
//! Used by the actuators' preflight: a field that somebody else's manager owns is never written against their will. The API server has
//! the last word (a server-side apply without force is refused with 409); this says the same beforehand, and names the owner.
//! Format: Kubernetes `FieldsV1`, a trie of `f:NAME` keys.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// Managers other than `us` that own the field at `path` (e.g. `["spec", "minReplicas"]`), sorted, each once.
pub fn of_field(entries: Option<&[ManagedFieldsEntry]>, path: &[&str], us: &str) -> Vec<String> {
    let mut owners: Vec<String> = entries
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default() != "status")
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| has(&fields.0, path)))
        .filter_map(|entry| entry.manager.clone())
        .filter(|manager| manager != us)
        .collect();
    owners.sort();
    owners.dedup();
    owners
}

fn has(fields: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(fields, |at, name| at.get(format!("f:{name}"))).is_some()
}

/// What a person can do about a foreign owner, in words.
pub fn remedy(field: &str, owners: &[String]) -> String {
    let by = owners.join(", ");
    let how = match owners.first().map(String::as_str) {
        Some(o) if o.starts_with("kubectl") => {
            "take it out of the manifest and apply that once with `kubectl apply --server-side`".to_owned()
        }
        Some(o) if o.contains("argocd") => {
            "take it out of Git, or add it to the Application's ignoreDifferences with RespectIgnoreDifferences=true".to_owned()
        }
        Some(o) if o.contains("kustomize") || o.contains("helm") => "take it out of Git or the chart's values".to_owned(),
        _ => "have that owner give the field up".to_owned(),
    };
    format!("{field} is owned by {by}: Foreshadow never takes a field from its owner. To let it set the floor, {how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    fn entry(manager: &str, subresource: Option<&str>, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.into()),
            subresource: subresource.map(Into::into),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn names_the_others_and_only_owners_of_that_very_field() {
        let entries = [
            entry("kubectl-client-side-apply", None, json!({"f:spec": {"f:minReplicas": {}, "f:maxReplicas": {}}})),
            entry("foreshadow", None, json!({"f:spec": {"f:minReplicas": {}}})),
            entry("flux", None, json!({"f:spec": {"f:maxReplicas": {}}})),
            entry("kube-controller-manager", Some("status"), json!({"f:spec": {"f:minReplicas": {}}})),
        ];
        let path = ["spec", "minReplicas"];
        assert_eq!(of_field(Some(&entries), &path, "foreshadow"), ["kubectl-client-side-apply"]);
        assert_eq!(of_field(Some(&entries[1..3]), &path, "foreshadow"), [""; 0]);
        assert_eq!(of_field(None, &path, "foreshadow"), [""; 0]);
    }

    #[test]
    fn the_remedy_names_field_owner_and_what_to_do() {
        let text = remedy("spec.minReplicas", &["kubectl-client-side-apply".into()]);
        assert!(["spec.minReplicas", "kubectl-client-side-apply", "--server-side"].iter().all(|part| text.contains(part)), "{text}");
        assert!(remedy("f", &["argocd-controller".into()]).contains("ignoreDifferences"));
    }
}

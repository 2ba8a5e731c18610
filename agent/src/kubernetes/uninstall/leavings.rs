//! What an uninstallation leaves on purpose, and how people get rid of it: sidecars of running pods, labels of namespaces.

use crate::kubernetes::names;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;

/// Says it.
///
/// # Errors
/// When the cluster does not answer.
pub async fn tell(client: &Client) -> Result<(), kube::Error> {
    let pods = Api::<Pod>::all(client.clone()).list_metadata(&ListParams::default().labels(names::INJECTED)).await?;
    let by_workload = workloads(&pods.items);
    if !by_workload.is_empty() {
        println!("these pods still have a sidecar; it passes their traffic on and copies nothing. When it suits:");
        for ((namespace, workload), count) in by_workload {
            match workload {
                Some(workload) => println!("  kubectl rollout restart -n {namespace} {workload}   # {count} pods"),
                None => println!("  {count} pods of namespace {namespace} that no workload is known of: make them anew"),
            }
        }
        println!("manifests that were injected by hand: foreshadow-agent inject --remove -f FILE | kubectl apply -f -");
    }
    let labelled = ListParams::default().labels(&format!("{}=enabled", names::INJECT));
    for namespace in Api::<Namespace>::all(client.clone()).list_metadata(&labelled).await?.items {
        println!("a label without use is left: kubectl label namespace {} {}-", namespace.name_any(), names::INJECT);
    }
    Ok(())
}

/// Pods by namespace and `kind/name` of their workload.
fn workloads<K>(pods: &[PartialObjectMeta<K>]) -> BTreeMap<(String, Option<String>), usize> {
    let mut found = BTreeMap::new();
    for pod in pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
        let annotations = pod.metadata.annotations.as_ref();
        let workload = annotations.and_then(|a| a.get(names::WORKLOAD)).and_then(|w| w.split_once('/'));
        let workload = workload.map(|(kind, name)| format!("{}/{name}", kind.to_ascii_lowercase()));
        *found.entry((pod.metadata.namespace.clone().unwrap_or_default(), workload)).or_insert(0) += 1;
    }
    found
}

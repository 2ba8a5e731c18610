//! What the webhook knows without asking: Services, namespaces and ShadowScalers, watched and kept small.
//!
//! Started by the controller on every replica. Watches begin again by themselves after an outage; until then what was known last holds.

use crate::kubernetes::crd::{ShadowScaler, TargetKind};
use crate::kubernetes::inject::Around;
use crate::kubernetes::names;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde_json::Value;
use std::fmt::Debug;
use std::hash::Hash;
use tokio::sync::watch;

/// The three watches' results.
#[derive(Clone)]
pub struct Surroundings {
    services: Store<Service>,
    namespaces: Store<Namespace>,
    scalers: Store<ShadowScaler>,
    known: watch::Receiver<bool>,
}

impl Surroundings {
    /// Starts the watches; they go on until the runtime ends.
    pub fn watch(client: &Client) -> Self {
        let (services, namespaces, scalers) = (follow(client, slim_service), follow(client, |_| {}), follow(client, |_| {}));
        let (to, known) = watch::channel(false);
        let stores = (services.clone(), namespaces.clone(), scalers.clone());
        // One task waits for the stores: of several that wait for the same store, kube wakes only the last one that asked.
        tokio::spawn(async move {
            let _ = stores.0.wait_until_ready().await;
            let _ = stores.1.wait_until_ready().await;
            let _ = stores.2.wait_until_ready().await;
            to.send_replace(true);
        });
        Self { services, namespaces, scalers, known }
    }

    /// Waits until everything has been read once.
    pub async fn known(&self) {
        // An error means that the runtime ends.
        let _ = self.known.clone().wait_for(|known| *known).await;
    }

    /// Whether everything has been read once.
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// All ShadowScalers.
    pub fn scalers(&self) -> &Store<ShadowScaler> {
        &self.scalers
    }

    /// Services of a namespace as values, but those made for shadows.
    pub fn services(&self, namespace: &str) -> Vec<Value> {
        let here = self.services.state_filter(|s| s.metadata.namespace.as_deref() == Some(namespace));
        let productions = here.iter().filter(|s| !s.metadata.labels.as_ref().is_some_and(|l| l.contains_key(names::SCALER)));
        productions.filter_map(|s| serde_json::to_value(&**s).ok()).collect()
    }

    /// Labels of a namespace.
    pub fn namespace_labels(&self, namespace: &str) -> std::collections::BTreeMap<String, String> {
        self.namespaces.get(&ObjectRef::new(namespace)).and_then(|n| n.metadata.labels.clone()).unwrap_or_default()
    }

    /// What is known around a pod that is about to be made.
    pub fn around(&self, namespace: &str, pod: &Value) -> Around {
        let workload = workload(pod);
        let methods = workload.as_ref().and_then(|(kind, name)| {
            let ours = |s: &ShadowScaler| {
                let target = &s.spec.target_ref;
                s.metadata.namespace.as_deref() == Some(namespace) && target.name == *name && kind_name(target.kind) == kind
            };
            self.scalers.find(ours).map(|s| s.spec.shadow.copies.methods)
        });
        Around { workload, services: self.services(namespace), namespace_labels: self.namespace_labels(namespace), methods }
    }
}

fn kind_name(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Deployment => "Deployment",
        TargetKind::StatefulSet => "StatefulSet",
    }
}

/// The workload behind a pod: of a ReplicaSet that a Deployment made, the Deployment, whose name is the ReplicaSet's without the hash.
pub fn workload(pod: &Value) -> Option<(String, String)> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|o| o["controller"] == true)?;
    let (kind, name) = (owner["kind"].as_str()?, owner["name"].as_str()?);
    if kind != "ReplicaSet" {
        return Some((kind.to_owned(), name.to_owned()));
    }
    let hash = pod.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str);
    let deployment = hash.and_then(|hash| name.strip_suffix(&format!("-{hash}")));
    Some(deployment.map_or_else(|| (kind.to_owned(), name.to_owned()), |d| ("Deployment".to_owned(), d.to_owned())))
}

fn slim_service(service: &mut Service) {
    service.status = None;
    service.metadata.annotations = None;
}

fn follow<K>(client: &Client, slim: fn(&mut K)) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Hash + Eq,
{
    let (store, writer) = reflector::store();
    let watched = watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().modify(move |object| {
        object.meta_mut().managed_fields = None;
        slim(object);
    });
    tokio::spawn(watched.reflect(writer).for_each(|event| {
        if let Err(error) = event {
            tracing::warn!(kind = %K::kind(&()), %error, "watch broken off; it begins again");
        }
        std::future::ready(())
    }));
    store
}

#[cfg(test)]
mod tests {
    use super::workload;
    use serde_json::json;

    #[test]
    fn the_deployment_is_found_behind_its_replica_set() {
        let pod = |kind: &str, name: &str, hash: &str| json!({ "metadata": { "labels": { "pod-template-hash": hash }, "ownerReferences": [{ "kind": kind, "name": name, "controller": true }] } });
        let found = |kind: &str, name: &str, hash: &str| workload(&pod(kind, name, hash)).map(|(k, n)| format!("{k}/{n}"));
        assert_eq!(found("ReplicaSet", "web-api-7d9c", "7d9c"), Some("Deployment/web-api".into()));
        assert_eq!(found("ReplicaSet", "by-hand", "7d9c"), Some("ReplicaSet/by-hand".into()));
        assert_eq!(found("StatefulSet", "db", ""), Some("StatefulSet/db".into()));
        assert_eq!(workload(&json!({ "metadata": {} })), None);
    }
}

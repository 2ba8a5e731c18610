//! `foreshadow-agent uninstall`: everything of Foreshadow's taken out of a cluster, in an order in which nothing is done that would stay.
//!
//! Called by `command`, with the rights of whoever runs it. Promises: without `--yes` nothing is changed; who acts is stopped before what
//! was done is put back; an object that is not ours by its labels stays; no controller need be running; what cannot be removed is told and
//! the rest goes on, so that it can be run again. Production's pods are not restarted: which of them still have sidecars is said.

mod leavings;

use super::act::expire;
use super::controller::objects::Objects;
use super::controller::reconcile::FINALIZER;
use super::controller::{election, secret};
use super::crd::ShadowScaler;
use super::lease::api::LABEL as LEASE;
use super::manifests::{self, Values};
use super::{act::carrier::resource, names};
use crate::cli::{self, cluster::Uninstall};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Label by which our objects are known.
const OURS: &str = "app.kubernetes.io/part-of=foreshadow";
/// Longest wait for our own pods to end: none may act any more when what they did is put back.
const PODS_END: Duration = Duration::from_secs(60);

/// Takes everything out; the exit code.
///
/// # Errors
/// When the cluster does not answer.
pub async fn run(client: Client, args: &Uninstall) -> Result<u8, kube::Error> {
    let mut work = Work { client, namespace: args.namespace.clone(), really: args.yes, failed: Vec::new(), count: 0 };
    let (actors, rest): (Vec<Value>, Vec<Value>) = installed(&args.namespace).into_iter().partition(acts);
    for object in &actors {
        work.remove(object).await;
    }
    work.wait_for_pods().await?;
    work.put_back().await;
    work.scalers().await?;
    for object in &rest {
        work.remove(object).await;
    }
    leavings::tell(&work.client).await?;
    Ok(work.close())
}

/// Objects of an installation, and those that it made for itself; what stands on others goes first.
fn installed(namespace: &str) -> Vec<Value> {
    let values = Values { namespace: namespace.to_owned(), ..Values::default() };
    let own = |kind: &str, version: &str, name: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": namespace } });
    let mut all: Vec<Value> = manifests::files(&values).into_iter().flat_map(|f| f.1).collect();
    all.extend(manifests::monitoring(&values));
    all.push(own("Secret", "v1", secret::NAME));
    all.push(own("Lease", "coordination.k8s.io/v1", election::NAME));
    // The namespace takes what is in it along, so it goes last, and the definition before it.
    let last = |object: &Value| match object["kind"].as_str() {
        Some("CustomResourceDefinition") => 1,
        Some("Namespace") => 2,
        _ => 0,
    };
    all.reverse();
    all.sort_by_key(last);
    all
}

/// Whether an object makes something happen: pods of ours, and the webhook that the leader would register again.
fn acts(object: &Value) -> bool {
    ["Deployment", "DaemonSet", "MutatingWebhookConfiguration"].iter().any(|kind| object["kind"] == *kind)
}

/// What is done, or would be.
struct Work {
    client: Client,
    namespace: String,
    really: bool,
    failed: Vec<String>,
    count: usize,
}

impl Work {
    fn done(&mut self, what: &str) {
        self.count += 1;
        println!("{}{what}", if self.really { "" } else { "would have: " });
    }

    fn failed(&mut self, what: &str, why: impl std::fmt::Display) {
        eprintln!("foreshadow-agent: {what}: {why}");
        self.failed.push(what.to_owned());
    }

    /// Removes an object of ours, if it is there.
    async fn remove(&mut self, object: &Value) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
        let resource = resource(&text("/apiVersion"), &kind);
        let api: Api<DynamicObject> = match namespace.as_str() {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let what = if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") };
        match api.get_metadata_opt(&name).await {
            Ok(None) => return,
            Ok(Some(there)) if !is_ours(&kind, there.labels()) => return println!("left: {what}, which has not our labels"),
            Ok(Some(_)) => {}
            // Another project's type that is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(error) => return self.failed(&what, error),
        }
        if self.really
            && let Err(error) = api.delete(&name, &DeleteParams::background()).await
            && !is_gone(&error)
        {
            return self.failed(&what, error);
        }
        self.done(&format!("removed {what}"));
    }

    async fn wait_for_pods(&mut self) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let began = Instant::now();
        while self.really {
            let left = pods.list_metadata(&ListParams::default().labels(OURS)).await?.items.len();
            if left == 0 {
                break;
            }
            if began.elapsed() > PODS_END {
                self.failed("pods of Foreshadow's", format!("{left} have not ended within {} s", PODS_END.as_secs()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Floors, as they were before us.
    async fn put_back(&mut self) {
        if !self.really {
            return println!("would have: put back every floor that stands");
        }
        match expire::sweep(&self.client, Timestamp::now(), true, None).await {
            Ok(swept) => {
                for one in swept {
                    let what = format!("the floor of {} in {}", one.title, one.namespace);
                    match one.outcome {
                        Ok(_) => self.done(&format!("put back {what}")),
                        Err(error) => self.failed(&what, error),
                    }
                }
            }
            Err(error) => self.failed("floors", error),
        }
    }

    /// ShadowScalers with their shadows, and the Leases of who held them.
    async fn scalers(&mut self) -> Result<(), kube::Error> {
        let scalers = match Api::<ShadowScaler>::all(self.client.clone()).list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            other => other?.items,
        };
        for scaler in scalers {
            let what = format!("ShadowScaler {}/{}", scaler.namespace().unwrap_or_default(), scaler.name_any());
            if self.really
                && let Err(error) = self.scaler(&scaler).await
            {
                self.failed(&what, error);
                continue;
            }
            self.done(&format!("removed {what} with its shadow"));
        }
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let ours = ListParams::default().labels(&format!("{}={}", LEASE.0, LEASE.1));
        for lease in leases.list_metadata(&ours).await?.items {
            if self.really {
                leases.delete(&lease.name_any(), &DeleteParams::default()).await.map(|_| ()).or_else(unless_gone)?;
            }
            self.done(&format!("removed Lease {}/{}", self.namespace, lease.name_any()));
        }
        Ok(())
    }

    async fn scaler(&self, scaler: &ShadowScaler) -> Result<(), kube::Error> {
        let namespace = scaler.namespace().unwrap_or_default();
        let (objects, target) = (Objects::new(self.client.clone(), &namespace), &scaler.spec.target_ref);
        let api: Api<ShadowScaler> = Api::namespaced(self.client.clone(), &namespace);
        api.delete(&scaler.name_any(), &DeleteParams::default()).await.map(|_| ()).or_else(unless_gone)?;
        objects.remove_shadow(scaler).await?;
        objects.remove_config_map(scaler, &names::endpoints_config_map(&format!("{:?}", target.kind), &target.name)).await?;
        // The controller, which would take its finalizer off, may be gone.
        let others: Vec<_> = scaler.finalizers().iter().filter(|f| *f != FINALIZER).collect();
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": others } }));
        api.patch_metadata(&scaler.name_any(), &PatchParams::default(), &patch).await.map(|_| ()).or_else(unless_gone)
    }

    fn close(&self) -> u8 {
        match (self.really, self.count, self.failed.len()) {
            (false, 0, 0) => println!("nothing of Foreshadow's is installed"),
            (false, ..) => println!("nothing was changed; `foreshadow-agent uninstall --yes` does it"),
            (true, 0, 0) => println!("nothing of Foreshadow's was there"),
            (true, count, 0) => println!("done: {count} things"),
            (_, _, failed) => eprintln!("foreshadow-agent: {failed} things are still there; run it again when they can be removed"),
        }
        if self.failed.is_empty() { cli::OK } else { cli::UNAVAILABLE }
    }
}

/// Whether an object that has one of our names is ours: Leases have no labels of their own and our name alone.
fn is_ours(kind: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
    kind == "Lease" || labels.get("app.kubernetes.io/name").is_some_and(|v| v == "foreshadow")
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn unless_gone(error: kube::Error) -> Result<(), kube::Error> {
    if is_gone(&error) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_goes_first_and_the_namespace_last() {
        let all = installed("foreshadow");
        let kinds: Vec<&str> = all.iter().filter_map(|o| o["kind"].as_str()).collect();
        assert_eq!(kinds[kinds.len() - 2..], ["CustomResourceDefinition", "Namespace"]);
        let actors: Vec<&str> = all.iter().filter(|o| acts(o)).filter_map(|o| o["metadata"]["name"].as_str()).collect();
        assert_eq!(actors.len(), 3, "{actors:?}");
        for object in &all {
            let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
            let made_by_us = ["Secret", "Lease"].iter().any(|kind| object["kind"] == *kind);
            assert!(made_by_us || is_ours(object["kind"].as_str().unwrap(), &labels), "{object}");
        }
    }
}

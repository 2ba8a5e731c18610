//! The size of all of a workload's running pods: read, changed, put back.
//!
//! Called by `sizer` under the workload's Lease, by `expire` for marks whose time is over, and when a ShadowScaler goes. Promises: pods that
//! have the size already are not touched; one pod that refuses does not keep the others from being put back, and its mark stays until the
//! next sweep; the mark goes last, so that whoever finds it can go on.

use super::carrier::{Outcome, resource};
use super::refusal::Refusal;
use super::resize::{self, LABEL, Size, Sizing, resize, wanted};
use super::scaler::Target;
use super::swept::Swept;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::inject::is_sidecar;
use crate::kubernetes::node::settings;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::{DynamicObject, Selector};
use kube::{Api, Client, ResourceExt};

/// A workload with its pods.
#[derive(Debug)]
pub struct Production {
    /// The workload.
    pub object: DynamicObject,
    /// Its pod template.
    pub template: PodSpec,
    /// Its pods that run and stay.
    pub pods: Vec<Pod>,
}

impl Production {
    /// Reads it.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn read(client: &Client, namespace: &str, target: &Target) -> Result<Self, Refusal> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(&target.api_version, &target.kind));
        let object = api.get(&target.name).await?;
        let strange = || Refusal::Situation(format!("{} {} has no selector or template that could be read", target.kind, target.name));
        let selector = serde_json::from_value::<LabelSelector>(object.data["spec"]["selector"].clone());
        let selector: Selector = selector.ok().and_then(|s| s.try_into().ok()).ok_or_else(strange)?;
        let template = serde_json::from_value(object.data["spec"]["template"]["spec"].clone()).map_err(|_| strange())?;
        let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default().labels_from(&selector)).await?;
        let runs =
            |p: &Pod| p.metadata.deletion_timestamp.is_none() && p.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
        Ok(Self { object, template, pods: pods.items.into_iter().filter(runs).collect() })
    }

    /// The container that is resized: the one asked for, else the only one, else the first that declares a port.
    pub fn container(&self, asked: Option<&str>) -> Option<String> {
        let mut own = self.template.containers.iter().filter(|c| !is_sidecar(&c.name));
        let found = match asked {
            Some(name) => own.find(|c| c.name == name),
            None => {
                let all: Vec<_> = own.collect();
                all.iter().find(|c| c.ports.iter().flatten().next().is_some()).or(all.first().filter(|_| all.len() == 1)).copied()
            }
        };
        found.map(|c| c.name.clone())
    }

    /// The size that new pods start with.
    pub fn size(&self, container: &str) -> Option<Size> {
        let pod = Pod { spec: Some(self.template.clone()), ..Pod::default() };
        wanted(&pod, container)
    }
}

/// Asks every pod for a size that has it not; how many were asked, and the first refusal.
pub async fn give(client: &Client, pods: &[Pod], sizing: &Sizing) -> (usize, Option<Refusal>) {
    let (mut asked, mut refused) = (0, None);
    for pod in pods.iter().filter(|p| wanted(p, &sizing.container).is_some_and(|size| !size.is(&sizing.size))) {
        match resize(client, pod, sizing, false).await {
            Ok(_) => asked += 1,
            // A pod that has gone needs nothing.
            Err(Refusal::Gone(_)) => {}
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    (asked, refused)
}

/// Puts back what the mark of a ShadowScaler says, and takes the mark off.
///
/// # Errors
/// The first refusal; what could be put back is.
pub async fn put_back(client: &Client, scaler: &ShadowScaler) -> Result<bool, Refusal> {
    let Some(mark) = resize::mark_of(scaler).map_err(|e| Refusal::Situation(e.to_string()))? else { return Ok(false) };
    let (namespace, name) = (scaler.namespace().unwrap_or_default(), scaler.name_any());
    match Production::read(client, &namespace, &settings::target(&scaler.spec)).await {
        Ok(production) => {
            if let (_, Some(refused)) = give(client, &production.pods, &mark.original).await {
                return Err(refused);
            }
        }
        // Without the workload there are no pods of it.
        Err(Refusal::Gone(_)) => {}
        Err(why) => return Err(why),
    }
    match resize::put_mark(client, &namespace, &name, None).await {
        Ok(()) | Err(Refusal::Gone(_)) => Ok(true),
        Err(why) => Err(why),
    }
}

/// Puts back sizes whose time is over; with `every` all of them; of one ShadowScaler, `namespace/name`, or all.
///
/// # Errors
/// When ShadowScalers cannot be listed.
pub async fn sweep(client: &Client, now: Timestamp, every: bool, of: Option<&str>) -> Result<Vec<Swept>, Refusal> {
    let mut swept = Vec::new();
    for scaler in Api::<ShadowScaler>::all(client.clone()).list(&ListParams::default().labels(LABEL)).await?.items {
        let namespace = scaler.namespace().unwrap_or_default();
        let title = format!("{namespace}/{}", scaler.name_any());
        let overdue = resize::mark_of(&scaler).ok().flatten().is_some_and(|m| every || m.is_overdue(now));
        if !overdue || of.is_some_and(|one| one != title) {
            continue;
        }
        let outcome = put_back(client, &scaler).await.map(|_| Outcome::Restored);
        let what = format!("size of {}/{}", settings::kind(scaler.spec.target_ref.kind), scaler.spec.target_ref.name);
        swept.push(Swept { namespace, title: what, scaler: title, outcome });
    }
    Ok(swept)
}

//! Puts back what is overdue, whoever wrote it: the other half of every time to live.
//!
//! Run every few seconds by the controller's leader and by one of the node agents, so that a floor falls away when the agent that set it
//! is gone. Promises: only objects that carry our label and an overdue mark are touched, and only if they are still as they were read
//! (two sweepers at once are harmless); one object that refuses does not keep the others from being put back.

use super::carrier::{Carrier, carrier_resource, seen};
use super::floor::{Kind, Step, overdue};
use super::mark::LABEL;
use super::moves;
use super::refusal::Refusal;
use super::scaler::{Place, Target};
use super::sizes;
pub use super::swept::Swept;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client};

/// One sweep over the cluster, or over what is marked for one ShadowScaler (`namespace/name`). `every` puts back whatever is marked, overdue or
/// not: for `uninstall`. What could not be listed on one axis does not keep the others from being swept.
///
/// # Errors
/// When not even one kind could be listed.
pub async fn sweep(client: &Client, now: Timestamp, every: bool, of: Option<&str>) -> Result<Vec<Swept>, Refusal> {
    let floors = floors(client, now, every, of).await;
    let (sizes, templates) = (sizes::sweep(client, now, every, of).await, moves::sweep(client, now, every, of).await);
    let mut all = Vec::new();
    for part in [floors, sizes, templates] {
        match part {
            Ok(swept) => all.extend(swept),
            // Without our definition, or its list, there are no sizes to put back.
            Err(Refusal::Unsupported(_) | Refusal::Gone(_)) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(all)
}

/// Puts back whatever is marked for one ShadowScaler, `namespace/name`: it is being deleted.
///
/// # Errors
/// As [`sweep`].
pub async fn put_back(client: &Client, scaler: &str) -> Result<Vec<Swept>, Refusal> {
    sweep(client, Timestamp::now(), true, Some(scaler)).await
}

async fn floors(client: &Client, now: Timestamp, every: bool, scaler: Option<&str>) -> Result<Vec<Swept>, Refusal> {
    let mut swept = Vec::new();
    let mut failed = None;
    let mut listed = 0;
    for (kind, target) in kinds() {
        let resource = carrier_resource(kind, &target);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match api.list(&ListParams::default().labels(LABEL)).await.map_err(Refusal::from) {
            Ok(found) => {
                listed += 1;
                for object in found.items {
                    swept.extend(one(client, kind, &target, object, (now, every, scaler)).await);
                }
            }
            // A kind that is not installed has nothing to put back.
            Err(Refusal::Unsupported(_) | Refusal::Gone(_)) => {}
            Err(e) => failed = Some(e),
        }
    }
    match failed {
        Some(e) if listed == 0 => Err(e),
        _ => Ok(swept),
    }
}

fn kinds() -> [(Kind, Target); 4] {
    let target = |kind: &str| Target { api_version: "apps/v1".into(), kind: kind.into(), name: String::new() };
    [
        (Kind::Hpa, target("Deployment")),
        (Kind::Keda, target("Deployment")),
        (Kind::Scale, target("Deployment")),
        (Kind::Scale, target("StatefulSet")),
    ]
}

async fn one(client: &Client, kind: Kind, target: &Target, object: DynamicObject, which: (Timestamp, bool, Option<&str>)) -> Option<Swept> {
    let (now, every, scaler) = which;
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let target = Target { name: name.clone(), ..target.clone() };
    let carrier = Carrier::new(client, &namespace, &target, Place { kind, name });
    let tell = |scaler: String, outcome| Some(Swept { namespace: namespace.clone(), title: carrier.title(), scaler, outcome });
    let seen = match seen(kind, object) {
        Ok(seen) => seen,
        Err(e) => return tell(String::new(), Err(e)),
    };
    let mark = seen.field.mark.clone().filter(|m| scaler.is_none_or(|s| s == m.scaler))?;
    let step: Step = overdue(&seen.field, if every { Timestamp::MAX } else { now })?;
    let outcome = carrier.carry(&step, &seen, false).await;
    tell(mark.scaler, outcome)
}

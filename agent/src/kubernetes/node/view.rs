//! The scaler's side of one workload, from its target and the HorizontalPodAutoscalers beside it, and the eyes of its control loop.
//!
//! Made for each workload that is held. [`scale`] is pure; everything it is made from is kept up by watches: a look asks the API server nothing.

use super::board::Board;
use crate::hands::Eyes;
use crate::kubernetes::act::carrier;
use crate::kubernetes::act::floor::{FloorMark, Kind};
use crate::kubernetes::act::scaler::{self, Neighbours, Target};
use crate::kubernetes::hand::Hand;
use crate::kubernetes::watched::{Listed, Watched};
use crate::local::api::Scale;
use crate::observe::look::Look;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What a look is made from.
pub struct ClusterEyes {
    /// `namespace/name` of the ShadowScaler.
    pub workload: String,
    /// Its target.
    pub target: Target,
    /// Fewest and most replicas that a plan asks for.
    pub bounds: (u32, u32),
    /// What the nodes report.
    pub board: Arc<Mutex<Board>>,
    /// The target, watched.
    pub targets: Watched<DynamicObject>,
    /// The namespace's HorizontalPodAutoscalers, watched.
    pub hpas: Watched<DynamicObject>,
    /// The floor accepted last.
    pub hand: Hand,
    /// Profile of the shadow and its cost, as the controller says.
    pub shadow: Arc<Mutex<(String, f64)>>,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
}

impl Eyes for ClusterEyes {
    fn look(&mut self) -> BoxFuture<'_, Look> {
        let now_ms = (self.clock)();
        let now = Timestamp::from_millisecond(now_ms as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        let target = first(&self.targets.borrow());
        let hpas = all(&self.hpas.borrow());
        let scale = scale(&self.workload, &self.target, target.as_deref(), hpas, self.hand.accepted(now), self.bounds);
        let (profile, size) = self.shadow.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let mut look = board.look(&self.workload, scale, &profile, size, now_ms);
        if target.is_none() && look.source_error.is_none() {
            look.source_error = Some(format!("{} {} is not there", self.target.kind, self.target.name));
        }
        Box::pin(std::future::ready(look))
    }
}

fn first(listed: &Listed<DynamicObject>) -> Option<Arc<DynamicObject>> {
    listed.objects.values().next().cloned()
}

fn all(listed: &Listed<DynamicObject>) -> Vec<DynamicObject> {
    listed.objects.values().map(|object| DynamicObject::clone(object)).collect()
}

/// The scaler's state. `accepted` is the floor that was accepted last and when it ends: an HPA's or the workload's own mark says more.
pub fn scale(
    workload: &str,
    target: &Target,
    object: Option<&DynamicObject>,
    hpas: Vec<DynamicObject>,
    accepted: Option<(u32, Timestamp)>,
    bounds: (u32, u32),
) -> Scale {
    let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let desired = object.and_then(|o| number(&o.data["spec"]["replicas"])).unwrap_or(0);
    let hpa = hpas.iter().find(|h| h.data["spec"]["scaleTargetRef"]["name"] == target.name.as_str()).cloned();
    let kind = scaler::place(target, &Neighbours { hpas, ..Neighbours::default() }).map_or(Kind::Scale, |place| place.kind);
    let by_keda = hpa.as_ref().is_some_and(|h| h.metadata.owner_references.iter().flatten().any(|o| o.kind == "ScaledObject"));
    let most = hpa.as_ref().and_then(|h| number(&h.data["spec"]["maxReplicas"])).unwrap_or(u32::MAX).min(bounds.1);
    let carrying = if kind == Kind::Hpa { hpa.clone() } else { object.cloned() };
    let field = carrying.and_then(|object| carrier::seen(kind, object).ok()).map(|seen| seen.field);
    let ours = |mark: &FloorMark| mark.scaler == workload;
    let marked = field.as_ref().filter(|_| !by_keda).and_then(|f| f.mark.as_ref().filter(|m| ours(m) && m.value == f.value));
    let value = field.as_ref().filter(|_| !by_keda).and_then(|f| f.value);
    let standing = match marked {
        Some(mark) => mark.value.map(|v| (v, mark.expires)),
        // Accepted without a mark: the user asks for as much by themselves. Gone when they no longer do.
        None => accepted.filter(|(floor, _)| by_keda || value.is_none_or(|v| v >= *floor)),
    };
    let requested = match (&hpa, marked) {
        (Some(hpa), _) => scaler::reactive(hpa),
        (None, Some(mark)) => mark.original,
        (None, None) => Some(desired),
    };
    Scale {
        desired,
        requested,
        floor: standing.map_or(0, |s| s.0),
        floor_expires_unix_ms: standing.map_or(0, |s| u64::try_from(s.1.as_millisecond()).unwrap_or(0)),
        floor_reason: marked.map(|m| m.reason.clone()).unwrap_or_default(),
        min: bounds.0.min(most),
        max: most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::act::mark::{ANNOTATION, Mark};
    use serde_json::json;

    fn target() -> Target {
        Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn mark(value: u32, original: u32, scaler: &str) -> String {
        let (value, original) = (Some(value), Some(original));
        Mark { value, original, expires: at(100), scaler: scaler.into(), term: 1, reason: "r".into() }.to_text()
    }

    fn hpa(minimum: u32, annotation: Option<String>) -> DynamicObject {
        let mut object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": minimum, "maxReplicas": 8},
            "status": {"desiredReplicas": 7, "currentReplicas": 6}}))
        .unwrap();
        object.metadata.annotations = annotation.map(|text| [(ANNOTATION.to_owned(), text)].into());
        object
    }

    fn deployment(replicas: u32, annotation: Option<String>) -> DynamicObject {
        let mut object: DynamicObject =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas}})).unwrap();
        object.metadata.annotations = annotation.map(|text| [(ANNOTATION.to_owned(), text)].into());
        object
    }

    #[test]
    fn an_hpa_s_floor_is_what_its_mark_says() {
        let found = scale("ns/s", &target(), Some(&deployment(7, None)), vec![hpa(6, Some(mark(6, 2, "ns/s")))], None, (1, 20));
        assert_eq!((found.desired, found.requested, found.floor, found.floor_expires_unix_ms), (7, Some(7), 6, 100_000));
        assert_eq!((found.min, found.max), (1, 8), "the HPA's maximum holds as well");
        let other = scale("ns/s", &target(), Some(&deployment(7, None)), vec![hpa(6, Some(mark(6, 2, "ns/other")))], None, (1, 20));
        assert_eq!(other.floor, 0, "somebody else's");
        let changed =
            scale("ns/s", &target(), Some(&deployment(7, None)), vec![hpa(3, Some(mark(6, 2, "ns/s")))], Some((6, at(90))), (1, 20));
        assert_eq!(changed.floor, 0, "somebody else lowered it");
    }

    #[test]
    fn a_floor_that_the_user_asks_for_anyway_stands_without_a_mark() {
        let found = scale("ns/s", &target(), Some(&deployment(7, None)), vec![hpa(6, None)], Some((4, at(90))), (1, 20));
        assert_eq!((found.floor, found.floor_expires_unix_ms), (4, 90_000));
    }

    #[test]
    fn without_a_scaler_the_base_is_what_the_user_set() {
        let found = scale("ns/s", &target(), Some(&deployment(6, Some(mark(6, 3, "ns/s")))), vec![], None, (1, 20));
        assert_eq!((found.desired, found.requested, found.floor, found.max), (6, Some(3), 6, 20));
        let plain = scale("ns/s", &target(), Some(&deployment(3, None)), vec![], None, (1, 20));
        assert_eq!((plain.desired, plain.requested, plain.floor), (3, Some(3), 0));
        assert_eq!(scale("ns/s", &target(), None, vec![], None, (1, 20)).desired, 0);
    }
}

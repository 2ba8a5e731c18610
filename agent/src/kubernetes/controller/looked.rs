//! Which ShadowScalers need no look now. Holders write their status every few seconds to a minute; a look asks the API server about ten
//! things, and nothing of what it does depends on a status.
//!
//! Used by `reconcile`. Promises: a change of anything but the status, of what concerns it ([`Looked::touch`]), a failure and the time after
//! which it was to be looked at again all lead to a look; a change during a look leads to another one.

use crate::kubernetes::crd::ShadowScaler;
use kube::runtime::reflector::ObjectRef;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was looked at: as many entries as there are ShadowScalers.
#[derive(Debug, Default)]
pub struct Looked(Mutex<HashMap<ObjectRef<ShadowScaler>, Look>>);

#[derive(Debug, Clone, Copy)]
struct Look {
    of: u64,
    due: Instant,
}

impl Looked {
    /// Something that concerns it has changed, or looking failed.
    pub fn touch(&self, key: &ObjectRef<ShadowScaler>) {
        self.all().remove(key);
    }

    /// A look begins; its next one is due then.
    pub fn begin(&self, scaler: &ShadowScaler, due: Instant) {
        self.all().insert(ObjectRef::from_obj(scaler), Look { of: fingerprint(scaler), due });
    }

    /// How long nothing has to be done about it, if it is as it was.
    pub fn rests(&self, scaler: &ShadowScaler, now: Instant) -> Option<Duration> {
        let look = self.all().get(&ObjectRef::from_obj(scaler)).copied();
        look.filter(|l| l.of == fingerprint(scaler) && now < l.due).map(|l| l.due - now)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectRef<ShadowScaler>, Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything but the status and what changes with it.
fn fingerprint(scaler: &ShadowScaler) -> u64 {
    let (meta, mut hasher) = (&scaler.metadata, DefaultHasher::new());
    (&meta.uid, meta.generation, meta.deletion_timestamp.is_some(), &meta.finalizers, &meta.labels, &meta.annotations).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scaler(generation: i64, status: &str) -> ShadowScaler {
        serde_json::from_value(json!({
            "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler",
            "metadata": { "name": "web", "namespace": "a", "generation": generation },
            "spec": { "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 } },
            "status": { "profile": status },
        }))
        .unwrap()
    }

    #[test]
    fn a_status_is_no_reason_to_look_again_but_everything_else_is() {
        let (looked, now, minute) = (Looked::default(), Instant::now(), Duration::from_secs(60));
        assert_eq!(looked.rests(&scaler(1, "a"), now), None, "never seen");
        looked.begin(&scaler(1, "a"), now + 2 * minute);
        assert_eq!(looked.rests(&scaler(1, "b"), now + minute), Some(minute));
        assert_eq!(looked.rests(&scaler(2, "b"), now + minute), None, "its spec");
        let mut told = scaler(1, "a");
        told.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert_eq!(looked.rests(&told, now + minute), None);
        assert_eq!(looked.rests(&scaler(1, "a"), now + 2 * minute), None, "it is time");
        looked.touch(&ObjectRef::from_obj(&scaler(1, "a")));
        assert_eq!(looked.rests(&scaler(1, "a"), now + minute), None, "its Deployment");
    }
}

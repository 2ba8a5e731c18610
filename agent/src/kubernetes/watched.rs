//! Objects of one kind, kept up by a watch: everybody who needs to know reads here, nobody polls.
//!
//! Used by the node role. Promises: a watch that breaks is taken up again with growing pauses, and what was seen last stays meanwhile; an
//! object that disappeared while the watch was away is noticed when it is back; fields that nobody reads can be dropped on the way in.

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is there, by `namespace/name` (`/name` for objects without a namespace).
#[derive(Debug, Clone)]
pub struct Listed<K> {
    /// The objects.
    pub objects: BTreeMap<String, Arc<K>>,
    /// Whether they have been listed once.
    pub complete: bool,
    /// Why the watch does not stand now, when it does not.
    pub broken: Option<String>,
}

/// Objects kept up.
pub type Watched<K> = watch::Receiver<Listed<K>>;

/// Begins to watch; ends when the last reader is gone.
pub fn keep<K>(api: Api<K>, config: watcher::Config, prune: fn(&mut K)) -> Watched<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (to, watched) = watch::channel(Listed { objects: BTreeMap::new(), complete: false, broken: None });
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watch_objects(api, config).default_backoff());
        let mut coming = BTreeMap::new();
        loop {
            let event = tokio::select! {
                () = to.closed() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(event)) => note(&to, &mut coming, event, prune),
                Some(Err(e)) => {
                    tracing::debug!(error = %e, "a watch broke; what was seen last stays");
                    to.send_modify(|listed| listed.broken = Some(e.to_string()));
                }
                None => return,
            }
        }
    });
    watched
}

fn note<K: Resource>(to: &watch::Sender<Listed<K>>, coming: &mut BTreeMap<String, Arc<K>>, event: Event<K>, prune: fn(&mut K)) {
    let ready = |mut object: K| {
        prune(&mut object);
        (key(&object), Arc::new(object))
    };
    match event {
        Event::Init => coming.clear(),
        Event::InitApply(object) => coming.extend([ready(object)]),
        Event::InitDone => {
            let objects = std::mem::take(coming);
            to.send_modify(|listed| *listed = Listed { objects, complete: true, broken: None });
        }
        Event::Apply(object) => {
            let (key, object) = ready(object);
            to.send_modify(|listed| {
                listed.objects.insert(key, object);
                listed.broken = None;
            });
        }
        Event::Delete(object) => to.send_modify(|listed| drop(listed.objects.remove(&key(&object)))),
    }
}

/// Waits until they have been listed once; `false` when that takes longer than `most`.
pub async fn listed<K>(watched: &mut Watched<K>, most: Duration) -> bool {
    matches!(tokio::time::timeout(most, watched.wait_for(|l| l.complete)).await, Ok(Ok(_)))
}

/// `namespace/name`.
pub fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Drops what is large and read by nobody.
pub fn without_managed_fields<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

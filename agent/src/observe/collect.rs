//! One look at everything: the workload, a snapshot of every sidecar, the use of every instance, all at once.
//!
//! Called by the control loop once a tick. Promises: bounded by twice the poll timeout (the source, then all sidecars); whatever did not
//! answer is an error in the look, never a stale value passed off as new. Not here: differences over time (see `align`).

use super::look::{Look, without_details};
use super::resources;
use super::source::Source;
use crate::hands::Eyes;
use crate::http::{Http, HttpError};
use crate::local::api::{Instance, Workload};
use foreshadow_snapshot::Snapshot;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Largest snapshot read: 64 clusters with full histograms fit several times over.
const SNAPSHOT_LIMIT: usize = 16 << 20;

/// Looks.
#[derive(Debug)]
pub struct Collector {
    source: Source,
    http: Http,
    timeout: Duration,
    began: Instant,
    last: Arc<Workload>,
}

impl Eyes for Collector {
    fn look(&mut self) -> BoxFuture<'_, Look> {
        Box::pin(self.look_once())
    }
}

impl Collector {
    /// Looks at what `source` names, waiting at most `timeout` for each proxy.
    pub fn new(source: Source, http: Http, timeout: Duration) -> Self {
        Self { source, http, timeout, began: Instant::now(), last: Arc::default() }
    }

    async fn look_once(&mut self) -> Look {
        let asked = tokio::time::timeout(self.timeout, self.source.workload()).await;
        let source_error = match asked.unwrap_or(Err(HttpError::Timeout(self.timeout))) {
            Ok(workload) => {
                self.last = workload;
                None
            }
            Err(e) => Some(e.to_string()),
        };
        let workload = self.last.clone();
        let instances: Vec<Instance> = workload.replicas.iter().chain(&workload.shadow).cloned().collect();
        let began = self.began;
        let usage = tokio::task::spawn_blocking(move || resources::read(&instances, began));
        let snapshots = self.poll(&workload).await;
        Look { workload, source_error, snapshots, usage: usage.await.unwrap_or_default() }
    }

    async fn poll(&self, workload: &Workload) -> BTreeMap<String, Result<Arc<Snapshot>, HttpError>> {
        let mut polls = JoinSet::new();
        for admin in workload.replicas.iter().filter_map(|i| i.admin_url.clone()) {
            let (http, timeout) = (self.http.clone(), self.timeout);
            polls.spawn(async move {
                let url = format!("{}/telemetry", admin.trim_end_matches('/'));
                let snapshot = http.get_json::<Snapshot>(&url, SNAPSHOT_LIMIT, timeout).await;
                (admin, snapshot.map(|s| Arc::new(without_details(s))))
            });
        }
        let mut snapshots = BTreeMap::new();
        while let Some(done) = polls.join_next().await {
            if let Ok((admin, snapshot)) = done {
                snapshots.insert(admin, snapshot);
            }
        }
        snapshots
    }
}

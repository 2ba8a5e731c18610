//! Everything seen at one moment: what `collect` (or, in a cluster, the reports of the nodes) gives and `align` makes a sample of.

use super::usage::Usage;
use crate::http::HttpError;
use crate::local::api::Workload;
use foreshadow_snapshot::{LatencyHistogram, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything seen at one moment.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The workload: as last known when the source did not answer.
    pub workload: Arc<Workload>,
    /// Why the source did not answer.
    pub source_error: Option<String>,
    /// Snapshots, or why there is none, by admin address.
    pub snapshots: BTreeMap<String, Result<Arc<Snapshot>, HttpError>>,
    /// Use by instance name.
    pub usage: BTreeMap<String, Usage>,
}

/// Forgets what no stage here reads, so that a snapshot that is kept as the next one's baseline is small: each histogram takes 26 KiB.
pub fn without_details(mut snapshot: Snapshot) -> Snapshot {
    let Snapshot { clusters, mirrors, routes, .. } = &mut snapshot;
    routes.clear();
    let of_clusters = clusters.iter_mut().flat_map(|c| [&mut c.first_byte_us, &mut c.connect_us, &mut c.tcp_rtt_us]);
    let of_mirrors = mirrors.iter_mut().flat_map(|m| [&mut m.slower_us, &mut m.faster_us]);
    of_clusters.chain(of_mirrors).for_each(|h| *h = LatencyHistogram::default());
    snapshot
}

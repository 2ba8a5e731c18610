//! Everything seen at one moment: what `collect` (or, in a cluster, the reports of the nodes) gives and `align` makes a sample of.

use super::usage::Usage;
use crate::http::HttpError;
use crate::local::api::Workload;
use foreshadow_snapshot::Snapshot;
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

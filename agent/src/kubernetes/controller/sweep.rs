//! Floors and sizes whose time is over are put back, whoever set them: a dead holder leaves nothing standing.
//!
//! Run by the leader; node agents do the same, and two at once are harmless.

use crate::kubernetes::act::expire;
use crate::kubernetes::metrics::Metrics;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::time::Duration;

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(15);

/// Sweeps until it is dropped.
pub async fn run(client: &Client, metrics: &Metrics) {
    loop {
        match expire::sweep(client, Timestamp::now(), false, None).await {
            Ok(swept) => {
                for one in swept {
                    let (namespace, title, scaler) = (one.namespace, one.title, one.scaler);
                    match one.outcome {
                        Ok(outcome) => {
                            metrics.swept("put_back");
                            tracing::info!(namespace, title, scaler, ?outcome, "overdue, put back");
                        }
                        Err(refusal) => {
                            metrics.swept("refused");
                            tracing::warn!(namespace, title, scaler, %refusal, "overdue, but it cannot be put back");
                        }
                    }
                }
            }
            Err(refusal) => tracing::warn!(%refusal, "what is overdue cannot be listed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

//! Which cluster a request goes to: the route's only one, one of several by weight, or the one that a header names.

use super::Circumstances;
use crate::config::model::{Target, Weighted};
use crate::error::ProxyError;
use http::request::Parts;
use rand::RngExt as _;

/// The cluster, and the entry that chose it when there were several.
///
/// # Errors
/// When a header should name a cluster and does not.
pub fn choose<'a>(to: &'a Target, head: &Parts, now: &impl Circumstances) -> Result<(usize, Option<&'a Weighted>), ProxyError> {
    match to {
        Target::One(cluster) => Ok((*cluster, None)),
        Target::Weighted(several) => {
            let chosen = by_weight(several).ok_or(ProxyError::NoCluster(http::StatusCode::SERVICE_UNAVAILABLE))?;
            Ok((chosen.cluster, Some(chosen)))
        }
        Target::Header { name, missing } => {
            let named = head.headers.get(name).and_then(|v| v.to_str().ok()).and_then(|name| now.cluster(name));
            named.map(|cluster| (cluster, None)).ok_or(ProxyError::NoCluster(*missing))
        }
    }
}

/// With a random number of its own.
fn by_weight(several: &[Weighted]) -> Option<&Weighted> {
    let total: u64 = several.iter().map(|w| u64::from(w.weight)).sum();
    let mut draw = rand::rng().random_range(0..total.max(1));
    for entry in several {
        match draw.checked_sub(u64::from(entry.weight)) {
            Some(rest) => draw = rest,
            None => return Some(entry),
        }
    }
    several.last()
}

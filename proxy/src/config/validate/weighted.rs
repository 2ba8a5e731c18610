//! Several clusters by weight.

use super::clusters::Names;
use super::headers::{self, Both};
use super::rewrites;
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::Weighted;

const WEIGHTED: Schema = Schema {
    name: "envoy.config.route.v3.WeightedCluster",
    fields: "clusters total_weight",
    unsupported: "runtime_key_prefix header_name use_hash_policy",
};

const WEIGHT: Schema = Schema {
    name: "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    fields: "name weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove \
        host_rewrite_literal",
    unsupported: "cluster_header metadata_match typed_per_filter_config",
};

/// Reads `weighted_clusters`: the entries, and each one's own header operations.
pub fn read(value: &Value<'_>, names: &Names) -> Option<Vec<(Weighted, Both)>> {
    let fields = value.message(&WEIGHTED)?;
    let clusters = fields.need("clusters")?;
    let mut whole = true;
    let mut list = Vec::new();
    for entry in clusters.list() {
        match weight(&entry, names) {
            Some(found) => list.push(found),
            None => whole = false,
        }
    }
    if !whole {
        return None;
    }
    let total: u64 = list.iter().map(|(entry, _)| u64::from(entry.weight)).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        clusters.problem(format!("the weights add up to {total}"), "expected a sum above 0 that fits into 32 bits");
        return None;
    }
    if let Some(said) = fields.get("total_weight")
        && said.wrapper().integer(1, u32::MAX).is_some_and(|said| u64::from(said) != total)
    {
        said.problem(format!("the weights add up to {total}"), "expected that sum, or remove the field");
    }
    Some(list)
}

fn weight(value: &Value<'_>, names: &Names) -> Option<(Weighted, Both)> {
    let fields = value.message(&WEIGHT)?;
    let cluster = fields.need("name").and_then(|v| names.resolve(&v));
    let weight = fields.need("weight").and_then(|v| v.wrapper().integer(0, u32::MAX));
    let host_rewrite = fields.get("host_rewrite_literal").and_then(|v| rewrites::literal(&v));
    Some((Weighted { cluster: cluster?, weight: weight?, headers: None, host_rewrite }, headers::level(&fields)))
}

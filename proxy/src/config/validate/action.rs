//! What a route does: forward or answer at once.

use std::path::PathBuf;
use std::time::Duration;

use super::clusters::Names;
use super::headers;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{ClusterId, RouteAction};
use crate::config::raw;

const ROUTE: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction",
    fields: "cluster weighted_clusters prefix_rewrite host_rewrite_literal timeout request_mirror_policies",
    unsupported: "cluster_header cluster_specifier_plugin inline_cluster_specifier_plugin cluster_not_found_response_code metadata_match \
        regex_rewrite path_rewrite_policy path_rewrite auto_host_rewrite host_rewrite_header host_rewrite_path_regex host_rewrite \
        append_x_forwarded_host idle_timeout flush_timeout early_data_policy retry_policy retry_policy_typed_config priority rate_limits \
        include_vh_rate_limits hash_policy cors max_grpc_timeout grpc_timeout_offset upgrade_configs internal_redirect_policy \
        internal_redirect_action max_internal_redirects hedge_policy max_stream_duration",
};

const WEIGHTED: Schema = Schema {
    name: "envoy.config.route.v3.WeightedCluster",
    fields: "clusters",
    unsupported: "total_weight runtime_key_prefix header_name use_hash_policy",
};

const WEIGHT: Schema = Schema {
    name: "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    fields: "name weight",
    unsupported: "cluster_header metadata_match request_headers_to_add request_headers_to_remove response_headers_to_add \
        response_headers_to_remove typed_per_filter_config host_rewrite_literal",
};

const DIRECT: Schema = Schema { name: "envoy.config.route.v3.DirectResponseAction", fields: "status body", unsupported: "body_format" };

const SOURCE: Schema = Schema {
    name: "envoy.config.core.v3.DataSource",
    fields: "filename inline_string",
    unsupported: "inline_bytes environment_variable watched_directory",
};

/// Largest body of a direct response, in bytes (Envoy's default).
const MAX_DIRECT_BODY: usize = 4096;

/// A `RouteAction` whose mirror policies are still to be combined with those of the other levels.
pub struct Draft<'a> {
    /// Clusters with weights.
    pub clusters: Vec<(ClusterId, u32)>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// Replaces the host.
    pub host_rewrite: Option<http::HeaderValue>,
    /// Whole-request timeout.
    pub timeout: Option<Duration>,
    /// `request_mirror_policies`, when there.
    pub mirrors: Option<Value<'a>>,
}

/// Reads a `RouteAction`.
pub fn route<'a>(value: &Value<'a>, names: &Names) -> Option<Draft<'a>> {
    let fields = value.message(&ROUTE)?;
    let clusters = match fields.need_one_of(&["cluster", "weighted_clusters"]) {
        Some(("cluster", v)) => names.resolve(&v).map(|id| vec![(id, 1)]),
        Some((_, v)) => weighted(&v, names),
        None => None,
    };
    let host_rewrite = fields.get("host_rewrite_literal").and_then(|v| v.string().and_then(|text| headers::header_value(&v, &text)));
    let timeout = fields.get("timeout").map_or(Some(Duration::from_secs(15)), |v| v.duration());
    Some(Draft {
        prefix_rewrite: fields.get("prefix_rewrite").and_then(|v| v.string()).filter(|text| !text.is_empty()),
        host_rewrite: host_rewrite.filter(|host| !host.is_empty()),
        timeout: timeout.filter(|t| !t.is_zero()),
        mirrors: fields.get("request_mirror_policies"),
        clusters: clusters?,
    })
}

fn weighted(value: &Value<'_>, names: &Names) -> Option<Vec<(ClusterId, u32)>> {
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
    let total: u64 = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        clusters.problem(format!("the weights add up to {total}"), "expected a sum above 0 that fits into 32 bits");
        return None;
    }
    Some(list)
}

fn weight(value: &Value<'_>, names: &Names) -> Option<(ClusterId, u32)> {
    let fields = value.message(&WEIGHT)?;
    let cluster = fields.need("name").and_then(|v| names.resolve(&v));
    let weight = fields.need("weight").and_then(|v| v.wrapper().integer(0, u32::MAX));
    Some((cluster?, weight?))
}

/// Reads a `DirectResponseAction`.
pub fn direct(value: &Value<'_>) -> Option<RouteAction> {
    let fields = value.message(&DIRECT)?;
    let status = fields.need("status").and_then(|v| v.integer(200, 599)).and_then(|n| u16::try_from(n).ok());
    let body = fields.get("body").map_or(Some(Vec::new()), |v| body(&v));
    let status = http::StatusCode::from_u16(status?).ok()?;
    Some(RouteAction::Direct { status, body: body?.into() })
}

fn body(value: &Value<'_>) -> Option<Vec<u8>> {
    let fields: Fields<'_> = value.message(&SOURCE)?;
    let (kind, source) = fields.need_one_of(&["inline_string", "filename"])?;
    let text = source.string()?;
    let bytes = match kind {
        "inline_string" => text.into_bytes(),
        _ => match raw::read(&PathBuf::from(&text)) {
            Ok(content) => content.into_bytes(),
            Err(why) => {
                source
                    .problem(format!("cannot read {text}: {why}"), "expected a text file that exists (relative to the working directory)");
                return None;
            }
        },
    };
    if bytes.len() > MAX_DIRECT_BODY {
        source.problem(format!("the body is {} bytes long", bytes.len()), format!("expected at most {MAX_DIRECT_BODY} bytes"));
        return None;
    }
    Some(bytes)
}

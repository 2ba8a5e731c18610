//! Clusters of type ORIGINAL_DST: requests go where their connection wanted to go before it was redirected.

use std::time::Duration;

use super::headers::header_name;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{Discovery, OriginalDst};
use crate::config::raw::Kind;

const LB: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
    fields: "use_http_header http_header_name upstream_port_override",
    unsupported: "metadata_key",
};

/// The header Envoy looks at when told to look at one.
const HEADER: http::HeaderName = http::HeaderName::from_static("x-envoy-original-dst-host");

/// Envoy forgets a destination after this long without use.
const CLEANUP: Duration = Duration::from_secs(5);

/// Whether an `lb_policy` says that the cluster itself chooses.
pub fn provided(value: &Value<'_>) -> bool {
    matches!(&value.node().kind, Kind::Plain(text) | Kind::Quoted(text) if text.eq_ignore_ascii_case("CLUSTER_PROVIDED") || &**text == "6")
}

/// Reads the settings out of a cluster's fields.
pub fn discovery(fields: &Fields<'_>) -> Option<Discovery> {
    if let Some(assignment) = fields.get("load_assignment") {
        assignment.problem("it does not go with this type of cluster", "remove it: destinations come with the connections");
    }
    if !fields.get("lb_policy").is_some_and(|v| provided(&v)) {
        let place = fields.get("lb_policy").unwrap_or_else(|| fields.value().clone());
        place.problem("this lb_policy does not go with a cluster of type ORIGINAL_DST", "expected lb_policy: CLUSTER_PROVIDED");
    }
    let cleanup = fields.get("cleanup_interval").and_then(|v| v.positive_duration()).unwrap_or(CLEANUP);
    let mut settings = OriginalDst { header: None, port: None, cleanup };
    if let Some(lb) = fields.get("original_dst_lb_config").and_then(|v| v.message(&LB)) {
        let named = lb.get("http_header_name").and_then(|v| header_name(&v));
        settings.header = lb.flag("use_http_header", false).then(|| named.unwrap_or(HEADER));
        let port = lb.get("upstream_port_override").and_then(|v| v.wrapper().integer(0, 65_535));
        settings.port = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0);
    }
    Some(Discovery::OriginalDst(settings))
}

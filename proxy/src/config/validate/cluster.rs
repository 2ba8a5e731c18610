//! Clusters: discovery, balancing, protocol, thresholds, and the mirror policies that stand at a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clusters::Names;
use super::{balancing, dns, eds, endpoint, health, mirror, original, protocol, runtime, tls};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{Breaker, Cluster, Discovery, LbSettings, Protocol, RetryLimit};
use crate::config::raw::{self, parse};

const CLUSTER: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster",
    fields: "name type eds_cluster_config connect_timeout lb_policy load_assignment circuit_breakers typed_extension_protocol_options \
        http2_protocol_options dns_refresh_rate metadata cleanup_interval original_dst_lb_config transport_socket \
        ring_hash_lb_config maglev_lb_config least_request_lb_config common_lb_config \
        outlier_detection health_checks dns_jitter dns_failure_refresh_rate dns_lookup_family respect_dns_ttl \
        typed_dns_resolver_config \
        per_connection_buffer_limit_bytes",
    unsupported: "transport_socket_matches transport_socket_matcher alt_stat_name cluster_type \
        per_connection_buffer_high_watermark_timeout max_requests_per_connection upstream_http_protocol_options \
        common_http_protocol_options http_protocol_options \
        dns_resolvers use_tcp_for_dns_lookups dns_resolution_config wait_for_warm_on_init \
        upstream_bind_config lb_subset_config protocol_selection upstream_connection_options \
        close_connections_on_host_health_failure ignore_health_on_host_removal filters load_balancing_policy lrs_server \
        lrs_report_endpoint_metrics track_timeout_budgets upstream_config track_cluster_stats preconnect_policy \
        connection_pool_per_downstream_connection",
};

const EDS: Schema = Schema { name: "envoy.config.cluster.v3.Cluster.EdsClusterConfig", fields: "eds_config service_name", unsupported: "" };

const SOURCE: Schema = Schema {
    name: "envoy.config.core.v3.ConfigSource",
    fields: "path_config_source resource_api_version",
    unsupported: "authorities path api_config_source ads self initial_fetch_timeout",
};

const PATH: Schema = Schema { name: "envoy.config.core.v3.PathConfigSource", fields: "path", unsupported: "watched_directory" };

const BREAKERS: Schema =
    Schema { name: "envoy.config.cluster.v3.CircuitBreakers", fields: "thresholds", unsupported: "per_host_thresholds" };

const THRESHOLDS: Schema = Schema {
    name: "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
    fields: "priority max_connections max_pending_requests max_requests max_retries retry_budget",
    unsupported: "track_remaining max_connection_pools",
};

const BUDGET: Schema = Schema {
    name: "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget",
    fields: "budget_percent min_retry_concurrency",
    unsupported: "",
};

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
}

/// Reads a cluster.
pub fn cluster(value: &Value<'_>, names: &Names) -> Option<Cluster> {
    let fields = value.message(&CLUSTER)?;
    let name = fields.need("name").and_then(|v| v.name());
    let connect_timeout = fields.get("connect_timeout").and_then(|v| v.positive_duration()).unwrap_or(Duration::from_secs(5));
    let lb = fields.get("lb_policy").filter(|v| !original::provided(v)).and_then(|v| balancing::policy(&v)).unwrap_or_default();
    let [breaker, breaker_high] = fields.get("circuit_breakers").map(|v| breakers(&v)).unwrap_or_default();
    let options = fields.get("typed_extension_protocol_options").map(|v| protocol::options(&v)).unwrap_or_default();
    let old_http2 = fields.one_of(&["typed_extension_protocol_options", "http2_protocol_options"]);
    let old_http2 = old_http2.filter(|(name, _)| *name == "http2_protocol_options").map(|(_, v)| protocol::http2(&v));
    let place = name.clone().unwrap_or_default();
    let drafts = options.mirrors.map(|v| mirror::policies(&v, names, &place)).unwrap_or_default();
    let settings = fields.get("metadata").and_then(|v| mirror::settings(&v, names));
    let mirrors = mirror::Level::default().below(drafts, settings).ready;
    let assignment = fields.get("load_assignment").and_then(|v| endpoint::assignment(&v));
    let overprovisioning = assignment.and_then(|a| endpoint::overprovisioning(&a)).unwrap_or(140);
    let discovery = discovery(&fields, name.as_deref().unwrap_or_default());
    let protocol = if old_http2.is_some() { Protocol::Http2 } else { options.protocol };
    let tls = fields.get("transport_socket").map_or(Some(None), |v| tls::upstream(&v, protocol, &options.names));
    if let (Some(value), Some(None)) = (&options.auto, &tls) {
        value
            .problem("auto_config wants TLS, whose handshake settles the protocol", "expected transport_socket with an UpstreamTlsContext");
    }
    Some(Cluster {
        name: name?,
        discovery: discovery?,
        connect_timeout,
        buffer_limit: fields.get("per_connection_buffer_limit_bytes").and_then(|v| v.wrapper().integer(0, u32::MAX)),
        lb,
        lb_settings: LbSettings { overprovisioning, ..balancing::settings(&fields) },
        protocol,
        tls: tls?.map(Arc::new),
        breaker,
        breaker_high,
        outlier: fields.get("outlier_detection").and_then(|v| health::outlier(&v)),
        health_check: fields.get("health_checks").and_then(|v| health::checks(&v)),
        mirror_only: false,
        mirrors,
    })
}

fn discovery(fields: &Fields<'_>, name: &str) -> Option<Discovery> {
    let kind = match fields.get("type") {
        Some(value) => {
            let choices = [
                ("STATIC", 0, Type::Static),
                ("STRICT_DNS", 1, Type::StrictDns),
                ("LOGICAL_DNS", 2, Type::LogicalDns),
                ("EDS", 3, Type::Eds),
                ("ORIGINAL_DST", 4, Type::OriginalDst),
            ];
            value.choice(&choices)?
        }
        None => Type::Static,
    };
    if let Some(value) = fields.get(if kind == Type::Eds { "load_assignment" } else { "eds_cluster_config" }) {
        value.problem("it does not go with this type of cluster", "remove it, or change the type");
    }
    dns::only_with_names(fields, matches!(kind, Type::StrictDns | Type::LogicalDns));
    if kind == Type::OriginalDst {
        return original::discovery(fields);
    }
    if let Some(policy) = fields.get("lb_policy").filter(original::provided) {
        policy.problem("CLUSTER_PROVIDED goes only with a cluster of type ORIGINAL_DST", "expected another policy, or type: ORIGINAL_DST");
    }
    // Like Envoy, a cluster without an assignment is one without endpoints.
    let assignment = fields.get("load_assignment").and_then(|v| endpoint::assignment(&v));
    match kind {
        Type::Static => Some(Discovery::Static(assignment.as_ref().map(endpoint::addresses).unwrap_or_default())),
        Type::StrictDns | Type::LogicalDns => dns::discovery(fields, assignment.as_ref(), kind == Type::LogicalDns),
        Type::OriginalDst => None,
        Type::Eds => endpoint_file(&fields.need("eds_cluster_config")?, name),
    }
}

fn endpoint_file(value: &Value<'_>, name: &str) -> Option<Discovery> {
    let fields = value.message(&EDS)?;
    let service_name = fields.get("service_name").map_or(Some(String::new()), |v| v.string())?;
    let service_name = if service_name.is_empty() { name.to_owned() } else { service_name };
    let source = fields.need("eds_config")?.message(&SOURCE)?;
    if let Some(version) = source.get("resource_api_version") {
        version.supported_choice(&[("AUTO", 0, ()), ("V3", 2, ())], &[("V2", 1)]);
    }
    let path_value = source.need("path_config_source")?.message(&PATH)?.need("path")?;
    let path = PathBuf::from(path_value.name()?);
    let text = match raw::read(&path) {
        Ok(text) => text,
        Err(why) => {
            path_value.problem(
                format!("cannot read {}: {why}", path.display()),
                "expected a file that exists (relative to the working directory)",
            );
            return None;
        }
    };
    let sink = value.sink();
    let file = sink.file(&path.display().to_string());
    let root = parse::parse(&text, file, sink)?;
    let initial = eds::endpoints(&Value::root(&root, sink), &service_name)?;
    Some(Discovery::EdsFile { path, service_name, initial })
}

/// Of default and of high priority.
fn breakers(value: &Value<'_>) -> [Breaker; 2] {
    let mut found = [None, None];
    let thresholds_of = value.message(&BREAKERS).map(|f| f.list("thresholds")).unwrap_or_default();
    for value in thresholds_of {
        let Some(fields) = value.message(&THRESHOLDS) else { continue };
        let priority = fields.get("priority").map_or(Some(0), |v| priority(&v));
        let Some(priority) = priority else { continue };
        if found[priority].replace(thresholds(&fields)).is_some() {
            value.problem("thresholds for this priority stand before these", "keep one of them");
        }
    }
    found.map(Option::unwrap_or_default)
}

/// A `RoutingPriority`: 0 is the default, 1 high.
pub fn priority(value: &Value<'_>) -> Option<usize> {
    value.choice(&[("DEFAULT", 0, 0), ("HIGH", 1, 1)])
}

fn thresholds(fields: &Fields<'_>) -> Breaker {
    let limit = |name: &str, default| fields.get(name).and_then(|v| v.wrapper().integer(0, u32::MAX)).unwrap_or(default);
    let at_once = RetryLimit::AtOnce(limit("max_retries", 3));
    let default = Breaker::default();
    Breaker {
        max_connections: limit("max_connections", default.max_connections),
        max_pending_requests: limit("max_pending_requests", default.max_pending_requests),
        max_requests: limit("max_requests", default.max_requests),
        // With a budget the number does not count.
        retries: fields.get("retry_budget").and_then(|v| budget(&v)).unwrap_or(at_once),
    }
}

fn budget(value: &Value<'_>) -> Option<RetryLimit> {
    let fields = value.message(&BUDGET)?;
    let percent = fields.get("budget_percent").map_or(Some(20.0), |v| runtime::percent(&v));
    let least = fields.get("min_retry_concurrency").map_or(Some(3), |v| v.wrapper().integer(0, u32::MAX));
    Some(RetryLimit::Budget { percent: percent?, least: least? })
}

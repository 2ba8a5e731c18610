//! What a route does: forward or answer at once. (Redirects: [`super::redirect`].)

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::clusters::Names;
use super::headers::{self, Both};
use super::{cluster, connection, hash, retry, rewrites, weighted};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{HashPolicy, HostRewrite, MaxDuration, PathRewrite, RetryPolicy, RouteAction, Target, Upgrades};
use crate::config::raw;

const ROUTE: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction",
    fields: "upgrade_configs cluster weighted_clusters cluster_header cluster_not_found_response_code prefix_rewrite regex_rewrite host_rewrite_literal \
        auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host timeout idle_timeout max_stream_duration \
        retry_policy priority hash_policy request_mirror_policies",
    unsupported: "cluster_specifier_plugin inline_cluster_specifier_plugin metadata_match path_rewrite_policy path_rewrite host_rewrite \
        flush_timeout early_data_policy retry_policy_typed_config rate_limits \
        include_vh_rate_limits cors max_grpc_timeout grpc_timeout_offset internal_redirect_policy \
        internal_redirect_action max_internal_redirects hedge_policy",
};

const DURATION: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction.MaxStreamDuration",
    fields: "max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset",
    unsupported: "",
};

const DIRECT: Schema = Schema { name: "envoy.config.route.v3.DirectResponseAction", fields: "status body", unsupported: "body_format" };

const SOURCE: Schema = Schema {
    name: "envoy.config.core.v3.DataSource",
    fields: "filename inline_string",
    unsupported: "inline_bytes environment_variable watched_directory",
};

/// Largest body of a direct response, in bytes (Envoy's default).
const MAX_DIRECT_BODY: usize = 4096;

/// A `RouteAction` whose mirror policies and header operations are still to be combined with those of the other levels.
pub struct Draft<'a> {
    /// Where to.
    pub to: Target,
    /// The header operations of each of several clusters.
    pub cluster_headers: Vec<Both>,
    /// What becomes of the path.
    pub path_rewrite: Option<PathRewrite>,
    /// What becomes of the host.
    pub host_rewrite: Option<HostRewrite>,
    /// Keep the old host in `x-forwarded-host`.
    pub append_forwarded_host: bool,
    /// Whole-request timeout.
    pub timeout: Option<Duration>,
    /// Idle timeout.
    pub idle_timeout: Option<Option<Duration>>,
    /// Longest stream.
    pub max_duration: Option<MaxDuration>,
    /// Protocols that requests may change to.
    pub upgrades: Upgrades,
    /// Retries, when it says something of them.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Counts under the high priority's circuit breakers.
    pub high_priority: bool,
    /// What balancing by hash goes by.
    pub hash: Vec<HashPolicy>,
    /// `request_mirror_policies`, when there.
    pub mirrors: Option<Value<'a>>,
}

/// Reads a `RouteAction`.
pub fn route<'a>(value: &Value<'a>, names: &Names) -> Option<Draft<'a>> {
    let fields = value.message(&ROUTE)?;
    let target = target(&fields, names);
    let timeout = fields.get("timeout").map_or(Some(Duration::from_secs(15)), |v| v.duration());
    let path_rewrite = rewrites::path(&fields);
    let idle_timeout = fields.get("idle_timeout").and_then(|v| v.duration()).map(|t| Some(t).filter(|t| !t.is_zero()));
    let max_duration = fields.get("max_stream_duration").and_then(|v| max_duration(&v));
    let retry = fields.get("retry_policy").and_then(|v| retry::policy(&v)).map(Arc::new);
    let host_rewrite = rewrites::host(&fields);
    let (to, cluster_headers) = target?;
    Some(Draft {
        to,
        cluster_headers,
        path_rewrite,
        host_rewrite,
        append_forwarded_host: fields.flag("append_x_forwarded_host", false),
        timeout: timeout.filter(|t| !t.is_zero()),
        upgrades: connection::route_upgrades(&fields.list("upgrade_configs")),
        idle_timeout,
        max_duration,
        retry,
        high_priority: fields.get("priority").and_then(|v| cluster::priority(&v)) == Some(1),
        hash: fields.list("hash_policy").iter().filter_map(hash::policy).collect(),
        mirrors: fields.get("request_mirror_policies"),
    })
}

fn max_duration(value: &Value<'_>) -> Option<MaxDuration> {
    let fields = value.message(&DURATION)?;
    let part = |name: &str| fields.get(name).and_then(|v| v.duration());
    Some(MaxDuration {
        duration: part("max_stream_duration"),
        grpc_header_max: part("grpc_timeout_header_max"),
        grpc_header_offset: part("grpc_timeout_header_offset").unwrap_or_default(),
    })
}

fn target(fields: &Fields<'_>, names: &Names) -> Option<(Target, Vec<Both>)> {
    let choices = [
        ("SERVICE_UNAVAILABLE", 0, StatusCode::SERVICE_UNAVAILABLE),
        ("NOT_FOUND", 1, StatusCode::NOT_FOUND),
        ("INTERNAL_SERVER_ERROR", 2, StatusCode::INTERNAL_SERVER_ERROR),
    ];
    let missing = fields.get("cluster_not_found_response_code").map_or(Some(StatusCode::SERVICE_UNAVAILABLE), |v| v.choice(&choices));
    match fields.need_one_of(&["cluster", "weighted_clusters", "cluster_header"])? {
        ("cluster", v) => Some((Target::One(names.resolve(&v)?), Vec::new())),
        ("cluster_header", v) => Some((Target::Header { name: headers::header_name(&v)?, missing: missing? }, Vec::new())),
        (_, v) => {
            let (entries, own) = weighted::read(&v, names)?.into_iter().unzip();
            Some((Target::Weighted(entries), own))
        }
    }
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

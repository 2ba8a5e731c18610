//! The HTTP connection manager of a listener.

use std::sync::Arc;
use std::time::Duration;

use super::filters;
use super::headers;
use super::routes::{self, Scope};
use super::{access_log, connection, local_reply};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{
    AccessLog, Codec, EscapedSlashes, HeaderOps, HttpManager, IpRange, LocalReply, RouteAction, RouteTable, ServerHeader, Target,
};
use crate::format::Wanted;

const MANAGER: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    fields: "codec_type stat_prefix route_config http_filters common_http_protocol_options server_name max_request_headers_kb \
        stream_idle_timeout request_timeout request_headers_timeout drain_timeout use_remote_address xff_num_trusted_hops \
        generate_request_id preserve_external_request_id always_set_request_id_in_response internal_address_config skip_xff_append via \
        add_user_agent server_header_transformation normalize_path merge_slashes path_with_escaped_slashes_action \
        strip_matching_host_port strip_any_host_port strip_trailing_host_dot access_log local_reply_config http_protocol_options \
        http2_protocol_options upgrade_configs",
    unsupported: "rds scoped_routes tracing http1_safe_max_connection_duration \
        http3_protocol_options scheme_header_transformation stream_flush_timeout drain_timeout_jitter \
        delayed_close_timeout access_log_flush_interval flush_access_log_on_new_request access_log_options \
        original_ip_detection_extensions early_header_mutation_extensions \
        forward_client_cert_details set_current_client_cert_details forward_client_cert_matcher \
        proxy_100_continue represent_ipv4_remote_address_as_ipv4_mapped_ipv6 \
        request_id_extension \
        stream_error_on_invalid_http_message path_normalization_options proxy_status_config \
        typed_header_validation_config append_x_forwarded_port append_local_overload add_proxy_protocol_connection_state forward_proto_config",
};

const COMMON: Schema = Schema {
    name: "envoy.config.core.v3.HttpProtocolOptions",
    fields: "idle_timeout max_headers_count max_connection_duration max_requests_per_connection",
    unsupported: "max_connection_duration_jitter max_response_headers_kb max_stream_duration \
        headers_with_underscores_action",
};

const INTERNAL: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig",
    fields: "unix_sockets cidr_ranges",
    unsupported: "",
};

const CIDR: Schema = Schema { name: "envoy.config.core.v3.CidrRange", fields: "address_prefix prefix_len", unsupported: "" };

/// Reads the connection manager out of a network filter's `typed_config`.
pub fn manager(value: &Value<'_>, scope: &Scope<'_>) -> Option<HttpManager> {
    let fields = value.any_of(&MANAGER)?;
    let stat_prefix = fields.need("stat_prefix").and_then(|v| v.name());
    let codec = fields.get("codec_type").map_or(Some(Codec::Auto), |v| codec(&v));
    let routes = fields.need("route_config").and_then(|v| routes::table(&v, scope));
    let router = fields.need("http_filters").map(|list| filters::read(&list)).unwrap_or_default();
    let logs = access_log::logs(&fields.list("access_log"));
    let local_reply = fields.get("local_reply_config").and_then(|v| local_reply::config(&v));
    let mut wanted = Wanting::of(&logs, local_reply.as_ref());
    routes.iter().for_each(|table| wanted.routes(table));
    scope.own_mirrors.iter().flatten().for_each(|policy| wanted.operations(&policy.request_headers));
    let common = fields.get("common_http_protocol_options").and_then(|v| v.message(&COMMON));
    let common_get = |name: &str| common.as_ref().and_then(|c| c.get(name));
    let server_name = fields.get("server_name").and_then(|v| v.string()).filter(|name| !name.is_empty());
    let wrapped = |name: &str, low, high, default| fields.get(name).and_then(|v| v.wrapper().integer(low, high)).unwrap_or(default);
    Some(HttpManager {
        codec: codec?,
        connection: connection::options(&fields, common_get),
        generate_request_id: wrapped_flag(&fields, "generate_request_id", true),
        preserve_external_request_id: fields.flag("preserve_external_request_id", false),
        use_remote_address: wrapped_flag(&fields, "use_remote_address", false),
        xff_num_trusted_hops: fields.get("xff_num_trusted_hops").and_then(|v| v.integer(0, 1000)).unwrap_or(0),
        always_set_request_id_in_response: fields.flag("always_set_request_id_in_response", false),
        internal_addresses: fields.get("internal_address_config").map(|v| internal_addresses(&v)).unwrap_or_default(),
        skip_xff_append: fields.flag("skip_xff_append", false),
        server_header: fields.get("server_header_transformation").map_or(Some(ServerHeader::Overwrite), |v| server_header(&v))?,
        via: fields.get("via").and_then(|v| v.string().and_then(|text| headers::header_value(&v, &text))).filter(|via| !via.is_empty()),
        add_user_agent: fields.get("add_user_agent").and_then(|v| user_agent(&v, scope)),
        access_logs: logs,
        wanted: wanted.any.then(|| Arc::new(wanted.headers)),
        local_reply,
        suppress_envoy_headers: router.suppress_envoy_headers,
        normalize_path: wrapped_flag(&fields, "normalize_path", false),
        merge_slashes: fields.flag("merge_slashes", false),
        escaped_slashes: fields.get("path_with_escaped_slashes_action").map_or(Some(EscapedSlashes::Keep), |v| escaped_slashes(&v))?,
        strip_matching_host_port: fields.flag("strip_matching_host_port", false),
        strip_any_host_port: any_port(&fields),
        strip_trailing_host_dot: fields.flag("strip_trailing_host_dot", false),
        server_name: server_name.unwrap_or_else(|| "foreshadow".to_owned()),
        max_request_headers_kb: wrapped("max_request_headers_kb", 1, 8192, 60),
        max_headers_count: common_get("max_headers_count").and_then(|v| v.wrapper().integer(1, 65_535)).unwrap_or(100),
        idle_timeout: off_when_zero(common_get("idle_timeout"), Some(Duration::from_secs(3600))),
        stream_idle_timeout: off_when_zero(fields.get("stream_idle_timeout"), Some(Duration::from_secs(300))),
        request_timeout: off_when_zero(fields.get("request_timeout"), None),
        request_headers_timeout: off_when_zero(fields.get("request_headers_timeout"), None),
        drain_timeout: fields.get("drain_timeout").and_then(|v| v.duration()).unwrap_or(Duration::from_secs(5)),
        stat_prefix: stat_prefix?,
        routes: routes?,
    })
}

/// What has to be kept of exchanges.
struct Wanting {
    headers: Wanted,
    /// Something is read of them at all.
    any: bool,
}

impl Wanting {
    fn of(logs: &[Arc<AccessLog>], local_reply: Option<&LocalReply>) -> Self {
        let mut it = Self { headers: Wanted::default(), any: !logs.is_empty() || local_reply.is_some() };
        for log in logs {
            log.format.want(&mut it.headers);
            log.filter.iter().for_each(|f| f.want(&mut it.headers));
        }
        for mapper in local_reply.iter().flat_map(|l| &l.mappers) {
            mapper.filter.want(&mut it.headers);
            it.operations(&mapper.headers);
        }
        let formats = local_reply.into_iter().flat_map(|l| l.mappers.iter().map(|m| &m.format).chain([&l.format])).flatten();
        formats.for_each(|f| f.format.want(&mut it.headers));
        it
    }

    fn operations(&mut self, ops: &HeaderOps) {
        self.any |= ops.want(&mut self.headers);
    }

    fn routes(&mut self, table: &RouteTable) {
        for route in table.virtual_hosts.iter().flat_map(|host| &host.routes) {
            self.operations(&route.request_headers);
            self.operations(&route.response_headers);
            let RouteAction::Forward(to) = &route.action else { continue };
            to.mirrors.iter().for_each(|policy| self.operations(&policy.request_headers));
            if let Target::Weighted(several) = &to.to {
                for own in several.iter().filter_map(|w| w.headers.as_deref()) {
                    self.operations(&own.0);
                    self.operations(&own.1);
                }
            }
        }
    }
}

fn codec(value: &Value<'_>) -> Option<Codec> {
    value.supported_choice(&[("AUTO", 0, Codec::Auto), ("HTTP1", 1, Codec::Http1), ("HTTP2", 2, Codec::Http2)], &[("HTTP3", 3)])
}

fn server_header(value: &Value<'_>) -> Option<ServerHeader> {
    value.choice(&[
        ("OVERWRITE", 0, ServerHeader::Overwrite),
        ("APPEND_IF_ABSENT", 1, ServerHeader::AppendIfAbsent),
        ("PASS_THROUGH", 2, ServerHeader::PassThrough),
    ])
}

fn escaped_slashes(value: &Value<'_>) -> Option<EscapedSlashes> {
    value.choice(&[
        ("IMPLEMENTATION_SPECIFIC_DEFAULT", 0, EscapedSlashes::Keep),
        ("KEEP_UNCHANGED", 1, EscapedSlashes::Keep),
        ("REJECT_REQUEST", 2, EscapedSlashes::Reject),
        ("UNESCAPE_AND_REDIRECT", 3, EscapedSlashes::Redirect),
        ("UNESCAPE_AND_FORWARD", 4, EscapedSlashes::Forward),
    ])
}

/// Our name, when `add_user_agent` wants it told.
fn user_agent(value: &Value<'_>, scope: &Scope<'_>) -> Option<http::HeaderValue> {
    if value.wrapper().boolean()? { headers::header_value(value, scope.service_cluster) } else { None }
}

/// Both ways to strip ports at once contradict each other.
fn any_port(fields: &Fields<'_>) -> bool {
    let any = fields.flag("strip_any_host_port", false);
    if any && fields.flag("strip_matching_host_port", false) {
        let right = "keep strip_any_host_port alone, which strips matching ports, too";
        fields.value().problem("strip_any_host_port and strip_matching_host_port exclude each other", right);
    }
    any
}

fn internal_addresses(value: &Value<'_>) -> Vec<IpRange> {
    let Some(fields) = value.message(&INTERNAL) else { return Vec::new() };
    fields.flag("unix_sockets", false);
    fields.list("cidr_ranges").iter().filter_map(cidr).collect()
}

/// A `CidrRange`.
pub fn cidr(value: &Value<'_>) -> Option<IpRange> {
    let fields = value.message(&CIDR)?;
    let address = fields.need("address_prefix").and_then(|v| v.ip());
    let bits = address.map_or(128, |a| if a.is_ipv4() { 32 } else { 128 });
    let prefix = fields.get("prefix_len").map_or(Some(0), |v| v.wrapper().integer(0, bits));
    Some(IpRange { address: address?, prefix: prefix? as u8 })
}

fn wrapped_flag(fields: &Fields<'_>, name: &str, default: bool) -> bool {
    fields.get(name).and_then(|v| v.wrapper().boolean()).unwrap_or(default)
}

fn off_when_zero(value: Option<Value<'_>>, default: Option<Duration>) -> Option<Duration> {
    match value {
        Some(value) => value.duration().filter(|d| !d.is_zero()),
        None => default,
    }
}

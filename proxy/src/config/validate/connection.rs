//! Settings of client connections, and of HTTP/1.1 and HTTP/2 on them.

use std::time::Duration;

use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{ConnectionOptions, Http2Options, Upgrades};

const HTTP1: Schema = Schema {
    name: "envoy.config.core.v3.Http1ProtocolOptions",
    fields: "accept_http_10 allow_absolute_url",
    unsupported: "default_host_for_http_10 header_key_format enable_trailers allow_chunked_length override_stream_error_on_invalid_http_message \
        send_fully_qualified_url use_balsa_parser allow_custom_methods ignore_http_11_upgrade",
};

const HTTP2: Schema = Schema {
    name: "envoy.config.core.v3.Http2ProtocolOptions",
    fields: "max_concurrent_streams initial_stream_window_size initial_connection_window_size connection_keepalive allow_connect",
    unsupported: "hpack_table_size allow_metadata max_outbound_frames max_outbound_control_frames \
        max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream \
        max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging \
        override_stream_error_on_invalid_http_message custom_settings_parameters use_oghttp2_codec max_metadata_size \
        enable_huffman_encoding max_header_field_size_kb disallow_obs_text stream_reset_burst stream_reset_rate",
};

const KEEPALIVE: Schema = Schema {
    name: "envoy.config.core.v3.KeepaliveSettings",
    fields: "interval timeout",
    unsupported: "interval_jitter connection_idle_interval",
};

const UPGRADE: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig",
    fields: "upgrade_type enabled",
    unsupported: "filters",
};

const ROUTE_UPGRADE: Schema =
    Schema { name: "envoy.config.route.v3.RouteAction.UpgradeConfig", fields: "upgrade_type enabled connect_config", unsupported: "" };

const TUNNEL: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig",
    fields: "",
    unsupported: "proxy_protocol_config allow_post",
};

/// Largest window of HTTP/2 (RFC 9113, section 6.9.1).
const MOST: u32 = (1 << 31) - 1;
/// Smallest window that Envoy takes.
const LEAST: u32 = 65_535;

/// Reads what a connection manager says; `common` gives fields of its `common_http_protocol_options`.
pub fn options<'a>(manager: &Fields<'a>, common: impl Fn(&str) -> Option<Value<'a>>) -> ConnectionOptions {
    let http1 = manager.get("http_protocol_options").and_then(|v| v.message(&HTTP1));
    if let Some(value) = http1.as_ref().and_then(|f| f.get("allow_absolute_url"))
        && value.wrapper().boolean() == Some(false)
    {
        value.problem("absolute URLs are always taken", "expected true, or leave it out");
    }
    ConnectionOptions {
        max_duration: common("max_connection_duration").and_then(|v| v.positive_duration()),
        max_requests: common("max_requests_per_connection").and_then(|v| v.wrapper().integer(0, u32::MAX)).filter(|n| *n > 0),
        accept_http_10: http1.is_some_and(|f| f.flag("accept_http_10", false)),
        http2: manager.get("http2_protocol_options").map(|v| http2(&v)).unwrap_or_default(),
        upgrades: upgrades(&manager.list("upgrade_configs"), &UPGRADE),
    }
}

/// Reads `Http2ProtocolOptions`.
pub fn http2(value: &Value<'_>) -> Http2Options {
    let Some(fields) = value.message(&HTTP2) else { return Http2Options::default() };
    let number = |name: &str, low| fields.get(name).and_then(|v| v.wrapper().integer(low, MOST));
    Http2Options {
        max_streams: number("max_concurrent_streams", 1),
        stream_window: number("initial_stream_window_size", LEAST),
        connection_window: number("initial_connection_window_size", LEAST),
        keepalive: fields.get("connection_keepalive").and_then(|v| keepalive(&v)),
        allow_connect: fields.flag("allow_connect", false),
    }
}

fn keepalive(value: &Value<'_>) -> Option<(Duration, Duration)> {
    let fields = value.message(&KEEPALIVE)?;
    let timeout = fields.need("timeout").and_then(|v| v.positive_duration());
    let interval = fields.get("interval").and_then(|v| v.positive_duration());
    Some((interval?, timeout?))
}

/// Reads a route's `upgrade_configs`.
pub fn route_upgrades(list: &[Value<'_>]) -> Upgrades {
    upgrades(list, &ROUTE_UPGRADE)
}

fn upgrades(list: &[Value<'_>], schema: &'static Schema) -> Upgrades {
    let mut found = Upgrades::default();
    for value in list {
        let Some(fields) = value.message(schema) else { continue };
        let Some(kind) = fields.need("upgrade_type").and_then(|v| v.name()) else { continue };
        let enabled = fields.get("enabled").and_then(|v| v.wrapper().boolean()).unwrap_or(true);
        if let Some(tunnel) = fields.get("connect_config") {
            tunnel.message(&TUNNEL);
            found.ends_connect = kind.eq_ignore_ascii_case("connect");
            if !found.ends_connect {
                tunnel.problem(format!("it does not go with `{kind}`"), "expected upgrade_type: CONNECT, or remove it");
            }
        }
        if found.protocols.iter().any(|(known, _)| known.eq_ignore_ascii_case(&kind)) {
            value.problem(format!("the upgrade to `{kind}` stands twice"), "keep one of them");
        }
        found.protocols.push((kind.to_ascii_lowercase(), enabled));
    }
    found
}

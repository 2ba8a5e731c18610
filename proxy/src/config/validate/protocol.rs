//! `HttpProtocolOptions` of a cluster: HTTP/1.1 or HTTP/2 upstream, and the cluster's own mirror policies.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::Protocol;

/// Key and type of the extension.
const TYPE: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const OPTIONS: Schema = Schema {
    name: TYPE,
    fields: "explicit_http_config auto_config request_mirror_policies",
    unsupported: "common_http_protocol_options upstream_http_protocol_options use_downstream_protocol_config http_filters \
        header_validation_config outlier_detection hash_policy retry_policy",
};

const EXPLICIT: Schema = Schema {
    name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
    fields: "http_protocol_options http2_protocol_options",
    unsupported: "http3_protocol_options",
};

const AUTO: Schema = Schema {
    name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig",
    fields: "http_protocol_options http2_protocol_options",
    unsupported: "http3_protocol_options alternate_protocols_cache_options",
};

const HTTP1: Schema = Schema {
    name: "envoy.config.core.v3.Http1ProtocolOptions",
    fields: "",
    unsupported: "allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers allow_chunked_length \
        override_stream_error_on_invalid_http_message send_fully_qualified_url use_balsa_parser allow_custom_methods ignore_http_11_upgrade",
};

const HTTP2: Schema = Schema {
    name: "envoy.config.core.v3.Http2ProtocolOptions",
    fields: "",
    unsupported: "hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect \
        allow_metadata max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload \
        max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging \
        override_stream_error_on_invalid_http_message custom_settings_parameters connection_keepalive use_oghttp2_codec max_metadata_size \
        enable_huffman_encoding max_header_field_size_kb disallow_obs_text stream_reset_burst stream_reset_rate",
};

/// What a cluster's options say.
#[derive(Default)]
pub struct Options<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// `auto_config`, when there: it wants TLS.
    pub auto: Option<Value<'a>>,
    /// `request_mirror_policies`, when there.
    pub mirrors: Option<Value<'a>>,
}

/// Reads `typed_extension_protocol_options`.
pub fn options<'a>(value: &Value<'a>) -> Options<'a> {
    let mut options = Options::default();
    for (key, extension) in value.entries() {
        if key != TYPE {
            extension.problem(format!("the extension `{key}` is unknown or not supported here"), format!("expected {TYPE}"));
            continue;
        }
        let Some(fields) = extension.any_of(&OPTIONS) else { continue };
        options.mirrors = fields.get("request_mirror_policies");
        options.protocol = match fields.need_one_of(&["explicit_http_config", "auto_config"]) {
            Some(("auto_config", v)) => {
                auto(&v);
                options.auto = Some(v);
                Protocol::Auto
            }
            Some((_, v)) => explicit(&v).unwrap_or_default(),
            None => Protocol::Http1,
        };
    }
    options
}

fn auto(value: &Value<'_>) {
    let Some(fields) = value.message(&AUTO) else { return };
    fields.get("http_protocol_options").map(|v| v.message(&HTTP1));
    if let Some(options) = fields.get("http2_protocol_options") {
        http2(&options);
    }
}

fn explicit(value: &Value<'_>) -> Option<Protocol> {
    let fields = value.message(&EXPLICIT)?;
    match fields.need_one_of(&["http_protocol_options", "http2_protocol_options"])? {
        ("http_protocol_options", options) => options.message(&HTTP1).map(|_| Protocol::Http1),
        (_, options) => {
            http2(&options);
            Some(Protocol::Http2)
        }
    }
}

/// Checks `Http2ProtocolOptions`, here and in the cluster's older field of that name.
pub fn http2(value: &Value<'_>) {
    value.message(&HTTP2);
}

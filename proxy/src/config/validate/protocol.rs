//! `HttpProtocolOptions` of a cluster: HTTP/1.1 or HTTP/2 upstream, names asked for in TLS, and the cluster's own mirror policies.

use super::headers;
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::Protocol;
use crate::config::model::tls::AutoSni;

/// Key and type of the extension.
const TYPE: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const OPTIONS: Schema = Schema {
    name: TYPE,
    fields: "explicit_http_config auto_config use_downstream_protocol_config upstream_http_protocol_options request_mirror_policies",
    unsupported: "common_http_protocol_options http_filters \
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

const DOWNSTREAM: Schema = Schema {
    name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig",
    fields: "http_protocol_options http2_protocol_options",
    unsupported: "http3_protocol_options",
};

const NAMES: Schema = Schema {
    name: "envoy.config.core.v3.UpstreamHttpProtocolOptions",
    fields: "auto_sni auto_san_validation override_auto_sni_header",
    unsupported: "",
};

const HTTP1: Schema = Schema {
    name: "envoy.config.core.v3.Http1ProtocolOptions",
    fields: "",
    unsupported: "allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers allow_chunked_length \
        override_stream_error_on_invalid_http_message send_fully_qualified_url use_balsa_parser allow_custom_methods ignore_http_11_upgrade",
};

const HTTP2: Schema = Schema {
    name: "envoy.config.core.v3.Http2ProtocolOptions",
    fields: "allow_connect",
    unsupported: "hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_metadata max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload \
        max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging \
        override_stream_error_on_invalid_http_message custom_settings_parameters connection_keepalive use_oghttp2_codec max_metadata_size \
        enable_huffman_encoding max_header_field_size_kb disallow_obs_text stream_reset_burst stream_reset_rate",
};

/// Names that requests ask for in TLS.
#[derive(Default)]
pub struct AutoNames {
    /// `auto_sni`, and `override_auto_sni_header`.
    pub sni: Option<AutoSni>,
    /// `auto_san_validation`
    pub must_fit: bool,
}

/// What a cluster's options say.
#[derive(Default)]
pub struct Options<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// `auto_config`, when there: it wants TLS.
    pub auto: Option<Value<'a>>,
    /// `upstream_http_protocol_options`
    pub names: AutoNames,
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
        options.names = fields.get("upstream_http_protocol_options").map(|v| names(&v)).unwrap_or_default();
        options.protocol = match fields.need_one_of(&["explicit_http_config", "auto_config", "use_downstream_protocol_config"]) {
            Some(("auto_config", v)) => {
                either(&v, &AUTO);
                options.auto = Some(v);
                Protocol::Auto
            }
            Some(("use_downstream_protocol_config", v)) => {
                either(&v, &DOWNSTREAM);
                Protocol::Downstream
            }
            Some((_, v)) => explicit(&v).unwrap_or_default(),
            None => Protocol::Http1,
        };
    }
    options
}

fn names(value: &Value<'_>) -> AutoNames {
    let Some(fields) = value.message(&NAMES) else { return AutoNames::default() };
    let header = fields.get("override_auto_sni_header").filter(|v| v.string().is_some_and(|text| !text.is_empty()));
    let header = header.and_then(|v| headers::header_name(&v));
    let sni = fields.flag("auto_sni", false).then_some(AutoSni { header });
    let must_fit = fields.flag("auto_san_validation", false);
    if let (Some(v), true, None) = (fields.get("auto_san_validation"), must_fit, &sni) {
        v.problem("the name to check is not the name that is asked for", "expected auto_sni: true beside it");
    }
    AutoNames { sni, must_fit }
}

/// Options of both protocols.
fn either(value: &Value<'_>, schema: &'static Schema) {
    let Some(fields) = value.message(schema) else { return };
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
    // Whether other protocols may be asked for is the endpoint's to say.
    value.message(&HTTP2).map(|fields| fields.flag("allow_connect", false));
}

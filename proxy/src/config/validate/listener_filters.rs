//! Listener filters: what is found out about a connection before its first byte is served.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;

const FILTER: Schema = Schema {
    name: "envoy.config.listener.v3.ListenerFilter",
    fields: "name typed_config",
    unsupported: "config_discovery filter_disabled",
};

const ORIGINAL_DST: Schema = Schema { name: "envoy.extensions.filters.listener.original_dst.v3.OriginalDst", fields: "", unsupported: "" };

const TLS_INSPECTOR: Schema = Schema {
    name: "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    fields: "",
    unsupported: "enable_ja3_fingerprinting enable_ja4_fingerprinting initial_read_buffer_size max_client_hello_size close_connection_on_client_hello_parsing_errors",
};

/// What a listener's filters ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filters {
    /// The first destination of redirected connections.
    pub original_dst: bool,
    /// What connections start with.
    pub tls_inspector: bool,
}

/// Reads `listener_filters`.
pub fn read(list: &[Value<'_>]) -> Filters {
    let mut filters = Filters::default();
    for filter in list {
        let Some(fields) = filter.message(&FILTER) else { continue };
        fields.need("name").map(|v| v.name());
        let Some(config) = fields.need("typed_config") else { continue };
        match config.type_name() {
            Some(name) if name == ORIGINAL_DST.name => filters.original_dst |= config.any(&ORIGINAL_DST).is_some(),
            Some(name) if name == TLS_INSPECTOR.name => filters.tls_inspector |= config.any(&TLS_INSPECTOR).is_some(),
            Some(name) => config.wrong_type(&name, &[ORIGINAL_DST.name, TLS_INSPECTOR.name]),
            None => {}
        }
    }
    filters
}

//! Listener filters: what is found out about a connection before its first byte is served.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;

const FILTER: Schema = Schema {
    name: "envoy.config.listener.v3.ListenerFilter",
    fields: "name typed_config",
    unsupported: "config_discovery filter_disabled",
};

const ORIGINAL_DST: Schema = Schema { name: "envoy.extensions.filters.listener.original_dst.v3.OriginalDst", fields: "", unsupported: "" };

/// What a listener's filters ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filters {
    /// The first destination of redirected connections.
    pub original_dst: bool,
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
            Some(name) => config.wrong_type(&name, &[ORIGINAL_DST.name]),
            None => {}
        }
    }
    filters
}

//! `overload_manager`: of its monitors, the one that bounds client connections. What watches the heap or the processor is not supported.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;

const MANAGER: Schema = Schema {
    name: "envoy.config.overload.v3.OverloadManager",
    fields: "refresh_interval resource_monitors",
    unsupported: "actions loadshed_points buffer_factory_config",
};

const MONITOR: Schema = Schema { name: "envoy.config.overload.v3.ResourceMonitor", fields: "name typed_config", unsupported: "" };

const CONNECTIONS: Schema = Schema {
    name: "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
    fields: "max_active_downstream_connections",
    unsupported: "",
};

/// Most client connections, if they are bounded.
pub fn max_connections(value: &Value<'_>) -> Option<u64> {
    let fields = value.message(&MANAGER)?;
    // How often other monitors look; this one always knows.
    fields.get("refresh_interval").map(|v| v.duration());
    let monitors = fields.list("resource_monitors");
    if monitors.is_empty() {
        value.problem("there is no resource monitor", "expected resource_monitors with the one for downstream connections");
    }
    let mut most = None;
    for monitor in &monitors {
        let Some(fields) = monitor.message(&MONITOR) else { continue };
        fields.need("name").map(|v| v.name());
        let Some(config) = fields.need("typed_config") else { continue };
        match config.type_name() {
            Some(name) if name == CONNECTIONS.name => {}
            Some(name) => {
                config.wrong_type(&name, &[CONNECTIONS.name]);
                continue;
            }
            None => continue,
        }
        let Some(fields) = config.any(&CONNECTIONS) else { continue };
        if most.is_some() {
            monitor.problem("this monitor stands here twice", "expected it once");
        }
        most = fields.need("max_active_downstream_connections").and_then(|v| v.integer(1, u32::MAX)).map(u64::from);
    }
    most
}

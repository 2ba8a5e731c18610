//! HTTP filters: the router, last and alone.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;

const FILTER: Schema = Schema {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    fields: "name typed_config",
    unsupported: "config_discovery is_optional disabled",
};

const ROUTER: Schema = Schema {
    name: "envoy.extensions.filters.http.router.v3.Router",
    fields: "suppress_envoy_headers",
    unsupported: "dynamic_stats start_child_span upstream_log upstream_log_options strict_check_headers \
        respect_expected_rq_timeout suppress_grpc_request_failure_code_stats upstream_http_filters reject_connect_request_early_data",
};

/// What the router is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Router {
    /// Leave out `x-envoy-*` headers.
    pub suppress_envoy_headers: bool,
}

/// Reads `http_filters`.
pub fn read(value: &Value<'_>) -> Router {
    let mut router = Router::default();
    let filters = value.list();
    let last = filters.len().saturating_sub(1);
    let right = "expected the router (envoy.filters.http.router), once, as the last filter";
    if filters.is_empty() {
        value.problem("there are no filters", right);
    }
    for (nth, filter) in filters.iter().enumerate() {
        let Some(fields) = filter.message(&FILTER) else { continue };
        fields.need("name").map(|v| v.name());
        let Some(settings) = fields.need("typed_config").and_then(|v| v.any_of(&ROUTER)) else { continue };
        router.suppress_envoy_headers = settings.flag("suppress_envoy_headers", false);
        if nth != last {
            filter.problem("the router is not the last filter", right);
        }
    }
    router
}

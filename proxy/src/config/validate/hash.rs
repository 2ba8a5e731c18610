//! Hash policies of routes.

use super::headers;
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::{HashOf, HashPolicy};

const POLICY: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction.HashPolicy",
    fields: "header cookie connection_properties query_parameter terminal",
    unsupported: "filter_state",
};

const HEADER: Schema =
    Schema { name: "envoy.config.route.v3.RouteAction.HashPolicy.Header", fields: "header_name", unsupported: "regex_rewrite" };

const COOKIE: Schema =
    Schema { name: "envoy.config.route.v3.RouteAction.HashPolicy.Cookie", fields: "name ttl path", unsupported: "attributes" };

const CONNECTION: Schema =
    Schema { name: "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties", fields: "source_ip", unsupported: "" };

const QUERY: Schema = Schema { name: "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter", fields: "name", unsupported: "" };

/// Reads a `HashPolicy`; one that hashes nothing is none.
pub fn policy(value: &Value<'_>) -> Option<HashPolicy> {
    let fields = value.message(&POLICY)?;
    let of = match fields.need_one_of(&["header", "cookie", "connection_properties", "query_parameter"])? {
        ("header", v) => HashOf::Header(headers::header_name(&v.message(&HEADER)?.need("header_name")?)?),
        ("cookie", v) => cookie(&v)?,
        ("connection_properties", v) => v.message(&CONNECTION)?.flag("source_ip", false).then_some(HashOf::SourceIp)?,
        (_, v) => HashOf::Query(v.message(&QUERY)?.need("name")?.name()?),
    };
    Some(HashPolicy { of, terminal: fields.flag("terminal", false) })
}

fn cookie(value: &Value<'_>) -> Option<HashOf> {
    let fields = value.message(&COOKIE)?;
    let (name, path) = (fields.need("name"), fields.get("path"));
    let text = |v: &Value<'_>| v.string().and_then(|t| headers::header_value(v, &t).map(|_| t));
    let ttl = fields.get("ttl").map(|v| v.duration());
    Some(HashOf::Cookie {
        name: name.and_then(|v| v.name().and_then(|_| text(&v)))?,
        ttl: ttl.map_or(Some(None), |t| t.map(Some))?,
        path: path.map_or(Some(String::new()), |v| text(&v))?,
    })
}

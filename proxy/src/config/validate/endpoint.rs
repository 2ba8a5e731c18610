//! Addresses and load assignments: where listeners bind and where endpoints are.

use std::net::SocketAddr;

use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::Endpoint;

const ADDRESS: Schema =
    Schema { name: "envoy.config.core.v3.Address", fields: "socket_address", unsupported: "pipe envoy_internal_address" };

const SOCKET_ADDRESS: Schema = Schema {
    name: "envoy.config.core.v3.SocketAddress",
    fields: "protocol address port_value ipv4_compat",
    unsupported: "named_port resolver_name network_namespace_filepath",
};

const ASSIGNMENT: Schema = Schema {
    name: "envoy.config.endpoint.v3.ClusterLoadAssignment",
    fields: "cluster_name endpoints",
    unsupported: "named_endpoints policy",
};

const LOCALITY_ENDPOINTS: Schema = Schema {
    name: "envoy.config.endpoint.v3.LocalityLbEndpoints",
    fields: "locality lb_endpoints load_balancing_weight priority",
    unsupported: "metadata load_balancer_endpoints leds_cluster_locality_config proximity",
};

const LOCALITY: Schema = Schema { name: "envoy.config.core.v3.Locality", fields: "region zone sub_zone", unsupported: "" };

const LB_ENDPOINT: Schema = Schema {
    name: "envoy.config.endpoint.v3.LbEndpoint",
    fields: "endpoint health_status load_balancing_weight",
    unsupported: "endpoint_name metadata",
};

const ENDPOINT: Schema = Schema {
    name: "envoy.config.endpoint.v3.Endpoint",
    fields: "address",
    unsupported: "health_check_config hostname additional_addresses observability_name",
};

/// `core.v3.Address` with an IP address.
pub fn socket_address(value: &Value<'_>) -> Option<SocketAddr> {
    let fields = socket_fields(value)?;
    let ip = fields.need("address").and_then(|v| v.ip());
    let port = port(&fields, 0);
    Some(SocketAddr::new(ip?, port?))
}

/// Whether an address that is there may take IPv4 connections although it is one of IPv6.
pub fn ipv4_compat(value: &Value<'_>) -> bool {
    socket_fields(value).is_some_and(|fields| fields.flag("ipv4_compat", false))
}

fn socket_fields<'a>(value: &Value<'a>) -> Option<Fields<'a>> {
    let fields = value.message(&ADDRESS)?.need("socket_address")?.message(&SOCKET_ADDRESS)?;
    if let Some(protocol) = fields.get("protocol") {
        protocol.supported_choice(&[("TCP", 0, ())], &[("UDP", 1)]);
    }
    Some(fields)
}

fn port(fields: &Fields<'_>, low: u32) -> Option<u16> {
    fields.need("port_value")?.integer(low, 65_535).and_then(|port| u16::try_from(port).ok())
}

/// An endpoint before it is known whether names are allowed.
pub struct Host {
    /// IP address or name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Weight.
    pub weight: u32,
    /// Whether it may take traffic.
    pub healthy: bool,
}

/// A `ClusterLoadAssignment` whose endpoints are IP addresses.
pub fn addresses(fields: &Fields<'_>) -> Vec<Endpoint> {
    each(fields, |address, host| {
        let ip = address.ip()?;
        Some(Endpoint { address: SocketAddr::new(ip, host.port), weight: host.weight, healthy: host.healthy })
    })
}

/// A `ClusterLoadAssignment` whose endpoints are names or IP addresses.
pub fn hosts(fields: &Fields<'_>) -> Vec<(String, u16, u32)> {
    each(fields, |_, host| Some((host.host, host.port, host.weight)))
}

/// The fields of a `ClusterLoadAssignment`; its name is required.
pub fn assignment<'a>(value: &Value<'a>) -> Option<Fields<'a>> {
    let fields = value.message(&ASSIGNMENT)?;
    fields.need("cluster_name").map(|v| v.name());
    Some(fields)
}

/// The same inside an Any.
pub fn assignment_any<'a>(value: &Value<'a>) -> Option<Fields<'a>> {
    let fields = value.any_of(&ASSIGNMENT)?;
    fields.need("cluster_name").map(|v| v.name());
    Some(fields)
}

fn each<T>(fields: &Fields<'_>, make: impl Fn(&Value<'_>, Host) -> Option<T>) -> Vec<T> {
    let mut found = Vec::new();
    let mut total: u64 = 0;
    for locality in fields.list("endpoints") {
        let Some(fields) = locality.message(&LOCALITY_ENDPOINTS) else { continue };
        labels(&fields);
        for value in fields.list("lb_endpoints") {
            let Some((address, host)) = host(&value) else { continue };
            total += u64::from(host.weight);
            found.extend(make(&address, host));
        }
    }
    if total > u64::from(u32::MAX) {
        fields.value().problem(format!("the weights add up to {total}"), "expected a sum that fits into 32 bits");
    }
    found
}

/// The locality is a label, and its weight is without effect unless balancing goes by locality (as in Envoy). Priorities would have one.
fn labels(fields: &Fields<'_>) {
    if let Some(label) = fields.get("locality").and_then(|v| v.message(&LOCALITY)) {
        for part in ["region", "zone", "sub_zone"] {
            label.get(part).map(|v| v.string());
        }
    }
    fields.get("load_balancing_weight").map(|v| v.wrapper().integer(1, u32::MAX));
    if let Some(priority) = fields.get("priority")
        && priority.integer(0, 128).is_some_and(|p| p > 0)
    {
        priority.problem("priorities are not supported yet", "expected 0");
    }
}

fn host<'a>(value: &Value<'a>) -> Option<(Value<'a>, Host)> {
    let fields = value.message(&LB_ENDPOINT)?;
    let weight = fields.get("load_balancing_weight").map_or(Some(1), |v| v.wrapper().integer(1, u32::MAX));
    let healthy = fields.get("health_status").map_or(Some(true), |v| health(&v));
    let socket = socket_fields(&fields.need("endpoint")?.message(&ENDPOINT)?.need("address")?)?;
    let address = socket.need("address")?;
    let host = address.name();
    let port = port(&socket, 1);
    Some((address, Host { host: host?, port: port?, weight: weight?, healthy: healthy? }))
}

fn health(value: &Value<'_>) -> Option<bool> {
    let choices = [("UNKNOWN", 0, true), ("HEALTHY", 1, true), ("UNHEALTHY", 2, false), ("DRAINING", 3, false), ("TIMEOUT", 4, false)];
    value.supported_choice(&choices, &[("DEGRADED", 5)])
}

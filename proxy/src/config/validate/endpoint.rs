//! Addresses and load assignments: where listeners bind and where endpoints are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{DnsHost, Endpoint, Locality};

const ADDRESS: Schema =
    Schema { name: "envoy.config.core.v3.Address", fields: "socket_address", unsupported: "pipe envoy_internal_address" };

const SOCKET_ADDRESS: Schema = Schema {
    name: "envoy.config.core.v3.SocketAddress",
    fields: "protocol address port_value ipv4_compat",
    unsupported: "named_port resolver_name network_namespace_filepath",
};

const ASSIGNMENT: Schema = Schema {
    name: "envoy.config.endpoint.v3.ClusterLoadAssignment",
    fields: "cluster_name endpoints policy",
    unsupported: "named_endpoints",
};

const POLICY: Schema = Schema {
    name: "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
    fields: "overprovisioning_factor",
    unsupported: "drop_overloads endpoint_stale_after weighted_priority_health",
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
    fields: "address hostname",
    unsupported: "health_check_config additional_addresses observability_name",
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

/// A `ClusterLoadAssignment` whose endpoints are IP addresses.
pub fn addresses(fields: &Fields<'_>) -> Vec<Endpoint> {
    each(fields, |place, host| {
        let ip = place.ip()?;
        Some(Endpoint { address: SocketAddr::new(ip, host.port), ..host.like })
    })
}

/// A `ClusterLoadAssignment` whose endpoints are names or IP addresses.
pub fn hosts(fields: &Fields<'_>) -> Vec<DnsHost> {
    each(fields, |_, mut host| {
        if host.like.hostname.is_empty() {
            host.like.hostname = host.name.as_str().into();
        }
        Some(host)
    })
}

/// The fields of a `ClusterLoadAssignment`; its name is required.
pub fn assignment<'a>(value: &Value<'a>) -> Option<Fields<'a>> {
    let fields = value.message(&ASSIGNMENT)?;
    fields.need("cluster_name").map(|v| v.name());
    Some(fields)
}

/// `policy.overprovisioning_factor` of a `ClusterLoadAssignment`, percent.
pub fn overprovisioning(fields: &Fields<'_>) -> Option<u32> {
    fields.get("policy")?.message(&POLICY)?.get("overprovisioning_factor")?.wrapper().integer(1, u32::MAX)
}

/// The same inside an Any.
pub fn assignment_any<'a>(value: &Value<'a>) -> Option<Fields<'a>> {
    let fields = value.any_of(&ASSIGNMENT)?;
    if let Some(policy) = fields.get("policy") {
        policy.problem("a policy in an endpoint file is not supported yet", "remove it");
    }
    fields.need("cluster_name").map(|v| v.name());
    Some(fields)
}

fn each<T>(fields: &Fields<'_>, make: impl Fn(&Value<'_>, DnsHost) -> Option<T>) -> Vec<T> {
    let mut found = Vec::new();
    let mut total: u64 = 0;
    for group in fields.list("endpoints") {
        let Some(fields) = group.message(&LOCALITY_ENDPOINTS) else { continue };
        let (locality, priority) = (Arc::new(locality(&fields)), fields.get("priority").and_then(|v| v.integer(0, 128)).unwrap_or(0));
        for value in fields.list("lb_endpoints") {
            let Some((place, mut host)) = host(&value) else { continue };
            (host.like.locality, host.like.priority) = (locality.clone(), priority);
            total += u64::from(host.like.weight);
            found.extend(make(&place, host));
        }
    }
    if total > u64::from(u32::MAX) {
        fields.value().problem(format!("the weights add up to {total}"), "expected a sum that fits into 32 bits");
    }
    found
}

fn locality(fields: &Fields<'_>) -> Locality {
    let mut locality = Locality::default();
    if let Some(label) = fields.get("locality").and_then(|v| v.message(&LOCALITY)) {
        locality.name = ["region", "zone", "sub_zone"].map(|part| label.get(part).and_then(|v| v.string()).unwrap_or_default());
    }
    locality.weight = fields.get("load_balancing_weight").and_then(|v| v.wrapper().integer(1, u32::MAX)).unwrap_or(0);
    locality
}

fn host<'a>(value: &Value<'a>) -> Option<(Value<'a>, DnsHost)> {
    let fields = value.message(&LB_ENDPOINT)?;
    let weight = fields.get("load_balancing_weight").map_or(Some(1), |v| v.wrapper().integer(1, u32::MAX));
    let healthy = fields.get("health_status").map_or(Some(true), |v| health(&v));
    let endpoint = fields.need("endpoint")?.message(&ENDPOINT)?;
    let hostname = endpoint.get("hostname").map_or(Some(String::new()), |v| v.string());
    let socket = socket_fields(&endpoint.need("address")?)?;
    let place = socket.need("address")?;
    let name = place.name();
    let port = port(&socket, 1);
    let like = Endpoint {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port?),
        hostname: hostname?.into(),
        weight: weight?,
        healthy: healthy?,
        priority: 0,
        locality: Arc::default(),
    };
    Some((place, DnsHost { name: name?, port: port?, like }))
}

fn health(value: &Value<'_>) -> Option<bool> {
    let choices = [("UNKNOWN", 0, true), ("HEALTHY", 1, true), ("UNHEALTHY", 2, false), ("DRAINING", 3, false), ("TIMEOUT", 4, false)];
    value.supported_choice(&choices, &[("DEGRADED", 5)])
}

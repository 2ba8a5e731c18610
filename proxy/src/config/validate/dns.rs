//! Clusters whose endpoints are names: STRICT_DNS and LOGICAL_DNS.

use std::time::Duration;

use super::endpoint;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{Discovery, Dns, DnsFamily, DnsServers};

const FAILURE: Schema =
    Schema { name: "envoy.config.cluster.v3.Cluster.RefreshRate", fields: "base_interval max_interval", unsupported: "" };

const EXTENSION: Schema = Schema { name: "envoy.config.core.v3.TypedExtensionConfig", fields: "name typed_config", unsupported: "" };

const RESOLVER: Schema = Schema {
    name: "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
    fields: "resolvers dns_resolver_options",
    unsupported: "use_resolvers_as_fallback filter_unroutable_families udp_max_queries query_timeout_seconds query_tries \
        rotate_nameservers edns0_max_payload_size max_udp_channel_duration reinit_channel_on_timeout",
};

const OPTIONS: Schema =
    Schema { name: "envoy.config.core.v3.DnsResolverOptions", fields: "use_tcp_for_dns_lookups", unsupported: "no_default_search_domain" };

/// Refuses fields about names where there are none.
pub fn only_with_names(fields: &Fields<'_>, names: bool) {
    for name in ["dns_refresh_rate", "dns_failure_refresh_rate", "dns_jitter", "respect_dns_ttl", "typed_dns_resolver_config"] {
        if let (Some(value), false) = (fields.get(name), names) {
            value.problem("it does not go with this type of cluster", "remove it, or use STRICT_DNS or LOGICAL_DNS");
        }
    }
}

/// Reads the settings out of a cluster's fields.
pub fn discovery(fields: &Fields<'_>, assignment: Option<&Fields<'_>>, logical: bool) -> Option<Discovery> {
    let refresh = fields.get("dns_refresh_rate").map_or(Some(Duration::from_secs(5)), |v| rate(&v));
    let failure = fields.get("dns_failure_refresh_rate").map(|v| failure(&v));
    let families = [
        ("AUTO", 0, DnsFamily::All),
        ("V4_ONLY", 1, DnsFamily::V4),
        ("V6_ONLY", 2, DnsFamily::V6),
        ("V4_PREFERRED", 3, DnsFamily::V4Preferred),
        ("ALL", 4, DnsFamily::All),
    ];
    let family = fields.get("dns_lookup_family").map_or(Some(DnsFamily::All), |v| v.choice(&families));
    let hosts = assignment.map(endpoint::hosts).unwrap_or_default();
    let servers = fields.get("typed_dns_resolver_config").map(|v| servers(&v));
    if let (true, Some(assignment), true) = (logical, assignment, hosts.len() != 1) {
        let what = format!("a cluster of type LOGICAL_DNS has {} endpoints", hosts.len());
        assignment.value().problem(what, "expected one, or type: STRICT_DNS");
    }
    Some(Discovery::Dns(Dns {
        hosts,
        refresh: refresh?,
        jitter: fields.get("dns_jitter").and_then(|v| v.duration()).unwrap_or_default(),
        failure_refresh: failure.map_or(Some(None), |f| f.map(Some))?,
        family: family?,
        logical,
        ttl: fields.flag("respect_dns_ttl", false),
        servers: servers.map_or(Some(None), |s| s.map(Some))?,
    }))
}

/// Who is asked.
fn servers(value: &Value<'_>) -> Option<DnsServers> {
    let fields = value.message(&EXTENSION)?;
    fields.get("name").map(|v| v.string());
    let config = fields.need("typed_config")?.any_of(&RESOLVER)?;
    let addresses: Vec<_> = config.need("resolvers")?.list().iter().filter_map(endpoint::socket_address).collect();
    let tcp =
        config.get("dns_resolver_options").and_then(|v| v.message(&OPTIONS)).is_some_and(|o| o.flag("use_tcp_for_dns_lookups", false));
    Some(DnsServers { addresses, tcp })
}

/// Envoy wants more than a millisecond.
fn rate(value: &Value<'_>) -> Option<Duration> {
    let rate = value.duration()?;
    if rate <= Duration::from_millis(1) {
        value.problem(format!("{rate:?} is too short"), "expected more than 0.001s");
        return None;
    }
    Some(rate)
}

fn failure(value: &Value<'_>) -> Option<(Duration, Duration)> {
    let fields = value.message(&FAILURE)?;
    let base = fields.need("base_interval").and_then(|v| rate(&v));
    let max = fields.get("max_interval").map(|v| rate(&v));
    let base = base?;
    let max = max.map_or(Some(base * 10), |m| m)?;
    if max < base {
        value.problem("max_interval is shorter than base_interval", "expected at least base_interval");
        return None;
    }
    Some((base, max))
}

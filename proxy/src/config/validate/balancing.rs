//! Balancing of a cluster: its policy, and the messages that tune it.

use super::runtime::{double, percent};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{LbPolicy, LbSettings};

const RING: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster.RingHashLbConfig",
    fields: "minimum_ring_size hash_function maximum_ring_size",
    unsupported: "",
};

const MAGLEV: Schema = Schema { name: "envoy.config.cluster.v3.Cluster.MaglevLbConfig", fields: "table_size", unsupported: "" };

const LEAST: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
    fields: "choice_count active_request_bias",
    unsupported: "slow_start_config",
};

const COMMON: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster.CommonLbConfig",
    fields: "healthy_panic_threshold locality_weighted_lb_config consistent_hashing_lb_config",
    unsupported: "zone_aware_lb_config update_merge_window ignore_new_hosts_until_first_hc close_connections_on_host_set_change \
        override_host_status",
};

const BY_LOCALITY: Schema =
    Schema { name: "envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig", fields: "", unsupported: "" };

const HASHING: Schema = Schema {
    name: "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
    fields: "use_hostname_for_hashing",
    unsupported: "hash_balance_factor",
};

/// Largest table, as in Envoy.
const MAX_TABLE: u32 = 5_000_011;

/// Reads `lb_policy`; clusters that choose themselves have none.
pub fn policy(value: &Value<'_>) -> Option<LbPolicy> {
    let choices = [
        ("ROUND_ROBIN", 0, LbPolicy::RoundRobin),
        ("LEAST_REQUEST", 1, LbPolicy::LeastRequest),
        ("RING_HASH", 2, LbPolicy::RingHash),
        ("RANDOM", 3, LbPolicy::Random),
        ("MAGLEV", 5, LbPolicy::Maglev),
    ];
    value.supported_choice(&choices, &[("CLUSTER_PROVIDED", 6), ("LOAD_BALANCING_POLICY_CONFIG", 7)])
}

/// Reads the messages that tune it out of a cluster's fields.
pub fn settings(fields: &Fields<'_>) -> LbSettings {
    let mut it = LbSettings::default();
    if let Some(ring) = fields.get("ring_hash_lb_config").and_then(|v| v.message(&RING)) {
        let size = |name: &str, default| ring.get(name).and_then(|v| v.wrapper().integer(1, 8 << 20)).map_or(default, u64::from);
        (it.ring_min, it.ring_max) = (size("minimum_ring_size", it.ring_min), size("maximum_ring_size", it.ring_max));
        ring.get("hash_function").map(|v| v.supported_choice(&[("XX_HASH", 0, ())], &[("MURMUR_HASH_2", 1)]));
        if it.ring_min > it.ring_max {
            ring.value().problem("minimum_ring_size is larger than maximum_ring_size", "expected at most that");
        }
    }
    if let Some(size) = fields.get("maglev_lb_config").and_then(|v| v.message(&MAGLEV)).and_then(|m| m.get("table_size")) {
        it.table_size = size.wrapper().integer(2, MAX_TABLE).filter(|n| is_prime(&size, *n)).unwrap_or(it.table_size);
    }
    if let Some(least) = fields.get("least_request_lb_config").and_then(|v| v.message(&LEAST)) {
        it.choices = least.get("choice_count").and_then(|v| v.wrapper().integer(2, u32::MAX)).unwrap_or(it.choices);
        if let Some(bias) = least.get("active_request_bias") {
            it.active_bias = double(&bias).filter(|b| *b >= 0.0).unwrap_or(it.active_bias);
        }
    }
    if let Some(common) = fields.get("common_lb_config").and_then(|v| v.message(&COMMON)) {
        it.panic_percent = common.get("healthy_panic_threshold").and_then(|v| percent(&v)).unwrap_or(it.panic_percent);
        it.by_locality = common.get("locality_weighted_lb_config").is_some_and(|v| v.message(&BY_LOCALITY).is_some());
        let hashing = common.get("consistent_hashing_lb_config").and_then(|v| v.message(&HASHING));
        it.hash_names = hashing.is_some_and(|h| h.flag("use_hostname_for_hashing", false));
    }
    it
}

fn is_prime(place: &Value<'_>, n: u32) -> bool {
    let prime = n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    if !prime {
        place.problem(format!("{n} is not a prime"), "expected a prime, such as 65537");
    }
    prime
}

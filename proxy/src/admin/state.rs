//! `/clusters`, `/listeners`, `/certs`, `/server_info`, `/config_dump`: what there is now, in the shapes of Envoy's admin API.

use super::Shared;
use crate::config::model::tls::{Common, Source};
use crate::config::model::{Cluster, Config, Endpoint, HttpManager};
use crate::control::Life;
use crate::tls::facts::Facts;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const TYPES: &str = "type.googleapis.com/envoy";

fn address(of: SocketAddr) -> Value {
    json!({"socket_address": {"address": of.ip(), "port_value": of.port()}})
}

/// Clusters and their endpoints, as text.
pub fn clusters(shared: &Shared) -> String {
    let (config, known) = (shared.control.config(), shared.control.endpoints());
    let mut text = String::new();
    for c in &config.clusters {
        let limits = [
            ("max_connections", c.breaker.max_connections),
            ("max_pending_requests", c.breaker.max_pending_requests),
            ("max_requests", c.breaker.max_requests),
        ];
        for (name, limit) in limits {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}::default_priority::{name}::{limit}", c.name);
        }
        for e in known.get(&c.name).into_iter().flatten() {
            let health = if e.healthy { "healthy" } else { "/failed_eds_health" };
            let [region, zone, sub_zone] = &e.locality.name;
            let fields = [
                ("hostname", e.hostname.to_string()),
                ("health_flags", health.to_owned()),
                ("weight", e.weight.to_string()),
                ("region", region.clone()),
                ("zone", zone.clone()),
                ("sub_zone", sub_zone.clone()),
                ("priority", e.priority.to_string()),
            ];
            for (name, value) in fields {
                let _ = writeln!(text, "{}::{}::{name}::{value}", c.name, e.address);
            }
        }
    }
    text
}

/// The same as JSON.
pub fn cluster_statuses(shared: &Shared) -> Value {
    let (config, known) = (shared.control.config(), shared.control.endpoints());
    let host = |e: &Endpoint| {
        let [region, zone, sub_zone] = &e.locality.name;
        json!({
            "address": address(e.address), "hostname": &*e.hostname, "weight": e.weight, "priority": e.priority,
            "health_status": {"eds_health_status": if e.healthy { "HEALTHY" } else { "UNHEALTHY" }},
            "locality": {"region": region, "zone": zone, "sub_zone": sub_zone},
        })
    };
    let status = |c: &Cluster| {
        let hosts: Vec<_> = known.get(&c.name).into_iter().flatten().map(host).collect();
        let limits = json!({
            "priority": "DEFAULT", "max_connections": c.breaker.max_connections,
            "max_pending_requests": c.breaker.max_pending_requests, "max_requests": c.breaker.max_requests,
        });
        json!({"name": c.name, "observability_name": c.name, "host_statuses": hosts, "circuit_breakers": {"thresholds": [limits]}})
    };
    json!({"cluster_statuses": config.clusters.iter().map(|c| status(c)).collect::<Vec<_>>()})
}

/// Listeners with their bound addresses.
pub fn listener_statuses(shared: &Shared) -> Value {
    let bound = shared.control.bound();
    let statuses: Vec<_> = bound.iter().map(|(name, at)| json!({"name": name, "local_address": address(*at)})).collect();
    json!({ "listener_statuses": statuses })
}

/// Certificates in use. Keys are nowhere told.
pub fn certs(shared: &Shared) -> Value {
    let (config, tls) = (shared.control.config(), shared.control.tls());
    let down = config.downstream_tls.iter().zip(&tls.servers).map(|(s, t)| chain(&s.common, &t.leaves));
    let up = config.clusters.iter().zip(&tls.clients);
    let up = up.filter_map(|(c, t)| Some(chain(&c.tls.as_ref()?.common, &t.as_ref()?.leaves)));
    json!({"certificates": down.chain(up).collect::<Vec<_>>()})
}

fn chain(common: &Common, leaves: &[CertificateDer<'_>]) -> Value {
    let path = |source: &Source| match source {
        Source::File(path) => path.display().to_string(),
        Source::Inline(_) => "<inline>".to_owned(),
        Source::Environment(name) => format!("<${name}>"),
    };
    let shown = common.identities.iter().zip(leaves).filter_map(|(i, leaf)| Some(certificate(&path(&i.chain), &Facts::of(leaf)?)));
    json!({"ca_cert": [], "cert_chain": shown.collect::<Vec<_>>()})
}

fn certificate(path: &str, facts: &Facts) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    let date = |seconds: i64| jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |t| t.to_string());
    let names: Vec<_> = facts.names.iter().map(|(kind, text)| json!({ *kind: text })).collect();
    json!({
        "path": path, "serial_number": facts.serial, "subject_alt_names": names,
        "days_until_expiration": ((facts.valid.1 - now).max(0) / 86_400).to_string(),
        "valid_from": date(facts.valid.0), "expiration_time": date(facts.valid.1),
    })
}

/// Version, state, age, options.
pub fn server_info(shared: &Shared) -> Value {
    let state = match *shared.control.life().borrow() {
        Life::Live => "LIVE",
        Life::Failed | Life::Draining => "DRAINING",
    };
    let uptime = format!("{}s", shared.control.uptime().as_secs());
    let workers = shared.control.workers();
    json!({
        "version": concat!("foreshadow-proxy/", env!("CARGO_PKG_VERSION")), "state": state, "hot_restart_version": "disabled",
        "uptime_current_epoch": uptime, "uptime_all_epochs": uptime, "concurrency": workers,
        "command_line_options": {"concurrency": workers, "drain_time": format!("{}s", shared.grace.as_secs()), "mode": "Serve"},
    })
}

/// Names, addresses and numbers: nothing that could be a secret.
pub fn config_dump(shared: &Shared) -> Value {
    let config = shared.control.config();
    let cluster = |c: &Cluster| {
        json!({"cluster": {
            "@type": format!("{TYPES}.config.cluster.v3.Cluster"), "name": c.name, "lb_policy": format!("{:?}", c.lb),
            "protocol": format!("{:?}", c.protocol), "tls": c.tls.is_some(), "connect_timeout": format!("{}s", c.connect_timeout.as_secs_f64()),
        }})
    };
    let clusters: Vec<_> = config.clusters.iter().map(|c| cluster(c)).collect();
    json!({"configs": [
        {"@type": format!("{TYPES}.admin.v3.ClustersConfigDump"), "static_clusters": clusters},
        {"@type": format!("{TYPES}.admin.v3.ListenersConfigDump"), "static_listeners": listeners(&config)},
    ]})
}

fn listeners(config: &Config) -> Vec<Value> {
    let hosts =
        |m: &HttpManager| m.routes.virtual_hosts.iter().map(|v| json!({"name": v.name, "routes": v.routes.len()})).collect::<Vec<_>>();
    let listener = |l: &crate::config::model::Listener| {
        let chains = l.all_chains().map(|c| {
            let m = &config.managers[c.manager];
            json!({"name": c.name, "tls": c.tls.is_some(), "stat_prefix": m.stat_prefix, "virtual_hosts": hosts(m)})
        });
        json!({"listener": {
            "@type": format!("{TYPES}.config.listener.v3.Listener"), "name": l.name, "address": address(l.address),
            "filter_chains": chains.collect::<Vec<_>>(),
        }})
    };
    config.listeners.iter().map(|l| listener(l)).collect()
}

//! Names in DNS: looked up again and again, each cluster at its own rate, or when the records expire; after a failure at another rate, longer each
//! time. What cannot be resolved changes nothing: the endpoints before stay. Resolution is the system's (`getaddrinfo`) where nothing else is
//! asked for; it tells no times to live, and knows no servers but its own: that is [`resolver`]'s.

mod resolver;

use crate::config::model::{Config, Discovery, Dns, DnsFamily, DnsHost, Endpoint};
use crate::control::Control;
use rand::RngExt as _;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest wait for names before serving begins.
const FIRST_LOOKUPS: Duration = Duration::from_secs(5);

/// Looked up before anything is served, so that nobody finds an empty cluster; names that fail are tried again later.
pub async fn first_lookups(config: &Config) -> Vec<(String, Vec<Endpoint>)> {
    let asked: Vec<_> = clusters(config)
        .map(|(cluster, dns)| {
            let (cluster, dns) = (cluster.to_owned(), dns.clone());
            tokio::spawn(async move { lookup(&cluster, &dns, &[]).await.map(|found| (cluster, found.endpoints)) })
        })
        .collect();
    let until = Instant::now() + FIRST_LOOKUPS;
    let mut found = Vec::new();
    for task in asked {
        match tokio::time::timeout_at(until, task).await {
            Ok(answer) => found.extend(answer.ok().flatten()),
            Err(_) => tracing::warn!("some names are not resolved yet; their clusters start empty"),
        }
    }
    found
}

fn clusters(config: &Config) -> impl Iterator<Item = (&str, &Dns)> {
    config.clusters.iter().filter_map(|c| match &c.discovery {
        Discovery::Dns(dns) => Some((c.name.as_str(), dns)),
        _ => None,
    })
}

/// When the names of each cluster are looked up next.
pub struct Lookups {
    due: BTreeMap<String, Turn>,
    done: mpsc::UnboundedSender<(String, Option<Found>)>,
    inbox: mpsc::UnboundedReceiver<(String, Option<Found>)>,
}

/// What a lookup came to.
#[derive(Debug)]
struct Found {
    endpoints: Vec<Endpoint>,
    /// When the first of the records expires, from now, if that is known.
    ttl: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    /// None while a lookup is under way.
    at: Option<Instant>,
    failures: u32,
}

impl Default for Lookups {
    fn default() -> Self {
        let (done, inbox) = mpsc::unbounded_channel();
        Self { due: BTreeMap::new(), done, inbox }
    }
}

impl Lookups {
    /// Takes in what was found, and looks up what is due.
    pub fn look(&mut self, control: &Arc<Control>) {
        let config = control.config();
        while let Ok((cluster, found)) = self.inbox.try_recv() {
            let Some((_, dns)) = clusters(&config).find(|c| c.0 == cluster) else { continue };
            let failures = if found.is_some() { 0 } else { self.due.get(&cluster).map_or(1, |t| t.failures + 1) };
            self.due.insert(
                cluster.clone(),
                Turn { at: Some(Instant::now() + pause(dns, failures, found.as_ref().and_then(|f| f.ttl))), failures },
            );
            if let Some(found) = found {
                control.set_endpoints(&cluster, found.endpoints);
            }
        }
        self.due.retain(|name, _| clusters(&config).any(|c| c.0 == name));
        let now = Instant::now();
        for (cluster, dns) in clusters(&config) {
            let turn = self.due.entry(cluster.to_owned()).or_insert(Turn { at: Some(now), failures: 0 });
            if turn.at.is_some_and(|at| at <= now) {
                turn.at = None;
                let before = control.endpoints().get(cluster).cloned().unwrap_or_default();
                let (cluster, dns, done) = (cluster.to_owned(), dns.clone(), self.done.clone());
                tokio::spawn(async move {
                    let found = lookup(&cluster, &dns, &before).await;
                    // Nobody listens any more only when the process ends.
                    let _ = done.send((cluster, found));
                });
            }
        }
    }
}

/// Time until the next lookup: after failures a random part of a time that doubles. Records that expire at once, by Envoy's rule, say nothing.
fn pause(dns: &Dns, failures: u32, ttl: Option<Duration>) -> Duration {
    let regular = ttl.filter(|ttl| dns.ttl && !ttl.is_zero()).unwrap_or(dns.refresh);
    match (failures, dns.failure_refresh) {
        (0, _) | (_, None) => regular + dns.jitter.mul_f64(rand::rng().random_range(0.0..1.0)),
        (n, Some((base, max))) => {
            let longest = base.saturating_mul(1 << (n - 1).min(16)).min(max);
            longest.mul_f64(rand::rng().random_range(0.5..1.0))
        }
    }
}

/// All endpoints of all names, or the one of a logical name; None when one of the names cannot be resolved.
async fn lookup(cluster: &str, dns: &Dns, before: &[Endpoint]) -> Option<Found> {
    let (mut found, mut ttl) = (Vec::<Endpoint>::new(), None);
    for host in &dns.hosts {
        match addresses(dns, host).await {
            Ok((addresses, expires)) => {
                found.extend(endpoints(&addresses, dns, host, before));
                ttl = ttl.into_iter().chain(expires).min();
            }
            Err(error) => {
                tracing::warn!(cluster, host = host.name, %error, "the name cannot be resolved; the endpoints before stay");
                return None;
            }
        }
    }
    found.sort_by_key(|e| e.address);
    found.dedup();
    Some(Found { endpoints: found, ttl })
}

/// The addresses of a name, and when they expire, if that is known.
async fn addresses(dns: &Dns, host: &DnsHost) -> Result<(Vec<SocketAddr>, Option<Duration>), String> {
    if dns.ttl || dns.servers.is_some() {
        let (found, ttl) = resolver::lookup(&host.name, dns).await?;
        return Ok((found.into_iter().map(|ip| SocketAddr::new(ip, host.port)).collect(), ttl));
    }
    let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await.map_err(|why| why.to_string())?;
    Ok((found.collect(), None))
}

/// The endpoints of a name with these addresses.
fn endpoints(addresses: &[SocketAddr], dns: &Dns, host: &DnsHost, before: &[Endpoint]) -> Vec<Endpoint> {
    let mut usable = of_family(addresses, dns.family);
    if dns.logical {
        // One at a time; the one that is used stays as long as the name has it.
        let stays = usable.iter().find(|a| before.iter().any(|b| b.address == **a)).copied();
        usable = stays.or_else(|| usable.first().copied()).into_iter().collect();
    }
    usable.into_iter().map(|address| Endpoint { address, ..host.like.clone() }).collect()
}

fn of_family(addresses: &[SocketAddr], family: DnsFamily) -> Vec<SocketAddr> {
    let only = |wanted: fn(&IpAddr) -> bool| addresses.iter().filter(|a| wanted(&a.ip())).copied().collect::<Vec<_>>();
    match family {
        DnsFamily::All => addresses.to_vec(),
        DnsFamily::V4 => only(IpAddr::is_ipv4),
        DnsFamily::V6 => only(IpAddr::is_ipv6),
        DnsFamily::V4Preferred => Some(only(IpAddr::is_ipv4)).filter(|v| !v.is_empty()).unwrap_or_else(|| only(IpAddr::is_ipv6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(logical: bool, family: DnsFamily) -> Dns {
        let like = Endpoint {
            address: "0.0.0.0:0".parse().unwrap(),
            hostname: "a.test".into(),
            weight: 1,
            healthy: true,
            priority: 0,
            locality: Arc::default(),
        };
        Dns {
            hosts: vec![DnsHost { name: "a.test".into(), port: 80, like }],
            refresh: Duration::from_secs(5),
            jitter: Duration::ZERO,
            failure_refresh: Some((Duration::from_secs(2), Duration::from_secs(10))),
            family,
            logical,
            ttl: false,
            servers: None,
        }
    }

    #[test]
    fn addresses_by_family_and_one_of_a_logical_name() {
        let all: Vec<SocketAddr> = ["[::1]:80", "10.0.0.1:80", "10.0.0.2:80"].iter().map(|a| a.parse().unwrap()).collect();
        let of = |logical, family, before: &[Endpoint]| {
            let dns = dns(logical, family);
            endpoints(&all, &dns, &dns.hosts[0], before).iter().map(|e| e.address).collect::<Vec<_>>()
        };
        assert_eq!(of(false, DnsFamily::All, &[]), all);
        assert_eq!(of(false, DnsFamily::V4, &[]), all[1..]);
        assert_eq!(of(false, DnsFamily::V6, &[]), all[..1]);
        assert_eq!(of(false, DnsFamily::V4Preferred, &[]), all[1..]);
        assert_eq!(of(true, DnsFamily::V4, &[]), all[1..2]);
        let used = Endpoint { address: all[2], ..dns(true, DnsFamily::V4).hosts[0].like.clone() };
        assert_eq!(of(true, DnsFamily::V4, &[used]), all[2..]);
    }

    #[test]
    fn failures_are_tried_again_at_their_own_rate() {
        let dns = dns(false, DnsFamily::All);
        assert_eq!(pause(&dns, 0, None), dns.refresh);
        for (failures, longest) in [(1, 2), (2, 4), (3, 8), (4, 10), (400, 10)] {
            let pause = pause(&dns, failures, None);
            assert!((longest * 500..=longest * 1000).contains(&(pause.as_millis() as u64)), "{failures}: {pause:?}");
        }
        assert_eq!(super::pause(&Dns { failure_refresh: None, ..dns }, 3, None).as_secs(), 5);
    }

    #[test]
    fn records_are_looked_up_again_when_they_expire() {
        let of = |ttl: bool, told: Option<u64>| {
            let dns = Dns { ttl, ..dns(false, DnsFamily::All) };
            pause(&dns, 0, told.map(Duration::from_secs)).as_secs()
        };
        assert_eq!((of(true, Some(30)), of(true, Some(0)), of(true, None), of(false, Some(30))), (30, 5, 5, 5));
    }
}

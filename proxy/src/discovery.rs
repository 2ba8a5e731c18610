//! Watches what can change while serving: the configuration file, endpoint files, certificates, names in DNS.
//!
//! Files are looked at every [`LOOK`] by their metadata (of the file a link leads to: ConfigMaps are swapped by links) and read when those change. A file that is
//! broken or gone changes nothing and is told in the log, once. Runs on the main thread.

use crate::config::model::{Config, Discovery, DnsHost, Endpoint};
use crate::config::parse_eds;
use crate::control::Control;
use crate::tls::contexts::files;
use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Longest wait for names before serving begins.
const FIRST_LOOKUPS: Duration = Duration::from_secs(5);
/// A change within this time of the last look may have left the metadata as it was: such files are read again.
const RECENT: Duration = Duration::from_secs(2);

/// Who reads files of certificates; no cluster has such a name.
const CERTIFICATES: &str = "\0certificates";

/// What a look at a file remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    length: u64,
    inode: u64,
    content: u64,
}

/// Last looks, by who reads the file: a cluster's name, or nothing for the configuration.
type Marks = BTreeMap<(String, PathBuf), Mark>;

/// Names in DNS that are looked up before anything is served, so that nobody finds an empty cluster; those that fail are tried again later.
pub async fn first_lookups(config: &Config) -> Vec<(String, Vec<Endpoint>)> {
    let names = config.clusters.iter().filter_map(|c| match &c.discovery {
        Discovery::StrictDns { hosts, .. } => Some((c.name.clone(), hosts.clone())),
        _ => None,
    });
    let asked: Vec<_> =
        names.map(|(cluster, hosts)| tokio::spawn(async move { lookup(&cluster, &hosts).await.map(|found| (cluster, found)) })).collect();
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

/// Watches until the proxy ends.
pub async fn watch(control: Arc<Control>, config_file: Option<PathBuf>) {
    let mut marks = Marks::new();
    let mut looked_up: BTreeMap<String, Instant> = BTreeMap::new();
    if let Some(path) = &config_file {
        changed(&mut marks, "", path);
    }
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(path) = &config_file
            && changed(&mut marks, "", path)
        {
            control.reload();
        }
        // Every file is looked at, also when one before it has changed.
        if files(&control.config()).iter().filter(|path| changed(&mut marks, CERTIFICATES, path)).count() > 0 {
            control.renew_certificates();
        }
        for cluster in &control.config().clusters {
            match &cluster.discovery {
                Discovery::Static(_) | Discovery::OriginalDst(_) => {}
                // The first look at an endpoint file reads it: it may have changed since the configuration was loaded.
                Discovery::EdsFile { path, service_name, .. } => {
                    if changed(&mut marks, &cluster.name, path) {
                        read(&control, &cluster.name, path, service_name);
                    }
                }
                Discovery::StrictDns { hosts, refresh } => {
                    let due = looked_up.get(&cluster.name).is_none_or(|at| at.elapsed() >= *refresh);
                    if due {
                        looked_up.insert(cluster.name.clone(), Instant::now());
                        tokio::spawn(resolve(control.clone(), cluster.name.clone(), hosts.clone()));
                    }
                }
            }
        }
    }
}

/// Whether a file changed since this reader's last look. Its content is read only when its metadata changed, or may be about to without showing it; a file
/// that went away is looked at again later.
fn changed(marks: &mut Marks, reader: &str, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok((modified, length, inode)) = std::fs::metadata(path).and_then(|m| Ok((m.modified()?, m.len(), m.ino()))) else { return false };
    let key = (reader.to_owned(), path.to_owned());
    let before = marks.get(&key).copied();
    let same = before.is_some_and(|b| (b.modified, b.length, b.inode) == (modified, length, inode));
    let settled = modified.elapsed().is_ok_and(|age| age > RECENT);
    if same && settled {
        return false;
    }
    let Ok(content) = std::fs::read(path) else { return false };
    let mut hasher = std::hash::DefaultHasher::new();
    content.hash(&mut hasher);
    let now = Mark { modified, length, inode, content: hasher.finish() };
    marks.insert(key, now);
    before.is_none_or(|b| b.content != now.content)
}

fn read(control: &Control, cluster: &str, path: &Path, service_name: &str) {
    match parse_eds(path, service_name) {
        Ok(endpoints) => control.set_endpoints(cluster, endpoints),
        Err(problems) => tracing::error!(cluster, "endpoint file refused, the endpoints before it stay:\n{problems}"),
    }
}

async fn resolve(control: Arc<Control>, cluster: String, hosts: Vec<DnsHost>) {
    if let Some(found) = lookup(&cluster, &hosts).await {
        control.set_endpoints(&cluster, found);
    }
}

/// All addresses of all names; None when one of them cannot be resolved.
async fn lookup(cluster: &str, hosts: &[DnsHost]) -> Option<Vec<Endpoint>> {
    let mut found: Vec<Endpoint> = Vec::new();
    for host in hosts {
        match tokio::net::lookup_host((host.name.as_str(), host.port)).await {
            Ok(addresses) => found.extend(addresses.map(|address| Endpoint { address, ..host.like.clone() })),
            Err(error) => {
                tracing::warn!(cluster, host = host.name, %error, "the name cannot be resolved; the endpoints before stay");
                return None;
            }
        }
    }
    found.sort_by_key(|e| e.address);
    found.dedup();
    Some(found)
}

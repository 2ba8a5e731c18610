//! Watches what can change while serving: the configuration file, endpoint files, certificates, names in DNS.
//!
//! Files are looked at every [`LOOK`] by their metadata (of the file a link leads to: ConfigMaps are swapped by links) and read when those change. A file that is
//! broken or gone changes nothing and is told in the log, once. Runs on the main thread.

pub mod dns;

use crate::config::model::Discovery;
use crate::config::parse_eds;
use crate::control::Control;
use crate::tls::contexts::files;
use dns::Lookups;
use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(250);

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

/// Watches until the proxy ends.
pub async fn watch(control: Arc<Control>, config_file: Option<PathBuf>) {
    let mut marks = Marks::new();
    let mut lookups = Lookups::default();
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
        lookups.look(&control);
        for cluster in &control.config().clusters {
            match &cluster.discovery {
                Discovery::Static(_) | Discovery::OriginalDst(_) | Discovery::Dns(_) => {}
                // The first look at an endpoint file reads it: it may have changed since the configuration was loaded.
                Discovery::EdsFile { path, service_name, .. } => {
                    if changed(&mut marks, &cluster.name, path) {
                        read(&control, &cluster.name, path, service_name);
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

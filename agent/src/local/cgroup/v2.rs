//! Version 2: one hierarchy; a group that holds processes cannot have limited children, so ours stands beside this process's own group, in
//! the nearest ancestor that lets us.

use super::{Group, PERIOD_US, Resources, make, own_path};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the orchestrator's group.
pub fn open(mount: &Path, membership: &str, name: &str) -> Result<BTreeMap<String, PathBuf>, String> {
    let own = own_path(membership, "").unwrap_or("");
    // Only in the root may processes stand beside limited groups.
    let mut candidate = if own.is_empty() { Some(Path::new("")) } else { Path::new(own).parent() };
    let mut why = format!("{} does not offer the controllers cpu and memory", mount.display());
    while let Some(path) = candidate {
        match claim(&mount.join(path), name) {
            Ok(top) => return Ok(BTreeMap::from([("unified".to_owned(), top)])),
            Err(reason) => why = reason,
        }
        candidate = path.parent();
    }
    Err(why)
}

fn claim(parent: &Path, name: &str) -> Result<PathBuf, String> {
    let has = |file: &str| {
        let text = fs::read_to_string(parent.join(file)).unwrap_or_default();
        ["cpu", "memory"].iter().all(|wanted| text.split_whitespace().any(|c| c == *wanted))
    };
    if !has("cgroup.controllers") {
        return Err(format!("{} does not offer the controllers cpu and memory", parent.display()));
    }
    let explain = |what: &Path, e: io::Error| format!("{}: {e}", what.display());
    if !has("cgroup.subtree_control") {
        let file = parent.join("cgroup.subtree_control");
        fs::write(&file, "+cpu +memory").map_err(|e| explain(&file, e))?;
    }
    let top = parent.join(name);
    make(&top).map_err(|e| explain(&top, e))?;
    let file = top.join("cgroup.subtree_control");
    fs::write(&file, "+cpu +memory").map_err(|e| {
        let _ = fs::remove_dir(&top);
        explain(&file, e)
    })?;
    Ok(top)
}

/// Writes limits.
pub fn limit(group: &Group, resources: &Resources) -> io::Result<()> {
    let Some(dir) = group.get("unified") else { return Ok(()) };
    if let Some(quota) = resources.quota_us() {
        fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
    }
    if let Some(bytes) = resources.memory_bytes {
        fs::write(dir.join("memory.max"), bytes.to_string())?;
    }
    Ok(())
}

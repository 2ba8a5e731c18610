//! Version 1: one hierarchy a controller, limits anywhere below.

use super::{Group, PERIOD_US, Resources, make, own_path};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the orchestrator's group in every hierarchy that is mounted.
pub fn open(mount: &Path, membership: &str, name: &str) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut tops = BTreeMap::new();
    for controller in ["cpu", "cpuacct", "memory", "unified"] {
        let root = mount.join(controller);
        if !root.is_dir() {
            continue;
        }
        let own = own_path(membership, if controller == "unified" { "" } else { controller }).unwrap_or("");
        // Inside a container the path may be the host's and not be visible here.
        let parent = Some(root.join(own)).filter(|dir| dir.is_dir()).unwrap_or(root);
        let top = parent.join(name);
        match make(&top) {
            Ok(()) => drop(tops.insert(controller.to_owned(), top)),
            // Only limits need permission: accounting and pressure are taken where they are to be had.
            Err(e) if matches!(controller, "cpu" | "memory") => {
                tops.values().for_each(|dir| drop(fs::remove_dir(dir)));
                return Err(format!("{} cannot be made: {e}", top.display()));
            }
            Err(_) => {}
        }
    }
    if !tops.contains_key("cpu") && !tops.contains_key("memory") {
        tops.values().for_each(|dir| drop(fs::remove_dir(dir)));
        return Err(format!("{} has no cpu or memory controller", mount.display()));
    }
    Ok(tops)
}

/// Writes limits.
pub fn limit(group: &Group, resources: &Resources) -> io::Result<()> {
    if let (Some(dir), Some(quota)) = (group.get("cpu"), resources.quota_us()) {
        fs::write(dir.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())?;
    }
    if let (Some(dir), Some(bytes)) = (group.get("memory"), resources.memory_bytes) {
        fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string())?;
    }
    Ok(())
}

//! Reads what every instance uses, off the async threads: control groups where there are any, else `/proc`.
//!
//! Called once a tick by `collect`. Promises: one scan of `/proc` at most, and only when some instance needs it.

use super::cgroup;
use super::process::ProcessTable;
use super::usage::Usage;
use crate::local::api::Instance;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Use by instance name. Blocking, a few milliseconds.
pub fn read(instances: &[Instance], began: Instant) -> BTreeMap<String, Usage> {
    let mut table: Option<ProcessTable> = None;
    let mut used = BTreeMap::new();
    for instance in instances {
        let from_group = cgroup::read(&instance.cgroups);
        let at_us = began.elapsed().as_micros() as u64;
        let usage = from_group.or(|| {
            (instance.pid != 0).then(|| table.get_or_insert_with(|| ProcessTable::scan(Path::new("/proc"))).usage(instance.pid)).flatten()
        });
        if usage != Usage::default() {
            used.insert(instance.name.clone(), Usage { at_us, ..usage });
        }
    }
    used
}

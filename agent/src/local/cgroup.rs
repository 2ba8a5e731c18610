//! Control groups: each instance in one of its own, `foreshadow-<pid>/<instance>`, with production's or its profile's limits.
//!
//! Version 2 where it is mounted alone, else version 1 (with version 2 beside it for pressure figures, where mounted). Without
//! permission there are none: [`Groups::open`] says why, and instances only learn their limits from their environment. Formats: Linux
//! `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst`, `scheduler/sched-bwc.rst`.
//!
//! Joining is done by the instance's own shell before it becomes the application (`local::launch`): no instruction of the application ever
//! runs outside. Not here: reading usage (`observe::cgroup`).

mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// Scheduling period in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Smallest quota the kernel takes, in microseconds.
const LEAST_QUOTA_US: u64 = 1_000;

/// Limits of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// Processor time, in cores.
    pub cpu_cores: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
}

impl Resources {
    fn quota_us(&self) -> Option<u64> {
        self.cpu_cores.map(|cores| ((cores * PERIOD_US as f64).round() as u64).max(LEAST_QUOTA_US))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The orchestrator's own groups, one per hierarchy, under which instances get theirs.
#[derive(Debug)]
pub struct Groups {
    version: Version,
    /// Controller -> directory.
    tops: BTreeMap<String, PathBuf>,
    /// Could not be removed yet: a process in it had not quite ended.
    doomed: Vec<PathBuf>,
}

/// An instance's group: controller -> directory.
pub type Group = BTreeMap<String, PathBuf>;

impl Groups {
    /// Makes `foreshadow-<pid>` below this process's own group (version 1), or beside it (version 2, where a group with processes cannot
    /// have limited children). `membership` is the text of `/proc/self/cgroup`. The error is meant for people.
    pub fn open(mount: &Path, membership: &str, pid: u32) -> Result<Self, String> {
        let name = format!("foreshadow-{pid}");
        let (version, tops) = if mount.join("cgroup.controllers").exists() {
            (Version::Two, v2::open(mount, membership, &name)?)
        } else {
            (Version::One, v1::open(mount, membership, &name)?)
        };
        tops.values().filter_map(|top| top.parent()).for_each(|parent| remove_stale(parent, pid));
        Ok(Self { version, tops, doomed: Vec::new() })
    }

    /// Makes an instance's group, with limits. What was made is removed again when not all of it can be.
    pub fn create(&mut self, instance: &str, resources: &Resources) -> io::Result<Group> {
        let group: Group = self.tops.iter().map(|(controller, top)| (controller.clone(), top.join(instance))).collect();
        let limit = match self.version {
            Version::One => v1::limit,
            Version::Two => v2::limit,
        };
        let made = group.values().try_for_each(|dir| make(dir)).and_then(|()| limit(&group, resources));
        if made.is_err() {
            self.remove(&group);
        }
        made.map(|()| group)
    }

    /// Removes an instance's group, now or as soon as its last process is gone.
    pub fn remove(&mut self, group: &Group) {
        self.doomed.extend(group.values().cloned());
        self.tidy();
    }

    /// Tries again to remove what could not be removed before.
    pub fn tidy(&mut self) {
        self.doomed.retain(|dir| fs::remove_dir(dir).is_err_and(|e| e.kind() != io::ErrorKind::NotFound));
    }

    /// Whether nothing waits for removal.
    pub fn is_tidy(&self) -> bool {
        self.doomed.is_empty()
    }

    /// The groups that hold all others: what has to be removed last.
    pub fn tops(&self) -> impl Iterator<Item = &Path> {
        self.tops.values().map(PathBuf::as_path)
    }

    /// Removes everything. Processes must have ended.
    pub fn close(mut self) {
        self.tidy();
        for top in self.tops.values() {
            let _ = fs::remove_dir(top);
        }
    }
}

/// Files through which a process joins, by writing its id.
pub fn entrances(group: &Group) -> impl Iterator<Item = PathBuf> {
    // Two controllers mounted together are one directory.
    let unique: std::collections::BTreeSet<_> = group.values().map(|dir| dir.join("cgroup.procs")).collect();
    unique.into_iter()
}

/// Whether some process is in it.
pub fn is_populated(group: &Group) -> bool {
    group.values().all(|dir| fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty()))
}

/// Removes what orchestrators that are no more could not remove. The kernel refuses to remove a group that has members.
fn remove_stale(parent: &Path, own: u32) {
    let stale = |dir: &PathBuf| {
        let pid = dir.file_name().and_then(|name| name.to_str()?.strip_prefix("foreshadow-")?.parse::<u32>().ok());
        pid.is_some_and(|pid| pid != own && !Path::new(&format!("/proc/{pid}")).exists())
    };
    let directories = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    for top in directories(parent).filter(stale) {
        directories(&top).for_each(|dir| drop(fs::remove_dir(dir)));
        let _ = fs::remove_dir(top);
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Path of this process's group in a hierarchy, from a line `ID:CONTROLLERS:PATH` of `/proc/self/cgroup`.
fn own_path<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?.trim_start_matches('/');
        let found = if controller.is_empty() { controllers.is_empty() } else { controllers.split(',').any(|c| c == controller) };
        found.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Resources = Resources { cpu_cores: Some(0.5), memory_bytes: Some(64 << 20) };

    fn text(path: PathBuf) -> String {
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    #[test]
    fn version_1_limits_below_its_own_group() {
        let dir = tempfile::tempdir().unwrap();
        for controller in ["cpu", "cpuacct", "memory/box", "unified"] {
            fs::create_dir_all(dir.path().join(controller)).unwrap();
        }
        let membership = "4:memory:/box\n2:cpu,cpuacct:/\n0::/\n";
        let mut groups = Groups::open(dir.path(), membership, 7).unwrap();
        let group = groups.create("replica-1", &HALF).unwrap();
        assert_eq!(group.keys().map(String::as_str).collect::<Vec<_>>(), ["cpu", "cpuacct", "memory", "unified"]);
        assert_eq!(group["memory"], dir.path().join("memory/box/foreshadow-7/replica-1"));
        assert_eq!(text(group["cpu"].join("cpu.cfs_quota_us")), "50000");
        assert_eq!(text(group["cpu"].join("cpu.cfs_period_us")), "100000");
        assert_eq!(text(group["memory"].join("memory.limit_in_bytes")), (64 << 20).to_string());
    }

    #[test]
    fn version_2_limits_beside_its_own_group() {
        let dir = tempfile::tempdir().unwrap();
        let slice = dir.path().join("user.slice");
        fs::create_dir_all(slice.join("me.scope")).unwrap();
        for d in [dir.path(), &slice] {
            fs::write(d.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        }
        fs::write(slice.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        let mut groups = Groups::open(dir.path(), "0::/user.slice/me.scope\n", 7).unwrap();
        let group = groups.create("shadow-1", &HALF).unwrap();
        assert_eq!(group["unified"], slice.join("foreshadow-7/shadow-1"));
        assert_eq!(text(slice.join("foreshadow-7/cgroup.subtree_control")), "+cpu +memory");
        assert_eq!(text(group["unified"].join("cpu.max")), "50000 100000");
        assert_eq!(text(group["unified"].join("memory.max")), (64 << 20).to_string());
    }

    #[test]
    fn no_limit_is_written_when_none_is_wanted_and_tiny_ones_are_what_the_kernel_takes() {
        let dir = tempfile::tempdir().unwrap();
        for controller in ["cpu", "memory"] {
            fs::create_dir_all(dir.path().join(controller)).unwrap();
        }
        let mut groups = Groups::open(dir.path(), "", 7).unwrap();
        let group = groups.create("replica-1", &Resources::default()).unwrap();
        assert!(!group["cpu"].join("cpu.cfs_quota_us").exists() && !group["memory"].join("memory.limit_in_bytes").exists());
        let group = groups.create("replica-2", &Resources { cpu_cores: Some(0.001), memory_bytes: None }).unwrap();
        assert_eq!(text(group["cpu"].join("cpu.cfs_quota_us")), "1000");
    }

    #[test]
    fn what_dead_orchestrators_left_is_removed_and_what_living_ones_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, living) = (format!("foreshadow-{}", u32::MAX), format!("foreshadow-{}", std::process::id()));
        for name in [&dead, &living] {
            fs::create_dir_all(dir.path().join("cpu").join(name).join("replica-1")).unwrap();
        }
        Groups::open(dir.path(), "", 7).unwrap();
        assert!(!dir.path().join("cpu").join(dead).exists());
        assert!(dir.path().join("cpu").join(living).join("replica-1").exists());
    }

    #[test]
    fn without_control_groups_it_says_so_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let why = Groups::open(dir.path(), "0::/\n", 7).unwrap_err();
        assert!(why.contains("no cpu or memory controller"), "{why}");
        fs::write(dir.path().join("cgroup.controllers"), "pids\n").unwrap();
        let why = Groups::open(dir.path(), "0::/\n", 7).unwrap_err();
        assert!(why.contains("cpu and memory"), "{why}");
    }

    #[test]
    fn groups_are_removed_as_soon_as_they_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("cpu")).unwrap();
        fs::create_dir_all(dir.path().join("memory")).unwrap();
        let mut groups = Groups::open(dir.path(), "", 7).unwrap();
        let group = groups.create("replica-1", &Resources::default()).unwrap();
        let busy = group["cpu"].join("busy");
        fs::write(&busy, "").unwrap();
        groups.remove(&group);
        assert!(!groups.is_tidy() && !group["memory"].exists());
        fs::remove_file(busy).unwrap();
        groups.tidy();
        assert!(groups.is_tidy());
        let tops: Vec<_> = groups.tops().map(Path::to_owned).collect();
        groups.close();
        assert!(tops.len() == 2 && tops.iter().all(|top| !top.exists()));
    }
}

//! Processor time and memory of an application from `/proc`, when it has no control group: its whole process group and all descendants.
//!
//! Called by `resources`, on a blocking thread: one scan serves all instances. Formats: proc_pid_stat(5). Children that ended and were
//! waited for are in their parent's cumulative times, so the sum does not fall when a worker is replaced.

use super::usage::Usage;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Process {
    parent: u32,
    group: u32,
    /// utime + stime + cutime + cstime, in clock ticks.
    ticks: u64,
    /// Resident set, in pages.
    pages: u64,
}

/// Every process there is, at one moment.
#[derive(Debug, Default)]
pub struct ProcessTable {
    processes: BTreeMap<u32, Process>,
}

impl ProcessTable {
    /// Reads `/proc` (or a tree like it).
    pub fn scan(proc: &Path) -> Self {
        let Ok(entries) = fs::read_dir(proc) else { return Self::default() };
        let processes = entries
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                Some((pid, parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
            })
            .collect();
        Self { processes }
    }

    /// Use of the process group that `leader` leads and of all descendants of its members; `None` when the leader is gone.
    pub fn usage(&self, leader: u32) -> Option<Usage> {
        self.processes.get(&leader)?;
        let mut members: BTreeSet<u32> =
            self.processes.iter().filter(|(pid, p)| **pid == leader || p.group == leader).map(|(pid, _)| *pid).collect();
        loop {
            let more: Vec<u32> = self
                .processes
                .iter()
                .filter(|(pid, p)| members.contains(&p.parent) && !members.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let (ticks, pages) =
            members.iter().filter_map(|pid| self.processes.get(pid)).fold((0, 0), |sum, p| (sum.0 + p.ticks, sum.1 + p.pages));
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let memory = pages * rustix::param::page_size() as u64;
        Some(Usage { cpu_us: Some(ticks * 1_000_000 / per_second), memory_bytes: Some(memory), ..Usage::default() })
    }
}

/// One `stat` line. The name may hold spaces and brackets: fields are counted from the last closing one.
fn parse(stat: &str) -> Option<Process> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let times: Option<u64> = [14, 15, 16, 17].iter().map(|n| field(*n)?.parse::<i64>().ok().map(|t| t.max(0) as u64)).sum();
    Some(Process {
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        ticks: times?,
        pages: field(24)?.parse::<i64>().ok()?.max(0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, name: &str, parent: u32, group: u32, utime: u64, pages: u64) -> String {
        format!(
            "{pid} ({name}) S {parent} {group} 1 0 -1 4194304 1 2 3 4 {utime} 10 5 5 20 0 1 0 100 1000000 {pages} 18446744073709551615 0 0\n"
        )
    }

    fn table(lines: &[String]) -> ProcessTable {
        let dir = tempfile::tempdir().unwrap();
        for line in lines {
            let pid = line.split(' ').next().unwrap();
            fs::create_dir(dir.path().join(pid)).unwrap();
            fs::write(dir.path().join(pid).join("stat"), line).unwrap();
        }
        fs::create_dir(dir.path().join("sys")).unwrap();
        ProcessTable::scan(dir.path())
    }

    #[test]
    fn sums_the_group_and_its_descendants_only() {
        let table = table(&[
            stat(10, "sh", 1, 10, 100, 1),
            stat(11, "app (v2) x", 10, 10, 100, 2),
            stat(12, "worker", 11, 12, 100, 3),
            stat(20, "other", 1, 20, 1_000, 50),
        ]);
        let usage = table.usage(10).unwrap();
        let ticks = 3 * (100 + 10 + 5 + 5);
        assert_eq!(usage.cpu_us, Some(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()));
        assert_eq!(usage.memory_bytes, Some(6 * rustix::param::page_size() as u64));
        assert!(table.usage(99).is_none(), "a process that is gone has no use, rather than none");
    }

    #[test]
    fn reads_this_very_process() {
        let usage = ProcessTable::scan(Path::new("/proc")).usage(std::process::id()).unwrap();
        assert!(usage.memory_bytes.unwrap() > 0);
    }
}

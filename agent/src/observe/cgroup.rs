//! Reads a control group, version 2 or 1, into a [`Usage`].
//!
//! Called by `resources`, on a blocking thread. Promises: a file that is missing or odd gives `None` for its field, never a zero.
//! Formats: Linux `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/{cpuacct,memory}.rst`, `scheduler/sched-bwc.rst`, `accounting/psi.rst`.

use super::usage::Usage;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Reads what the directories (`unified`, or `cpu`, `cpuacct` and `memory`) tell.
pub fn read(directories: &BTreeMap<String, String>) -> Usage {
    let directory = |controller: &str| directories.get(controller).map(Path::new);
    let v2 = directory("unified").map(unified).unwrap_or_default();
    Usage {
        at_us: 0,
        cpu_us: v2.cpu_us.or_else(|| Some(number(&directory("cpuacct")?.join("cpuacct.usage"))? / 1_000)),
        throttling: v2.throttling.or_else(|| throttling(&directory("cpu")?.join("cpu.stat"))),
        memory_bytes: v2.memory_bytes.or_else(|| {
            let dir = directory("memory")?;
            working_set(&dir.join("memory.usage_in_bytes"), &dir.join("memory.stat"), "total_inactive_file")
        }),
        stalled_us: v2.stalled_us,
    }
}

fn unified(dir: &Path) -> Usage {
    Usage {
        at_us: 0,
        cpu_us: keyed(&dir.join("cpu.stat"), "usage_usec"),
        throttling: throttling(&dir.join("cpu.stat")),
        memory_bytes: working_set(&dir.join("memory.current"), &dir.join("memory.stat"), "inactive_file"),
        stalled_us: ["cpu", "memory", "io"].map(|what| stalled(&dir.join(format!("{what}.pressure")))),
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The value behind a key, in files of `key value` lines.
fn keyed(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn throttling(file: &Path) -> Option<(u64, u64)> {
    Some((keyed(file, "nr_periods")?, keyed(file, "nr_throttled")?))
}

/// Memory that cannot simply be dropped: what the kubelet calls the working set.
fn working_set(usage: &Path, stat: &Path, inactive: &str) -> Option<u64> {
    Some(number(usage)?.saturating_sub(keyed(stat, inactive).unwrap_or(0)))
}

/// `total=` of the `some` line, microseconds.
fn stalled(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split_whitespace().find_map(|word| word.strip_prefix("total=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn at(dir: &tempfile::TempDir, controllers: &[(&str, &str)]) -> BTreeMap<String, String> {
        controllers.iter().map(|(c, sub)| ((*c).to_owned(), dir.path().join(sub).display().to_string())).collect()
    }

    #[test]
    fn reads_version_2() {
        let dir = tree(&[
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1\nsystem_usec 2\nnr_periods 40\nnr_throttled 7\nthrottled_usec 90\n"),
            ("memory.current", "9000000\n"),
            ("memory.stat", "anon 1\nfile 2\ninactive_file 4000000\nactive_file 3\n"),
            ("cpu.pressure", "some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"),
        ]);
        let usage = read(&at(&dir, &[("unified", "")]));
        assert_eq!(usage.cpu_us, Some(1_500_000));
        assert_eq!(usage.throttling, Some((40, 7)));
        assert_eq!(usage.memory_bytes, Some(5_000_000));
        assert_eq!(usage.stalled_us, [Some(123_456), None, None]);
    }

    #[test]
    fn reads_version_1_and_pressure_beside_it() {
        let dir = tree(&[
            ("cpu/cpu.stat", "nr_periods 10\nnr_throttled 2\nthrottled_time 5\n"),
            ("cpuacct/cpuacct.usage", "2500000000\n"),
            ("memory/memory.usage_in_bytes", "700\n"),
            ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 200\n"),
            ("unified/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
        ]);
        let usage = read(&at(&dir, &[("cpu", "cpu"), ("cpuacct", "cpuacct"), ("memory", "memory"), ("unified", "unified")]));
        assert_eq!((usage.cpu_us, usage.throttling, usage.memory_bytes), (Some(2_500_000), Some((10, 2)), Some(500)));
        assert_eq!(usage.stalled_us, [None, Some(5), None]);
    }

    #[test]
    fn what_is_not_there_is_not_zero() {
        let dir = tree(&[("cpu.stat", "garbage\n")]);
        assert_eq!(read(&at(&dir, &[("unified", "")])), Usage::default());
        assert_eq!(read(&BTreeMap::new()), Usage::default());
    }
}

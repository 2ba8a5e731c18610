//! Processor use, from /proc: of the machine, and of an application with everything in its process group.
//!
//! Called by the reactive scaler and by the demo's own check that the machine is no bottleneck. Not here: limits; no control group is needed.

use std::collections::HashMap;
use std::fs;

/// Cumulative ticks of the whole machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineTicks {
    /// Ticks in use.
    pub busy: u64,
    /// All ticks.
    pub all: u64,
}

impl MachineTicks {
    /// Now; zeros where /proc cannot be read.
    pub fn now() -> Self {
        fs::read_to_string("/proc/stat").ok().and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// First line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal. Time stolen by the hypervisor counts as busy:
    /// it is time this machine did not have.
    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).take(8).map_while(|n| n.parse().ok()).collect();
        let all = numbers.iter().sum();
        Some(Self { busy: all - numbers.get(3)? - numbers.get(4)?, all })
    }

    /// Share of all cores in use since `earlier`, 0..1.
    pub fn busy_since(&self, earlier: &Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { self.busy.saturating_sub(earlier.busy) as f64 / all as f64 }
    }
}

/// Seconds of processor time used so far by the living members of each process group.
pub fn by_group() -> HashMap<u32, f64> {
    let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
    let mut out: HashMap<u32, f64> = HashMap::new();
    for stat in processes().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()) {
        if let Some((group, ticks)) = group_and_ticks(&stat) {
            *out.entry(group).or_default() += ticks as f64 * tick;
        }
    }
    out
}

/// Ids of all processes now.
pub fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Process group, and user + system ticks with those of children waited for, from /proc/PID/stat (proc(5)). The command's name stands in
/// parentheses and may hold anything, so fields are counted from the last one.
fn group_and_ticks(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some((number(2)? as u32, number(11)? + number(12)? + number(13)? + number(14)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stat_lines_with_strange_names() {
        let line = "4242 (a) b (c)) S 1 77 77 0 -1 4194560 100 0 0 0 30 12 5 3 20 0 1 0 100 1 1";
        assert_eq!(group_and_ticks(line), Some((77, 50)));
        assert_eq!(group_and_ticks("garbage"), None);
    }

    #[test]
    fn machine_share_is_busy_over_all() {
        let a = MachineTicks::parse("cpu  100 0 100 700 100 0 0 0 0 0\n").unwrap();
        let b = MachineTicks::parse("cpu  150 0 120 720 110 0 0 0 0 0\n").unwrap();
        assert!((b.busy_since(&a) - 0.7).abs() < 1e-9);
        assert_eq!(a.busy_since(&b), 0.0);
    }

    #[test]
    fn sees_this_process() {
        assert!(processes().any(|p| p == std::process::id()));
        assert!(!by_group().is_empty());
        assert!(MachineTicks::now().all > 0);
    }
}

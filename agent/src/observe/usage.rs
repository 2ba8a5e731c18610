//! What an instance has used so far, and the rates between two readings.
//!
//! Made by `cgroup` and `process`, used by `align`. Cumulative numbers, so that a missed reading loses nothing.

/// Cumulative use of one instance; `None` = could not be read here.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Usage {
    /// When it was read, microseconds of a monotonic clock.
    pub at_us: u64,
    /// Processor time, microseconds.
    pub cpu_us: Option<u64>,
    /// Scheduler periods in which it ran, and in how many of them it was throttled.
    pub throttling: Option<(u64, u64)>,
    /// Memory held now, bytes (page cache that can be dropped at once is left out).
    pub memory_bytes: Option<u64>,
    /// Time stalled (`some`) on cpu, memory, io, microseconds.
    pub stalled_us: [Option<u64>; 3],
}

impl Usage {
    /// The use of both together. Stalls overlap: the longer one counts.
    pub fn plus(self, other: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
        Self {
            at_us: self.at_us.max(other.at_us),
            cpu_us: sum(self.cpu_us, other.cpu_us),
            throttling: self.throttling.zip(other.throttling).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).or(self.throttling).or(other.throttling),
            memory_bytes: sum(self.memory_bytes, other.memory_bytes),
            stalled_us: std::array::from_fn(|i| self.stalled_us[i].max(other.stalled_us[i])),
        }
    }

    /// This reading, with what it lacks taken from `other`.
    pub fn or(self, other: impl FnOnce() -> Option<Self>) -> Self {
        if self.cpu_us.is_some() && self.memory_bytes.is_some() {
            return self;
        }
        let Some(other) = other() else { return self };
        Self { cpu_us: self.cpu_us.or(other.cpu_us), memory_bytes: self.memory_bytes.or(other.memory_bytes), ..self }
    }
}

/// Use of a group of instances over an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Cores, summed.
    pub cpu_cores: Option<f64>,
    /// Throttled share of periods, 0..1.
    pub throttled_ratio: Option<f64>,
    /// Bytes, summed.
    pub memory_bytes: Option<f64>,
    /// Share of the interval stalled on cpu, memory, io: mean over instances.
    pub stalled: [Option<f64>; 3],
}

/// Rates of several instances together, each given as (earlier reading, later reading).
pub fn rates(pairs: &[(Option<Usage>, Usage)]) -> Rates {
    let spans: Vec<(Usage, Usage)> =
        pairs.iter().filter_map(|(old, new)| Some(((*old)?, *new))).filter(|(o, n)| n.at_us > o.at_us).collect();
    let share = |before: Option<u64>, after: Option<u64>, (old, new): &(Usage, Usage)| -> Option<f64> {
        Some(after?.saturating_sub(before?) as f64 / (new.at_us - old.at_us) as f64)
    };
    let cpu: Vec<f64> = spans.iter().filter_map(|s| share(s.0.cpu_us, s.1.cpu_us, s)).collect();
    let memory: Vec<f64> = pairs.iter().filter_map(|(_, new)| new.memory_bytes.map(|b| b as f64)).collect();
    let stalled = std::array::from_fn(|i| {
        let shares: Vec<f64> = spans.iter().filter_map(|s| share(s.0.stalled_us[i], s.1.stalled_us[i], s)).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    });
    Rates {
        cpu_cores: (!cpu.is_empty()).then(|| cpu.iter().sum()),
        throttled_ratio: throttled(&spans),
        memory_bytes: (!memory.is_empty()).then(|| memory.iter().sum()),
        stalled,
    }
}

fn throttled(spans: &[(Usage, Usage)]) -> Option<f64> {
    let counts: Vec<(u64, u64)> = spans
        .iter()
        .filter_map(|(old, new)| {
            let (before, after) = (old.throttling?, new.throttling?);
            Some((after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)))
        })
        .collect();
    if counts.is_empty() {
        return None;
    }
    let (periods, throttled) = counts.iter().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    Some(if periods == 0 { 0.0 } else { throttled as f64 / periods as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, cpu_us: u64) -> Usage {
        Usage { at_us: seconds * 1_000_000, cpu_us: Some(cpu_us), memory_bytes: Some(100), ..Usage::default() }
    }

    #[test]
    fn rates_are_differences_over_each_reading_s_own_time() {
        let pairs = [(Some(at(1, 0)), at(2, 500_000)), (Some(at(1, 0)), at(3, 500_000)), (None, at(3, 9_000_000))];
        let r = rates(&pairs);
        assert_eq!(r.cpu_cores, Some(0.75), "half a core and a quarter; an instance seen first has no rate yet");
        assert_eq!(r.memory_bytes, Some(300.0), "but its memory counts");
        assert_eq!(r.throttled_ratio, None, "unknown is not zero");
    }

    #[test]
    fn containers_of_a_pod_add_up() {
        let a = Usage { throttling: Some((4, 1)), stalled_us: [Some(9), None, None], ..at(1, 10) };
        let both = a.plus(&Usage { stalled_us: [Some(3), Some(2), None], ..at(1, 5) });
        assert_eq!((both.cpu_us, both.memory_bytes, both.throttling), (Some(15), Some(200), Some((4, 1))));
        assert_eq!(both.stalled_us, [Some(9), Some(2), None]);
    }

    #[test]
    fn throttling_is_a_share_of_all_periods() {
        let with = |a, b, t| Usage { throttling: Some((a, b)), ..at(t, 0) };
        let r = rates(&[(Some(with(10, 0, 1)), with(20, 5, 2)), (Some(with(0, 0, 1)), with(10, 0, 2))]);
        assert_eq!(r.throttled_ratio, Some(0.25));
    }
}

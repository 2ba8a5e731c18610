//! How priorities share the load. Envoy's rules: a priority takes as much as its healthy endpoints, overprovisioned, can; what is missing goes to the
//! next one. When all together cannot take everything, those with too few healthy endpoints panic and use all of theirs. Pure.

/// One priority's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Percent of the load.
    pub load: u32,
    /// All endpoints are used.
    pub panic: bool,
}

/// Shares of priorities with so many endpoints, of which so many are healthy.
pub fn shares(counts: &[(usize, usize)], overprovisioning: u32, panic_percent: f64) -> Vec<Share> {
    let health = |(all, healthy): &(usize, usize)| {
        let percent = u64::from(overprovisioning) * *healthy as u64 / (*all as u64).max(1);
        percent.min(100) as u32
    };
    let healths: Vec<u32> = counts.iter().map(health).collect();
    let total = healths.iter().sum::<u32>().min(100);
    let panics = |(all, healthy): &(usize, usize)| total < 100 && (*healthy as f64) * 100.0 < panic_percent * (*all as f64);
    let panics: Vec<bool> = counts.iter().map(panics).collect();
    let loads = if !panics.is_empty() && panics.iter().all(|p| *p) { by_number(counts) } else { by_health(&healths, total) };
    loads.into_iter().zip(panics).map(|(load, panic)| Share { load, panic }).collect()
}

fn by_health(healths: &[u32], total: u32) -> Vec<u32> {
    let mut left = 100;
    let mut loads: Vec<u32> = healths
        .iter()
        .map(|health| {
            let load = left.min((health * 100).checked_div(total).unwrap_or(0));
            left -= load;
            load
        })
        .collect();
    // What rounding left over.
    if let Some(first) = healths.iter().position(|h| *h > 0) {
        loads[first] += left;
    }
    loads
}

/// When nobody is healthy enough, all endpoints count alike.
fn by_number(counts: &[(usize, usize)]) -> Vec<u32> {
    let total: usize = counts.iter().map(|c| c.0).sum();
    let mut loads: Vec<u32> = counts.iter().map(|c| (c.0 * 100 / total.max(1)) as u32).collect();
    let left = 100 - loads.iter().sum::<u32>();
    if let Some(first) = counts.iter().position(|c| c.0 > 0) {
        loads[first] += left;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Envoy's documentation, and its panic.
    #[test]
    fn the_next_priority_takes_what_the_first_cannot() {
        let of = |counts: &[(usize, usize)]| shares(counts, 140, 50.0).iter().map(|s| (s.load, s.panic)).collect::<Vec<_>>();
        assert_eq!(of(&[(100, 100), (100, 100)]), [(100, false), (0, false)]);
        assert_eq!(of(&[(100, 72), (100, 72)]), [(100, false), (0, false)]);
        assert_eq!(of(&[(100, 71), (100, 71)]), [(99, false), (1, false)]);
        assert_eq!(of(&[(100, 50), (100, 60)]), [(70, false), (30, false)]);
        assert_eq!(of(&[(100, 25), (100, 100)]), [(35, false), (65, false)]);
        assert_eq!(of(&[(100, 0), (100, 100)]), [(0, false), (100, false)]);
        // 35 + 35 < 100: both panic, and the load goes by the number of endpoints.
        assert_eq!(of(&[(100, 25), (300, 75)]), [(25, true), (75, true)]);
        assert_eq!(of(&[(100, 0), (100, 50)]), [(0, true), (100, false)]);
        assert_eq!(of(&[(3, 2)]), [(100, false)]);
        assert_eq!(of(&[(3, 1)]), [(100, true)]);
        assert_eq!(of(&[(2, 1)]), [(100, false)]);
        assert_eq!(of(&[]), []);
        assert_eq!(shares(&[(3, 0)], 140, 0.0), [Share { load: 0, panic: false }], "without a threshold nobody panics");
    }
}

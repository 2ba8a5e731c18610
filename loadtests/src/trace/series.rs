//! Evenly spaced load, and how it is made from rows. Pure.

/// Most buckets that a series may have; a file whose times jump further is refused.
const LARGEST: f64 = 20_000_000.0;

/// Load in evenly spaced buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Where it came from.
    pub name: String,
    /// Length of a bucket in seconds of the trace's own time.
    pub step_s: f64,
    /// One value a bucket, 0 or more, in the file's own unit.
    pub values: Vec<f64>,
    /// How many of them the file did not have: interpolated between their neighbours.
    pub gaps: usize,
}

impl Series {
    /// From rows of (moment, value): the step is the most frequent distance, rows of one bucket are added up, missing ones interpolated.
    /// Rows without a value are gaps.
    pub(super) fn from_counts(name: &str, mut rows: Vec<(f64, Option<f64>)>) -> Result<Self, String> {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let step_s = most_frequent_step(&rows).unwrap_or(1.0);
        let begin = rows.first().ok_or("holds no rows")?.0;
        let end = rows.last().map_or(begin, |r| r.0);
        let mut buckets = vec![None; buckets(begin, end, step_s)?];
        for (at, value) in rows {
            let i = ((at - begin) / step_s).round() as usize;
            if let (Some(bucket), Some(value)) = (buckets.get_mut(i), value) {
                *bucket = Some(bucket.unwrap_or(0.0) + value);
            }
        }
        let (values, gaps) = interpolated(&buckets)?;
        Ok(Self { name: name.into(), step_s, values, gaps })
    }

    /// From the moments of single requests: counted per second, or per minute when they span more than two hours. Here nothing in a bucket
    /// is a count of 0, not a gap.
    pub(super) fn from_requests(name: &str, mut moments: Vec<f64>) -> Result<Self, String> {
        moments.sort_by(f64::total_cmp);
        let (Some(&begin), Some(&end)) = (moments.first(), moments.last()) else { return Err("holds no rows".into()) };
        let step_s = if end - begin > 7_200.0 { 60.0 } else { 1.0 };
        let begin = (begin / step_s).floor() * step_s;
        let mut values = vec![0.0; buckets(begin, end, step_s)?];
        let last = values.len() - 1;
        for at in moments {
            values[(((at - begin) / step_s).floor() as usize).min(last)] += 1.0;
        }
        Ok(Self { name: name.into(), step_s, values, gaps: 0 })
    }

    /// Mean value.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len().max(1) as f64
    }

    /// Length in seconds of its own time.
    pub fn seconds(&self) -> f64 {
        self.values.len() as f64 * self.step_s
    }

    /// The same span in `buckets` buckets: means where that is coarser, linear between where it is finer.
    #[must_use]
    pub fn resampled(&self, buckets: usize) -> Self {
        let values = resampled(&self.values, buckets);
        Self { name: self.name.clone(), step_s: self.seconds() / buckets.max(1) as f64, values, gaps: self.gaps }
    }
}

/// See [`Series::resampled`].
pub(super) fn resampled(values: &[f64], buckets: usize) -> Vec<f64> {
    let ratio = values.len() as f64 / buckets.max(1) as f64;
    let at = |x: f64| {
        let x = x.clamp(0.0, values.len() as f64 - 1.0);
        let (i, part) = (x.floor() as usize, x.fract());
        values[i] * (1.0 - part) + values[(i + 1).min(values.len() - 1)] * part
    };
    let mean = |from: f64, to: f64| {
        let (first, last) = (from.floor() as usize, (to.ceil() as usize).min(values.len()));
        let share = |i: usize| ((i + 1) as f64).min(to) - (i as f64).max(from);
        (first..last).map(|i| values[i] * share(i)).sum::<f64>() / (to - from)
    };
    match values.is_empty() {
        true => Vec::new(),
        false if ratio > 1.0 => (0..buckets).map(|b| mean(b as f64 * ratio, (b + 1) as f64 * ratio)).collect(),
        // Middles of the new buckets, seen from the middles of the old ones.
        false => (0..buckets).map(|b| at((b as f64 + 0.5) * ratio - 0.5)).collect(),
    }
}

fn buckets(begin: f64, end: f64, step_s: f64) -> Result<usize, String> {
    let n = ((end - begin) / step_s).round() + 1.0;
    match n <= LARGEST {
        true => Ok(n as usize),
        false => Err(format!("times from {begin} to {end} in steps of {step_s} s are more than {LARGEST} buckets")),
    }
}

fn most_frequent_step(rows: &[(f64, Option<f64>)]) -> Option<f64> {
    let mut steps: Vec<f64> = rows.windows(2).map(|w| w[1].0 - w[0].0).filter(|d| *d > 0.0).collect();
    steps.sort_by(f64::total_cmp);
    // Rounding errors of times are told apart from real differences at a thousandth.
    let runs = steps.chunk_by(|a, b| (b - a) <= a * 1e-3);
    // The last of equals is taken: the smaller step, from behind.
    runs.rev().max_by_key(|run| run.len()).map(|run| run[run.len() / 2])
}

/// Values with gaps filled linearly, at the ends with the nearest, and how many there were.
fn interpolated(buckets: &[Option<f64>]) -> Result<(Vec<f64>, usize), String> {
    let known: Vec<(usize, f64)> = buckets.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v))).collect();
    if known.is_empty() {
        return Err("holds no values".into());
    }
    let value = |i: usize| {
        let after = known.partition_point(|k| k.0 < i);
        match (after.checked_sub(1).map(|b| known[b]), known.get(after).copied()) {
            (_, Some((k, v))) if k == i => v,
            (Some((a, va)), Some((b, vb))) => va + (vb - va) * (i - a) as f64 / (b - a) as f64,
            (Some((_, v)), None) | (None, Some((_, v))) => v,
            (None, None) => 0.0,
        }
    };
    Ok(((0..buckets.len()).map(value).collect(), buckets.len() - known.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(f64, Option<f64>)]) -> Series {
        Series::from_counts("x", rows.to_vec()).unwrap()
    }

    #[test]
    fn gaps_are_interpolated_and_counted_and_doubles_added() {
        let s = counts(&[(0.0, Some(1.0)), (60.0, Some(2.0)), (60.0, Some(3.0)), (240.0, Some(8.0)), (300.0, None), (360.0, Some(4.0))]);
        assert_eq!((s.step_s, s.gaps), (60.0, 3));
        assert_eq!(s.values, [1.0, 5.0, 6.0, 7.0, 8.0, 6.0, 4.0]);
        assert!(Series::from_counts("x", vec![(0.0, None)]).unwrap_err().contains("no values"));
        assert!(Series::from_counts("x", vec![(0.0, Some(1.0)), (1.0, Some(1.0)), (1e9, Some(1.0))]).unwrap_err().contains("buckets"));
    }

    #[test]
    fn rows_out_of_order_are_put_in_order() {
        assert_eq!(counts(&[(2.0, Some(3.0)), (1.0, Some(2.0)), (0.0, Some(1.0))]).values, [1.0, 2.0, 3.0]);
        assert_eq!(counts(&[(5.0, Some(3.0))]).values, [3.0]);
    }

    #[test]
    fn requests_are_counted_and_silence_is_nothing() {
        let s = Series::from_requests("x", vec![10.2, 10.9, 13.0]).unwrap();
        assert_eq!((s.values, s.gaps, s.step_s), (vec![2.0, 0.0, 0.0, 1.0], 0, 1.0));
        let long = Series::from_requests("x", vec![30.0, 59.0, 61.0, 9_000.0]).unwrap();
        assert_eq!((long.step_s, long.values[0], long.values[1]), (60.0, 2.0, 1.0));
    }

    #[test]
    fn resampling_keeps_the_mean() {
        let s = counts(&(0..100).map(|i| (f64::from(i), Some(f64::from(i)))).collect::<Vec<_>>());
        for buckets in [7, 50, 100, 333] {
            let r = s.resampled(buckets);
            assert_eq!(r.values.len(), buckets);
            assert!((r.mean() - s.mean()).abs() < 0.1 && (r.seconds() - s.seconds()).abs() < 1e-9, "{buckets}: {}", r.mean());
        }
        assert_eq!(s.resampled(50).values[1], 2.5);
    }
}

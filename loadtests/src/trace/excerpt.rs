//! A window of a series, chosen and scaled for replay in compressed time. Pure; the same seed picks the same window.

use crate::trace::series::{Series, resampled};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How big the load of an excerpt is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Its mean, in requests per second.
    Mean(f64),
    /// Its highest bucket, in requests per second.
    Peak(f64),
    /// As in the file, with counts taken per bucket: count / bucket length x compression.
    AsIs,
}

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// Picks among the lively windows.
    pub seed: u64,
    /// Length of the replay in seconds.
    pub seconds: f64,
    /// Seconds of the trace that pass in one second of the replay.
    pub compression: f64,
    /// Size of the load.
    pub scale: Scale,
}

/// A window ready for replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// (seconds, requests per second), to be joined linearly; the first point is at 0, the last at the end.
    pub points: Vec<(f64, f64)>,
    /// First bucket of the window in the series.
    pub from: usize,
    /// Buckets in the window.
    pub buckets: usize,
    /// Whether the series was shorter than the window, and was stretched.
    pub stretched: bool,
}

/// Only the liveliest tenth of the windows is picked from.
const LIVELY_SHARE: f64 = 0.1;

/// Picks a window. Among windows at least as busy as the median one, those that vary most for their size (standard deviation over mean) are
/// lively; the seed picks one of the liveliest tenth. A series shorter than the window is stretched over the replay.
pub fn excerpt(series: &Series, wish: &Wish) -> Excerpt {
    let wanted = (wish.seconds * wish.compression / series.step_s).round().max(2.0) as usize;
    let stretched = series.values.len() < wanted;
    let (from, buckets) = match stretched {
        true => (0, series.values.len()),
        false => (lively(&series.values, wanted, wish.seed), wanted),
    };
    let window = &series.values[from..from + buckets];
    // One point a second is as fine as a plan needs; a window coarser than that keeps its own points.
    let points = (buckets + 1).min(wish.seconds.ceil() as usize + 1).max(2);
    let rates = scaled(&resampled(window, points), wish, series.step_s);
    let step = wish.seconds / (points - 1) as f64;
    Excerpt { points: rates.into_iter().enumerate().map(|(i, r)| (i as f64 * step, r)).collect(), from, buckets, stretched }
}

/// Begin of the window.
fn lively(values: &[f64], length: usize, seed: u64) -> usize {
    let windows = windows(values, length);
    let mut means: Vec<f64> = windows.iter().map(|w| w.mean).collect();
    means.sort_by(f64::total_cmp);
    let busy = means[means.len() / 2];
    let mut candidates: Vec<_> = windows.iter().filter(|w| w.mean >= busy).collect();
    candidates.sort_by(|a, b| b.liveliness.total_cmp(&a.liveliness).then(a.from.cmp(&b.from)));
    let picked_from = ((candidates.len() as f64 * LIVELY_SHARE).ceil() as usize).clamp(1, candidates.len());
    candidates[ChaCha8Rng::seed_from_u64(seed).random_range(0..picked_from)].from
}

struct Window {
    from: usize,
    mean: f64,
    liveliness: f64,
}

/// Mean and liveliness of every window, by running sums of values shifted by their mean, which keeps the digits.
fn windows(values: &[f64], length: usize) -> Vec<Window> {
    let shift = values.iter().sum::<f64>() / values.len() as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut out = Vec::with_capacity(values.len() - length + 1);
    for (i, v) in values.iter().map(|v| v - shift).enumerate() {
        sum += v;
        squares += v * v;
        if i >= length {
            let gone = values[i - length] - shift;
            sum -= gone;
            squares -= gone * gone;
        }
        if i + 1 >= length {
            let n = length as f64;
            let variance = (squares / n - (sum / n).powi(2)).max(0.0);
            let mean = (sum / n + shift).max(0.0);
            out.push(Window { from: i + 1 - length, mean, liveliness: variance.sqrt() / mean.max(1e-12) });
        }
    }
    out
}

fn scaled(values: &[f64], wish: &Wish, step_s: f64) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let peak = values.iter().copied().fold(0.0, f64::max);
    let (wanted, have) = match wish.scale {
        Scale::Mean(rps) => (rps, mean),
        Scale::Peak(rps) => (rps, peak),
        Scale::AsIs => (wish.compression / step_s, 1.0),
    };
    // A window without any load stays at what was wished: a replay of nothing tests nothing.
    values.iter().map(|v| if have > 0.0 { v / have * wanted } else { wanted }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        // Flat, then lively and busy, then flat again.
        let value = |i: usize| if (400..600).contains(&i) { 100.0 + 80.0 * (i as f64 / 7.0).sin() } else { 50.0 };
        Series { name: "x".into(), step_s: 60.0, values: (0..1_000).map(value).collect(), gaps: 0 }
    }

    fn wish(seed: u64, scale: Scale) -> Wish {
        Wish { seed, seconds: 100.0, compression: 60.0, scale }
    }

    #[test]
    fn the_lively_part_is_found_and_the_seed_picks() {
        let picks: Vec<_> = (0..20).map(|seed| excerpt(&series(), &wish(seed, Scale::Mean(200.0)))).collect();
        assert!(
            picks.iter().all(|e| (301..600).contains(&e.from) && !e.stretched),
            "{:?}",
            picks.iter().map(|e| e.from).collect::<Vec<_>>()
        );
        assert!(picks.iter().any(|e| e.from != picks[0].from));
        assert_eq!(picks[3], excerpt(&series(), &wish(3, Scale::Mean(200.0))));
    }

    #[test]
    fn size_and_length_are_as_wished() {
        let mean = |e: &Excerpt| e.points.iter().map(|p| p.1).sum::<f64>() / e.points.len() as f64;
        let by_mean = excerpt(&series(), &wish(1, Scale::Mean(200.0)));
        assert!((mean(&by_mean) - 200.0).abs() < 1e-9);
        assert_eq!((by_mean.points[0].0, by_mean.points.len(), by_mean.points[100].0, by_mean.buckets), (0.0, 101, 100.0, 100));
        let by_peak = excerpt(&series(), &wish(1, Scale::Peak(300.0)));
        assert!((by_peak.points.iter().map(|p| p.1).fold(0.0, f64::max) - 300.0).abs() < 1e-9);
        // 50 to 180 a minute, sixty times faster: 50 to 180 a second.
        let as_is = excerpt(&series(), &wish(1, Scale::AsIs));
        assert!((50.0..=180.0).contains(&mean(&as_is)));
    }

    #[test]
    fn short_series_are_stretched_and_flat_ones_replayed() {
        let short = Series { values: vec![1.0, 3.0], ..series() };
        let e = excerpt(&short, &wish(1, Scale::Mean(10.0)));
        assert!(e.stretched && (e.points[e.points.len() - 1].0 - 100.0).abs() < 1e-9 && e.points[0].1 < e.points[e.points.len() - 1].1);
        let one = Series { values: vec![7.0], ..series() };
        assert!(excerpt(&one, &wish(1, Scale::Mean(10.0))).points.iter().all(|p| (p.1 - 10.0).abs() < 1e-9));
        let flat = Series { values: vec![5.0; 300], ..series() };
        assert!(excerpt(&flat, &wish(1, Scale::Peak(10.0))).points.iter().all(|p| (p.1 - 10.0).abs() < 1e-9));
    }
}

//! Consistent hashing on a ring (ketama): each endpoint has points on it in proportion to its weight, a hash belongs to the next point. Points lie
//! where Envoy has them (`xxh64("<key>_<n>")`), so that both send a key to the same endpoint.

use xxhash_rust::xxh64::xxh64;

/// Points, sorted.
#[derive(Debug)]
pub struct Ring(Vec<(u64, u32)>);

impl Ring {
    /// Keys with weights; `least` points, but not more than `most`.
    pub fn new(keys: &[(String, u32)], least: u64, most: u64) -> Self {
        let total: f64 = keys.iter().map(|k| f64::from(k.1)).sum();
        let share = |weight: u32| f64::from(weight) / total;
        let smallest = keys.iter().map(|k| share(k.1)).fold(1.0, f64::min);
        // The lightest one has a whole number of points.
        let scale = ((smallest * least as f64).ceil() / smallest).min(most as f64);
        let mut points = Vec::with_capacity(scale.ceil() as usize);
        let (mut made, mut target) = (0.0, 0.0);
        for (nth, (key, weight)) in keys.iter().enumerate() {
            target += scale * share(*weight);
            let mut point = 0;
            while made < target {
                points.push((xxh64(format!("{key}_{point}").as_bytes(), 0), nth as u32));
                point += 1;
                made += 1.0;
            }
        }
        points.sort_unstable();
        Self(points)
    }

    /// The entry that a hash belongs to; the one some points further for a further attempt.
    pub fn find(&self, hash: u64, attempt: u32) -> Option<usize> {
        let at = self.0.partition_point(|point| point.0 < hash) + attempt as usize;
        self.0.get(at % self.0.len().max(1)).map(|point| point.1 as usize)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

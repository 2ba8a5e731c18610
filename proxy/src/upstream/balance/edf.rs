//! Weighted turns by earliest deadline first: one with twice the weight comes up twice as often, evenly spread. Weights may change between turns.

use rand::RngExt as _;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Turns of a fixed number of entries.
#[derive(Debug)]
pub struct Edf {
    queue: BinaryHeap<Turn>,
    order: u64,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    deadline: f64,
    /// Of two with the same deadline the one that was queued first comes first.
    order: u64,
    entry: usize,
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Turn {
    /// The heap gives its largest: the earliest deadline.
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl Edf {
    /// Entries with these weights, all above 0. Each starts somewhere within its first period, so that many proxies do not begin with the same one.
    pub fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut rng = rand::rng();
        let turn = |(entry, weight): (usize, f64)| Turn { deadline: rng.random_range(0.0..1.0) / weight, order: entry as u64, entry };
        let queue: BinaryHeap<_> = weights.enumerate().map(turn).collect();
        Self { order: queue.len() as u64, queue }
    }

    /// The next one, whose weight now is asked for.
    pub fn next(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let mut top = self.queue.peek_mut()?;
        let entry = top.entry;
        top.deadline += 1.0 / weight(entry);
        top.order = self.order;
        self.order += 1;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_in_proportion_to_weights_and_evenly_spread() {
        let weights = [1.0, 2.0, 5.0];
        let mut edf = Edf::new(weights.into_iter());
        let turns: Vec<_> = (0..800).map(|_| edf.next(|nth| weights[nth]).unwrap()).collect();
        for (entry, expected) in [(0, 100), (1, 200), (2, 500)] {
            let n = turns.iter().filter(|t| **t == entry).count();
            assert!((expected - 1..=expected + 1).contains(&n), "{entry}: {n}");
        }
        // The heaviest never waits for longer than the others together take.
        assert!(turns.windows(4).all(|w| w.contains(&2)));
        assert_eq!(Edf::new(std::iter::empty()).next(|_| 1.0), None);
    }
}

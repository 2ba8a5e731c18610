//! Consistent hashing out of a table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4): every entry
//! fills places by its own permutation of them, in turn; with weights, the lighter ones sit out turns. Hashes and order as in Envoy.

use xxhash_rust::xxh64::xxh64;

/// Nobody's place.
const FREE: u32 = u32::MAX;

/// The table.
#[derive(Debug)]
pub struct Maglev(Vec<u32>);

struct Entry {
    offset: u64,
    skip: u64,
    next: u64,
    weight: f64,
    target: f64,
}

impl Maglev {
    /// Keys with weights; `size` is a prime.
    pub fn new(keys: &[(String, u32)], size: u32) -> Self {
        if keys.is_empty() {
            return Self(Vec::new());
        }
        let size = u64::from(size);
        let heaviest = keys.iter().map(|k| f64::from(k.1)).fold(1.0, f64::max);
        let entry = |(key, weight): &(String, u32)| Entry {
            offset: xxh64(key.as_bytes(), 0) % size,
            skip: xxh64(key.as_bytes(), 1) % (size - 1) + 1,
            next: 0,
            weight: f64::from(*weight),
            target: 0.0,
        };
        let mut entries: Vec<_> = keys.iter().map(entry).collect();
        let mut table = vec![FREE; size as usize];
        let (mut filled, mut turn) = (0, 1.0);
        'all: loop {
            for (nth, entry) in entries.iter_mut().enumerate() {
                if turn * entry.weight < entry.target {
                    continue;
                }
                entry.target += heaviest;
                let mut place = entry.place(size);
                while table[place] != FREE {
                    place = entry.place(size);
                }
                table[place] = nth as u32;
                filled += 1;
                if filled == size {
                    break 'all;
                }
            }
            turn += 1.0;
        }
        Self(table)
    }

    /// The entry that a hash belongs to; another place for a further attempt.
    pub fn find(&self, hash: u64, attempt: u32) -> Option<usize> {
        let hash = if attempt > 0 { hash ^ (u64::MAX - u64::from(attempt) + 1) } else { hash };
        let place = hash.checked_rem(self.0.len() as u64)?;
        self.0.get(place as usize).map(|entry| *entry as usize)
    }
}

impl Entry {
    fn place(&mut self, size: u64) -> usize {
        let place = (self.offset + self.skip * self.next) % size;
        self.next += 1;
        place as usize
    }
}

//! Memory of the application: what requests touch, what leaks, and what it means to run short of it.
//!
//! Called by the handlers and the watcher. Promises: leaked memory is really resident; near the limit every request costs more processor
//! time, as under a garbage collector, whose cost per allocation goes as used / (limit - used); at the limit the instance is to end as if
//! the kernel had ended it. Without a limit nothing but the resident size grows. Not here: the limit's enforcement by a control group.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes in a page; touching one byte of each makes the page resident.
const PAGE: usize = 4096;
/// The largest piece leaked at once.
const PIECE: usize = 1 << 20;

/// What the instance holds.
#[derive(Debug)]
pub struct Memory {
    limit: Option<u64>,
    leaked: Mutex<Leaked>,
    resident: AtomicU64,
}

#[derive(Debug, Default)]
struct Leaked {
    pieces: Vec<Vec<u8>>,
    bytes: u64,
    /// Leaked but not yet worth a piece.
    owed: f64,
}

impl Memory {
    /// With this limit of resident bytes.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, leaked: Mutex::default(), resident: AtomicU64::new(resident().unwrap_or(0)) }
    }

    /// Leaves `bytes` behind; allocated in pieces of at least one page.
    pub fn leak(&self, bytes: f64) {
        if bytes <= 0.0 {
            return;
        }
        let mut leaked = self.leaked.lock().unwrap_or_else(PoisonError::into_inner);
        leaked.owed += bytes;
        while leaked.owed >= PAGE as f64 {
            let piece = (leaked.owed as usize).min(PIECE);
            leaked.owed -= piece as f64;
            leaked.bytes += piece as u64;
            leaked.pieces.push(touched(piece));
        }
    }

    /// Gives back all that leaked.
    pub fn release(&self) {
        *self.leaked.lock().unwrap_or_else(PoisonError::into_inner) = Leaked::default();
    }

    /// Bytes leaked.
    pub fn leaked(&self) -> u64 {
        self.leaked.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Reads the resident size again; whether it is over the limit.
    pub fn look(&self) -> bool {
        let now = resident().unwrap_or_else(|| self.leaked());
        self.resident.store(now, Ordering::Relaxed);
        self.limit.is_some_and(|limit| now >= limit)
    }

    /// Resident bytes at the last look.
    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }

    /// What processor work is multiplied by: 1 up to half of the limit, then 2 at two thirds, 9 at nine tenths, at most 50.
    pub fn pressure(&self) -> f64 {
        let Some(limit) = self.limit.filter(|l| *l > 0) else { return 1.0 };
        let used = (self.resident() as f64 / limit as f64).clamp(0.0, 0.98);
        (used / (1.0 - used)).clamp(1.0, 50.0)
    }
}

/// Memory that is really there.
pub fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0_u8; bytes];
    for page in memory.iter_mut().step_by(PAGE) {
        *page = 1;
    }
    std::hint::black_box(memory)
}

/// Resident bytes of this process; None where /proc cannot be read.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaks_is_resident_until_it_is_released() {
        let memory = Memory::new(None);
        assert!(!memory.look());
        let before = memory.resident();
        for _ in 0..6_400 {
            memory.leak(10_240.0);
        }
        assert!(!memory.look(), "no limit");
        assert!(memory.leaked().abs_diff(64_000 << 10) <= PAGE as u64, "{}", memory.leaked());
        assert!(memory.resident() > before + (40 << 20), "{} after {before}", memory.resident());
        memory.release();
        assert_eq!(memory.leaked(), 0);
    }

    #[test]
    fn running_short_costs_processor_time_and_ends_at_the_limit() {
        let at = |share: f64| {
            let memory = Memory::new(Some(1_000_000_000));
            memory.resident.store((share * 1e9) as u64, Ordering::Relaxed);
            memory.pressure()
        };
        assert_eq!(at(0.3), 1.0);
        assert!((at(2.0 / 3.0) - 2.0).abs() < 1e-6);
        assert!((at(0.9) - 9.0).abs() < 1e-6);
        assert!(at(5.0) <= 50.0);
        assert!(Memory::new(Some(1)).look());
    }
}

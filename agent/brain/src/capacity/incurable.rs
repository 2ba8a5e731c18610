//! The share of requests that is bad whatever the load: told from overload by what more replicas did.
//!
//! Too small a capacity is cured by less load for each replica: its curve is steep, and half the load leaves next to nothing of what was bad. When the
//! load of a replica has about halved and the bad share has not, the rest is nothing that replicas cure (a bad release, a slow dependency, one sick
//! replica), and must not pass for a capacity that falls as fast as replicas come. Called by [`super::Capacity`] with production's intervals.
//! Promises: says nothing while a queue stands or drains; what it excuses follows the share down at once; it is withdrawn when more load makes it
//! worse, and when the trouble is over.

use std::collections::VecDeque;

/// Blocks of time in a start-up time of a replica.
const BLOCKS: f64 = 3.0;
/// Blocks that are remembered.
const MEMORY: usize = 30;
/// By how much the load of a replica must have fallen, as a logarithm: to 55 %.
const FALLEN: f64 = 0.6;
/// Share of what was bad then that is bad still.
const LEFT: f64 = 0.5;
/// A block is trouble from so many times the tolerated share, and from so many bad requests on.
const TROUBLE: f64 = 2.0;
const COUNTED: f64 = 10.0;
/// What was excused was load after all when more load, by this logarithm, brings so many times of it.
const MORE: f64 = 0.1;
const WORSE: f64 = 1.3;
/// How much more load a block may have without being a trial of it.
const CREEP: f64 = 0.05;

/// A part of a start-up time, summed up.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    seconds: f64,
    requests_each: f64,
    n: f64,
    bad: f64,
    queued: bool,
}

impl Block {
    fn share(&self) -> f64 {
        self.bad / self.n.max(1.0)
    }

    fn log_rate(&self) -> f64 {
        (self.requests_each / self.seconds.max(1e-9)).max(1e-9).ln()
    }
}

/// What is excused, and the load (ln requests a second of a replica) up to which it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Excuse {
    share: f64,
    log_rate: f64,
}

/// The judge.
#[derive(Debug, Clone)]
pub struct Incurable {
    block_s: f64,
    tolerated: f64,
    open: Block,
    past: VecDeque<Block>,
    excuse: Option<Excuse>,
}

impl Incurable {
    /// For an objective that tolerates this share, and replicas that take so many seconds to start.
    pub fn new(tolerated: f64, start_s: f64) -> Self {
        Self { block_s: (start_s / BLOCKS).max(1.0), tolerated, open: Block::default(), past: VecDeque::new(), excuse: None }
    }

    /// The share of requests that replicas do not cure; 0 when nothing says so.
    pub fn share(&self) -> f64 {
        self.excuse.map_or(0.0, |e| e.share)
    }

    /// Takes an interval of `seconds` with `rate` requests a second for each replica, `n` of them ended and `bad` of those; `queued`: a queue
    /// stood or drained.
    pub fn observe(&mut self, seconds: f64, rate: f64, n: f64, bad: f64, queued: bool) {
        let seconds = seconds.clamp(0.0, self.block_s);
        let open = &mut self.open;
        open.seconds += seconds;
        open.requests_each += rate * seconds;
        open.n += n;
        open.bad += bad;
        open.queued |= queued;
        if open.seconds >= self.block_s {
            let block = std::mem::take(open);
            self.judge(block);
        }
    }

    fn judge(&mut self, now: Block) {
        let trouble = now.share() > TROUBLE * self.tolerated && now.bad >= COUNTED;
        if !trouble && !now.queued {
            self.forget();
            return;
        }
        if self.excuse.is_some_and(|e| (now.queued || now.share() > WORSE * e.share) && now.log_rate() > e.log_rate + MORE) {
            self.forget();
        }
        if !now.queued && (self.share() > now.share() || self.unmoved(&now)) {
            let reach = self.excuse.map_or(now.log_rate(), |e| now.log_rate().clamp(e.log_rate, e.log_rate + CREEP));
            self.excuse = Some(Excuse { share: now.share(), log_rate: reach });
        }
        if self.past.len() == MEMORY {
            self.past.pop_front();
        }
        self.past.push_back(now);
    }

    /// Whether as much is bad as was in this trouble under clearly more load.
    fn unmoved(&self, now: &Block) -> bool {
        let under_more = self.past.iter().filter(|b| !b.queued && b.log_rate() - now.log_rate() > FALLEN);
        under_more.map(Block::share).reduce(f64::max).is_some_and(|most| now.share() >= LEFT * most)
    }

    fn forget(&mut self) {
        self.past.clear();
        self.excuse = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of 1,000 requests a second over so many replicas, a share of them bad.
    fn minute(judge: &mut Incurable, replicas: f64, share: f64, queued: bool) -> f64 {
        (0..60).for_each(|_| judge.observe(1.0, 1_000.0 / replicas, 1_000.0, 1_000.0 * share, queued));
        judge.share()
    }

    fn judge() -> Incurable {
        Incurable::new(0.01, 30.0)
    }

    #[test]
    fn what_more_replicas_cure_is_capacity() {
        let mut judge = judge();
        assert_eq!(minute(&mut judge, 10.0, 0.3, false), 0.0);
        assert_eq!(minute(&mut judge, 20.0, 0.05, false), 0.0, "a sixth of it is left");
        assert_eq!(minute(&mut judge, 40.0, 0.0, false), 0.0);
    }

    #[test]
    fn what_stays_with_half_the_load_is_not_and_shrinks_and_ends_with_its_cause() {
        let mut judge = judge();
        minute(&mut judge, 10.0, 0.10, false);
        assert_eq!(minute(&mut judge, 15.0, 0.10, false), 0.0, "too little was tried");
        assert!((minute(&mut judge, 20.0, 0.10, false) - 0.10).abs() < 1e-9);
        assert!((minute(&mut judge, 20.0, 0.04, false) - 0.04).abs() < 1e-9);
        assert!((minute(&mut judge, 12.0, 0.04, false) - 0.04).abs() < 1e-9, "more load that makes nothing worse");
        assert_eq!(minute(&mut judge, 12.0, 0.001, false), 0.0);
    }

    #[test]
    fn more_load_that_makes_it_worse_takes_the_excuse_away() {
        let mut judge = judge();
        minute(&mut judge, 10.0, 0.10, false);
        minute(&mut judge, 20.0, 0.10, false);
        assert_eq!(minute(&mut judge, 12.0, 0.20, false), 0.0);
        minute(&mut judge, 30.0, 0.18, false);
        assert!(judge.share() > 0.1);
        assert_eq!(minute(&mut judge, 20.0, 0.18, true), 0.0, "a queue");
    }

    #[test]
    fn a_queue_says_nothing_of_what_its_load_does() {
        let mut judge = judge();
        minute(&mut judge, 10.0, 0.5, true);
        assert_eq!(minute(&mut judge, 20.0, 0.5, true), 0.0);
        assert_eq!(minute(&mut judge, 40.0, 0.4, false), 0.0, "nothing to compare with");
    }
}

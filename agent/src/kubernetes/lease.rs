//! One Lease per workload: who acts. Decided here from what was read and when; pure, with injected time. IO: `lease::api`.
//!
//! Asked by the node role for every workload it could hold. Promises:
//! * whoever holds stops acting on its own, well before anybody else may take the Lease, when it cannot renew it (`may_act`);
//! * expiry is judged by the time since *this* agent last saw the record change, never by another machine's clock;
//! * every change of holder raises the term (`leaseTransitions`), with which marks on objects are fenced;
//! * agents that come later in the workload's own order (`rank`) wait longer for a free Lease, so that usually the first one gets it.

pub mod api;

/// How long a holder may be silent, milliseconds.
pub const DURATION_MS: u64 = 30_000;
/// Between two renewals.
const RENEW_MS: u64 = 10_000;
/// A holder that could not renew for this long stops acting: a third of the duration before anybody else may begin.
const DEADLINE_MS: u64 = 20_000;
/// For each place in the order an agent waits this much longer.
const RANK_MS: u64 = 3_000;
/// Longest wait for the rank.
const MOST_RANK_MS: u64 = 15_000;
/// A holder that is not the first in order hands over after this.
const HAND_OVER_MS: u64 = 60_000;

/// Where an agent is reached: written into the Lease by its holder, so that the API server vouches for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// `https://ADDRESS:PORT`.
    pub url: String,
    /// SHA-256 of its certificate, hex.
    pub certificate: String,
}

/// A Lease as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty = nobody.
    pub holder: String,
    /// When the holder last renewed it, by its own clock: only compared for equality.
    pub renewed: String,
    /// When the holder took it, by its own clock.
    pub acquired: String,
    /// How long the holder may be silent, milliseconds.
    pub duration_ms: u64,
    /// Changes of holder so far.
    pub term: i64,
    /// The holder.
    pub contact: Contact,
    /// The holder before: whoever takes over asks it for the samples it has seen.
    pub previous: Contact,
    /// For the compare-and-swap of a write.
    pub version: String,
}

/// What to do about a Lease now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Wait,
    /// Create it, held by us.
    Create,
    /// Take it over, with this term.
    Take(i64),
    /// Renew it.
    Renew,
    /// Let it go: somebody else comes first.
    HandOver,
}

/// One workload's Lease, seen by one agent.
#[derive(Debug, Clone)]
pub struct Claim {
    me: String,
    seen: Option<(String, String, i64)>,
    seen_ms: u64,
    /// Our last successful write: when it was begun, and the term it was for.
    held: Option<(u64, i64)>,
    /// Since when we hold it although others come first.
    surplus_ms: Option<u64>,
}

impl Claim {
    /// For the agent called `me`.
    pub fn new(me: &str) -> Self {
        Self { me: me.to_owned(), seen: None, seen_ms: 0, held: None, surplus_ms: None }
    }

    /// Decides from the Lease (`None`: there is none) and our place in the workload's order of live agents (0 = first).
    pub fn decide(&mut self, lease: Option<&Record>, rank: usize, now_ms: u64) -> Move {
        let Some(lease) = lease else {
            self.observe(None, now_ms);
            return if now_ms - self.seen_ms >= rank_ms(rank) { Move::Create } else { Move::Wait };
        };
        self.observe(Some(lease), now_ms);
        if lease.holder == self.me {
            let Some((at_ms, _)) = self.held.filter(|held| held.1 == lease.term) else { return Move::Take(lease.term + 1) };
            return self.keep(at_ms, rank, now_ms);
        }
        self.held = None;
        self.surplus_ms = None;
        let free = lease.holder.is_empty();
        let silent_ms = now_ms - self.seen_ms;
        let ours_to_take = silent_ms >= rank_ms(rank) + if free { 0 } else { lease.duration_ms };
        if ours_to_take { Move::Take(lease.term + 1) } else { Move::Wait }
    }

    fn keep(&mut self, at_ms: u64, rank: usize, now_ms: u64) -> Move {
        let since = if rank == 0 { None } else { Some(self.surplus_ms.unwrap_or(now_ms)) };
        self.surplus_ms = since;
        if since.is_some_and(|since| now_ms >= since + HAND_OVER_MS) {
            return Move::HandOver;
        }
        if now_ms >= at_ms + RENEW_MS { Move::Renew } else { Move::Wait }
    }

    fn observe(&mut self, lease: Option<&Record>, now_ms: u64) {
        let now = lease.map_or_else(Default::default, |l| (l.holder.clone(), l.renewed.clone(), l.term));
        if self.seen.as_ref() != Some(&now) {
            (self.seen, self.seen_ms) = (Some(now), now_ms);
        }
    }

    /// Our write, begun at `began_ms`, succeeded: we hold it with this term.
    pub fn wrote(&mut self, term: i64, began_ms: u64) {
        self.held = Some((began_ms, term));
    }

    /// We let it go, or lost it.
    pub fn lost(&mut self) {
        self.held = None;
        self.surplus_ms = None;
    }

    /// The term under which we may act now; `None` = we may not.
    pub fn may_act(&self, now_ms: u64) -> Option<i64> {
        self.held.filter(|(at_ms, _)| now_ms < at_ms + DEADLINE_MS).map(|(_, term)| term)
    }
}

fn rank_ms(rank: usize) -> u64 {
    (rank as u64 * RANK_MS).min(MOST_RANK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: u64, term: i64) -> Record {
        Record { holder: holder.into(), renewed: renewed.to_string(), duration_ms: DURATION_MS, term, ..Record::default() }
    }

    #[test]
    fn the_first_in_order_takes_a_free_one_at_once_and_others_wait_their_turn() {
        assert_eq!(Claim::new("a").decide(None, 0, 1_000), Move::Create);
        let mut second = Claim::new("b");
        assert_eq!(second.decide(None, 1, 1_000), Move::Wait);
        assert_eq!(second.decide(None, 1, 4_000), Move::Create, "the first one did not");
        assert_eq!(Claim::new("a").decide(Some(&lease("", 1, 7)), 0, 1_000), Move::Take(8));
        let mut third = Claim::new("c");
        assert_eq!(third.decide(Some(&lease("", 1, 7)), 2, 1_000), Move::Wait);
        assert_eq!(third.decide(Some(&lease("", 1, 7)), 2, 7_000), Move::Take(8));
    }

    #[test]
    fn a_holder_renews_in_time_and_acts_only_while_nobody_else_may() {
        let mut a = Claim::new("a");
        assert_eq!(a.may_act(0), None);
        a.wrote(1, 1_000);
        assert_eq!(a.decide(Some(&lease("a", 1, 1)), 0, 5_000), Move::Wait);
        assert_eq!(a.decide(Some(&lease("a", 1, 1)), 0, 11_000), Move::Renew);
        assert_eq!((a.may_act(20_999), a.may_act(21_000)), (Some(1), None), "it could not renew");
        let mut b = Claim::new("b");
        b.decide(Some(&lease("a", 1, 1)), 0, 1_100);
        assert_eq!(b.decide(Some(&lease("a", 1, 1)), 0, 31_000), Move::Wait);
        assert_eq!(b.decide(Some(&lease("a", 1, 1)), 0, 31_100), Move::Take(2));
    }

    #[test]
    fn a_renewal_seen_begins_the_silence_anew_whatever_the_clocks_say() {
        let mut b = Claim::new("b");
        b.decide(Some(&lease("a", 9_999_999, 1)), 0, 0);
        b.decide(Some(&lease("a", 5, 1)), 0, 29_000);
        assert_eq!(b.decide(Some(&lease("a", 5, 1)), 0, 58_999), Move::Wait);
        assert_eq!(b.decide(Some(&lease("a", 5, 1)), 0, 59_000), Move::Take(2));
        assert_eq!(b.decide(Some(&lease("", 6, 1)), 3, 59_001), Move::Wait, "just let go: those before us first");
    }

    #[test]
    fn a_restarted_holder_takes_its_own_lease_again_under_a_new_term() {
        assert_eq!(Claim::new("a").decide(Some(&lease("a", 1, 4)), 0, 0), Move::Take(5));
    }

    #[test]
    fn whoever_finds_another_holder_has_lost() {
        let mut a = Claim::new("a");
        a.wrote(1, 0);
        assert_eq!(a.decide(Some(&lease("b", 1, 2)), 0, 1_000), Move::Wait);
        assert_eq!(a.may_act(1_000), None);
    }

    #[test]
    fn hands_over_to_whom_comes_first_but_not_in_haste() {
        let mut b = Claim::new("b");
        let mut at = |now: u64, rank| {
            b.wrote(1, now);
            b.decide(Some(&lease("b", now, 1)), rank, now)
        };
        assert_eq!(at(0, 1), Move::Wait);
        assert_eq!(at(59_000, 1), Move::Wait);
        assert_eq!(at(59_500, 0), Move::Wait, "an agent came and went");
        assert_eq!(at(60_000, 1), Move::Wait);
        assert_eq!(at(120_000, 1), Move::HandOver);
    }
}

//! From the plan's floor to what is asked of the scaler: pure, so that every rule has a test.
//!
//! Called by `act::Actor` once a tick. Promises: bounded by the workload's minimum and maximum and by the step; rate-limited; idempotent;
//! renewed long before its time to live ends; never lowered or withdrawn on stale knowledge; a floor that is not ours is never withdrawn.

use crate::config::model::Mode;
use crate::local::api::Scale;
use crate::record::ActionKind;
use foreshadow_brain::Settings;
use foreshadow_brain::decision::Plan;
use std::collections::VecDeque;

/// Most changes of the floor in a minute; renewals are free.
const MOST_CHANGES_A_MINUTE: usize = 30;
/// A floor is renewed when less than this share of its time to live is left.
const RENEW_BELOW: f64 = 0.6;

/// Keeps one floor.
#[derive(Debug)]
pub struct FloorKeeper {
    mode: Mode,
    ttl_s: f64,
    bounds: (u32, u32),
    max_step_up: u32,
    /// The floor we set last, as far as we know still standing.
    ours: Option<u32>,
    /// What stood when the scaler was last read; `None` since we changed it.
    standing: Option<u32>,
    /// What was last said in recommend mode.
    said: Option<u32>,
    changes_ms: VecDeque<u64>,
    held_back: u64,
}

impl FloorKeeper {
    /// For one workload.
    pub fn new(mode: Mode, settings: &Settings) -> Self {
        Self {
            mode,
            ttl_s: settings.floor_ttl_s,
            bounds: (settings.min_replicas, settings.max_replicas),
            max_step_up: settings.max_step_up,
            ours: None,
            standing: None,
            said: None,
            changes_ms: VecDeque::new(),
            held_back: 0,
        }
    }

    /// Adopts a standing floor when an earlier run recorded setting exactly it.
    pub fn adopt(&mut self, standing: &Scale, recorded: Option<u32>) -> Option<u32> {
        let found = (standing.floor > 0 && Some(standing.floor) == recorded && self.mode == Mode::Act).then_some(standing.floor)?;
        self.ours = Some(found);
        Some(found)
    }

    /// The floor of ours that stands, as far as we know: not one that somebody else has put in its place.
    pub fn ours(&self) -> Option<u32> {
        self.ours.filter(|floor| self.standing.is_none_or(|standing| standing == *floor))
    }

    /// Changes that the rate limit held back so far.
    pub fn held_back(&self) -> u64 {
        self.held_back
    }

    /// What to do now. `standing` is the scaler's state, `fresh` whether it was read in this tick.
    pub fn decide(&mut self, now_ms: u64, plan: &Plan, standing: &Scale, fresh: bool) -> Option<ActionKind> {
        if fresh {
            self.standing = Some(standing.floor);
        }
        let wanted = plan.floor.map(|f| f.clamp(self.bounds.0, self.bounds.1.max(self.bounds.0)));
        match self.mode {
            Mode::Observe => None,
            Mode::Recommend => self.recommend(wanted, standing),
            Mode::Act => self.act(now_ms, wanted, standing, fresh),
        }
    }

    fn recommend(&mut self, wanted: Option<u32>, standing: &Scale) -> Option<ActionKind> {
        let before = std::mem::replace(&mut self.said, wanted);
        if before == wanted {
            return None;
        }
        Some(match wanted {
            Some(replicas) => ActionKind::SetFloor { from: standing.floor, replicas, ttl_s: self.ttl_s, renewal: false },
            None => ActionKind::WithdrawFloor { from: before? },
        })
    }

    fn act(&mut self, now_ms: u64, wanted: Option<u32>, standing: &Scale, fresh: bool) -> Option<ActionKind> {
        let Some(wanted) = wanted else {
            let ours = self.ours.filter(|f| fresh && *f == standing.floor)?;
            return self.change(now_ms, ActionKind::WithdrawFloor { from: ours });
        };
        let highest = standing.floor.max(standing.desired).saturating_add(self.max_step_up);
        let replicas = wanted.min(highest.max(self.bounds.0));
        let renewal = standing.floor == replicas;
        if renewal {
            let left_s = standing.floor_expires_unix_ms.saturating_sub(now_ms) as f64 / 1_000.0;
            if left_s >= self.ttl_s * RENEW_BELOW && self.ours == Some(replicas) {
                return None;
            }
            return Some(ActionKind::SetFloor { from: standing.floor, replicas, ttl_s: self.ttl_s, renewal });
        }
        if replicas < standing.floor && (!fresh || self.ours != Some(standing.floor)) {
            return None;
        }
        self.change(now_ms, ActionKind::SetFloor { from: standing.floor, replicas, ttl_s: self.ttl_s, renewal })
    }

    fn change(&mut self, now_ms: u64, kind: ActionKind) -> Option<ActionKind> {
        while self.changes_ms.front().is_some_and(|at| at + 60_000 <= now_ms) {
            self.changes_ms.pop_front();
        }
        if self.changes_ms.len() >= MOST_CHANGES_A_MINUTE {
            self.held_back += 1;
            return None;
        }
        self.changes_ms.push_back(now_ms);
        Some(kind)
    }

    /// Takes note that an action was carried out.
    pub fn done(&mut self, kind: &ActionKind) {
        match kind {
            ActionKind::SetFloor { replicas, .. } => (self.ours, self.standing) = (Some(*replicas), None),
            ActionKind::WithdrawFloor { .. } => (self.ours, self.standing) = (None, None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(mode: Mode) -> FloorKeeper {
        let settings = Settings { min_replicas: 2, max_replicas: 12, max_step_up: 4, floor_ttl_s: 30.0, ..Settings::default() };
        FloorKeeper::new(mode, &settings)
    }

    fn plan(floor: Option<u32>) -> Plan {
        Plan { floor, ..Plan::default() }
    }

    fn scale(desired: u32, floor: u32, expires: u64) -> Scale {
        Scale { desired, floor, floor_expires_unix_ms: expires, ..Scale::default() }
    }

    fn set(from: u32, replicas: u32, renewal: bool) -> Option<ActionKind> {
        Some(ActionKind::SetFloor { from, replicas, ttl_s: 30.0, renewal })
    }

    #[test]
    fn raises_within_bounds_and_step() {
        let mut k = keeper(Mode::Act);
        assert_eq!(k.decide(0, &plan(Some(100)), &scale(3, 0, 0), true), set(0, 7, false), "three and a step of four");
        assert_eq!(k.decide(1_000, &plan(Some(100)), &scale(10, 7, 40_000), true), set(7, 12, false), "the maximum");
        assert_eq!(k.decide(2_000, &plan(Some(0)), &scale(3, 0, 0), true), set(0, 2, false), "the minimum");
    }

    #[test]
    fn renews_in_time_and_not_more() {
        let mut k = keeper(Mode::Act);
        k.done(&set(0, 5, false).unwrap());
        assert_eq!(k.decide(10_000, &plan(Some(5)), &scale(5, 5, 40_000), true), None, "all of it is left");
        assert_eq!(k.decide(25_000, &plan(Some(5)), &scale(5, 5, 40_000), true), set(5, 5, true), "half of it is left");
    }

    #[test]
    fn stale_knowledge_never_lowers() {
        let mut k = keeper(Mode::Act);
        k.done(&set(0, 8, false).unwrap());
        assert_eq!(k.decide(0, &plan(Some(4)), &scale(8, 8, 30_000), false), None);
        assert_eq!(k.decide(0, &plan(None), &scale(8, 8, 30_000), false), None);
        assert_eq!(k.decide(0, &plan(Some(4)), &scale(8, 8, 30_000), true), set(8, 4, false));
    }

    #[test]
    fn a_floor_of_somebody_else_is_raised_but_never_lowered() {
        let mut k = keeper(Mode::Act);
        assert_eq!(k.adopt(&scale(6, 6, 9_000), Some(5)), None, "not the one we recorded");
        assert_eq!(k.decide(0, &plan(None), &scale(6, 6, 30_000), true), None);
        assert_eq!(k.decide(0, &plan(Some(4)), &scale(6, 6, 30_000), true), None);
        assert_eq!(k.decide(0, &plan(Some(8)), &scale(6, 6, 30_000), true), set(6, 8, false));
    }

    #[test]
    fn what_is_withdrawn_at_the_end_is_ours() {
        let mut k = keeper(Mode::Act);
        k.done(&set(0, 5, false).unwrap());
        assert_eq!(k.ours(), Some(5));
        k.decide(1_000, &plan(Some(5)), &scale(9, 9, 40_000), true);
        assert_eq!(k.ours(), None, "somebody else raised it");
    }

    #[test]
    fn our_floor_of_an_earlier_run_is_adopted() {
        let mut k = keeper(Mode::Act);
        assert_eq!(k.adopt(&scale(6, 6, 30_000), Some(6)), Some(6));
        assert_eq!(k.decide(0, &plan(None), &scale(6, 6, 30_000), true), Some(ActionKind::WithdrawFloor { from: 6 }));
    }

    #[test]
    fn flapping_is_rate_limited() {
        let mut k = keeper(Mode::Act);
        let mut changes = 0;
        for second in 0..60 {
            let (standing, wanted) = if second % 2 == 0 { (4, 8) } else { (8, 4) };
            k.ours = Some(standing);
            changes += usize::from(k.decide(second * 1_000, &plan(Some(wanted)), &scale(8, standing, 90_000), true).is_some());
        }
        assert_eq!((changes, k.held_back()), (MOST_CHANGES_A_MINUTE, 30));
    }

    #[test]
    fn recommends_once_and_observes_silently() {
        let mut k = keeper(Mode::Recommend);
        assert_eq!(k.decide(0, &plan(Some(5)), &scale(3, 0, 0), true), set(0, 5, false));
        assert_eq!(k.decide(1_000, &plan(Some(5)), &scale(3, 0, 0), true), None);
        assert_eq!(k.decide(2_000, &plan(None), &scale(3, 0, 0), true), Some(ActionKind::WithdrawFloor { from: 5 }));
        assert_eq!(keeper(Mode::Observe).decide(0, &plan(Some(5)), &scale(3, 0, 0), true), None);
    }
}

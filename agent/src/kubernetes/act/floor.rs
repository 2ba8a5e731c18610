//! The floor on a scaler's own object, decided: what to write, keep or put back, given what stands there now. Pure.
//!
//! Called by `carrier` before every write and by `expire` for overdue marks. Promises: never lower than what the user set, never above the
//! scaler's maximum; renewed long before its time is over; what somebody else has changed meanwhile is theirs and is left alone; a
//! holder that has lost the Lease (an older term than the mark's) writes nothing.

use super::mark::{Mark, expiry};
use super::refusal::Refusal;
use k8s_openapi::jiff::Timestamp;

/// A mark of a floor.
pub type FloorMark = Mark<Option<u32>>;

/// A floor is renewed when less than this share of its time to live is left.
const RENEW_BELOW: f64 = 0.6;
/// Without a scaler, the largest share of replicas taken away by one write.
const STEP_DOWN: f64 = 0.2;
/// Without a scaler, seconds between two writes that take replicas away.
const DOWN_EVERY_S: f64 = 15.0;

/// What carries the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `spec.minReplicas` of a HorizontalPodAutoscaler.
    Hpa,
    /// `spec.minReplicaCount` of a KEDA ScaledObject.
    Keda,
    /// The scale subresource of a workload that nothing else scales.
    Scale,
}

/// The field as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Field {
    /// Its value; `None` = not set.
    pub value: Option<u32>,
    /// The most it may be.
    pub most: Option<u32>,
    /// Our mark.
    pub mark: Option<FloorMark>,
    /// Managers other than ours that own it, in words for people; empty when nobody does.
    pub foreign: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The floor; `None` = no floor of ours.
    pub floor: Option<u32>,
    /// Its time to live, seconds.
    pub ttl_s: f64,
    /// Why.
    pub reason: String,
    /// `namespace/name` of the ShadowScaler.
    pub scaler: String,
    /// Transitions of the Lease under which this is asked.
    pub term: i64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It stands as wished.
    Keep,
    /// Write the value and its mark.
    Write(FloorMark),
    /// Put back what stood there before.
    Restore(FloorMark),
    /// Somebody else changed the field: only take our mark off.
    Forget,
}

/// Decides.
///
/// # Errors
/// A refusal without asking the API server: another holder's term, another manager's field.
pub fn step(kind: Kind, field: &Field, wish: &Wish, now: Timestamp) -> Result<Step, Refusal> {
    if let Some(mark) = field.mark.as_ref().filter(|m| m.term > wish.term) {
        return Err(Refusal::Fenced { ours: wish.term, theirs: mark.term });
    }
    let standing = field.mark.as_ref().filter(|m| m.value == field.value);
    if field.mark.is_some() && standing.is_none() && kind != Kind::Scale {
        return Ok(Step::Forget);
    }
    let original = standing.map_or(field.value, |m| m.original);
    let Some(floor) = wish.floor.map(|f| f.min(field.most.unwrap_or(u32::MAX))).filter(|f| *f > original.unwrap_or(0)) else {
        return Ok(put_back(field, standing, kind, wish, now));
    };
    if !field.foreign.is_empty() && kind != Kind::Scale && field.value != Some(floor) {
        return Err(Refusal::OwnedByOther(field.foreign.clone()));
    }
    let value = Some(if kind == Kind::Scale { gently(floor, field.value, standing, wish.ttl_s, now) } else { floor });
    if standing.is_some_and(|m| m.value == value && m.term == wish.term && m.left_s(now) >= wish.ttl_s * RENEW_BELOW) {
        return Ok(Step::Keep);
    }
    let (scaler, reason) = (wish.scaler.clone(), wish.reason.clone());
    Ok(Step::Write(Mark { value, original, expires: expiry(now, wish.ttl_s), scaler, term: wish.term, reason }))
}

/// No floor above what the user set is wished.
fn put_back(field: &Field, standing: Option<&FloorMark>, kind: Kind, wish: &Wish, now: Timestamp) -> Step {
    let Some(mark) = standing else { return if field.mark.is_some() { Step::Forget } else { Step::Keep } };
    let least = mark.original.unwrap_or(0);
    let next = if kind == Kind::Scale { gently(least, field.value, standing, wish.ttl_s, now) } else { least };
    if next > least {
        return if Some(next) == field.value {
            Step::Keep
        } else {
            Step::Write(Mark { value: Some(next), expires: expiry(now, wish.ttl_s), term: wish.term, ..mark.clone() })
        };
    }
    Step::Restore(mark.clone())
}

/// Up at once, down in small steps with pauses: without a scaler nobody else damps it.
fn gently(wanted: u32, now_runs: Option<u32>, mark: Option<&FloorMark>, ttl_s: f64, now: Timestamp) -> u32 {
    let Some(runs) = now_runs.filter(|runs| *runs > wanted) else { return wanted };
    if mark.is_some_and(|m| ttl_s - m.left_s(now) < DOWN_EVERY_S) {
        return runs;
    }
    let step = ((f64::from(runs) * STEP_DOWN) as u32).max(1);
    wanted.max(runs - step)
}

/// What to do about a mark whose time is over, whoever finds it; `None` while it still has time.
pub fn overdue(field: &Field, now: Timestamp) -> Option<Step> {
    let mark = field.mark.as_ref().filter(|m| m.is_overdue(now))?;
    Some(if mark.value == field.value { Step::Restore(mark.clone()) } else { Step::Forget })
}

#[cfg(test)]
mod tests;

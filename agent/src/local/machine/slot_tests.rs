//! Tests of an instance's life, without processes.

use super::clock::Now;
use super::slot::{Act, Event, Limits, Part, Role, Slot};
use crate::local::api::State;
use std::time::Duration;

const LIMITS: Limits = Limits { ready_timeout: Duration::from_secs(5), drain: Duration::from_secs(2) };

fn at(s: f64) -> Now {
    Now::at_s(s)
}

fn acts(slot: &mut Slot, s: f64) -> Vec<Act> {
    std::iter::from_fn(|| slot.step(at(s), LIMITS)).collect()
}

fn exited(part: Part) -> Event {
    Event::Exited { part, how: "ended with status 1".into() }
}

fn ready(slot: &mut Slot, s: f64, attempt: u32) {
    slot.observe(Event::Ready { attempt, admin_url: Some("http://127.0.0.1:9".into()) }, at(s));
}

fn running(role: Role) -> Slot {
    let mut slot = Slot::new("one".into(), role, "production".into(), 1.0, at(0.0));
    acts(&mut slot, 0.0);
    ready(&mut slot, 0.5, 1);
    assert!(slot.is_ready());
    slot
}

#[test]
fn starts_what_its_role_needs() {
    for (role, app, proxy) in [(Role::Production, true, true), (Role::Shadow, true, false), (Role::Front, false, true)] {
        let mut slot = Slot::new("one".into(), role, "p".into(), 1.0, at(0.0));
        assert_eq!(acts(&mut slot, 0.0), [Act::Start { attempt: 1, app, proxy }], "{role:?}");
        assert_eq!(acts(&mut slot, 1.0), [], "{role:?}");
    }
}

#[test]
fn a_crashed_sidecar_is_started_again_beside_its_application() {
    let mut slot = running(Role::Production);
    slot.observe(exited(Part::Proxy), at(1.0));
    assert!(!slot.is_ready() && slot.app_runs());
    assert_eq!(acts(&mut slot, 1.0), [Act::Start { attempt: 2, app: false, proxy: true }]);
}

#[test]
fn a_crashed_application_takes_its_sidecar_along_and_both_start_anew() {
    let mut slot = running(Role::Production);
    slot.observe(exited(Part::App), at(1.0));
    assert_eq!(slot.report().state, State::Starting);
    assert_eq!(acts(&mut slot, 1.0), [Act::Kill]);
    slot.observe(exited(Part::Proxy), at(1.1));
    assert_eq!(acts(&mut slot, 1.1), [Act::Start { attempt: 2, app: true, proxy: true }]);
    assert!(slot.note().unwrap().contains("once"));
}

#[test]
fn pauses_double_up_to_a_bound_and_are_forgotten_after_a_stable_time() {
    let mut slot = Slot::new("one".into(), Role::Shadow, "p".into(), 1.0, at(0.0));
    let mut now = 0.0;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        while acts(&mut slot, now).is_empty() {
            now += 0.1;
        }
        let crash = now;
        slot.observe(exited(Part::App), at(now));
        let mut probe = slot.clone();
        while acts(&mut probe, now).is_empty() {
            now += 0.1;
        }
        pauses.push(((now - crash) * 10.0).round() / 10.0);
    }
    assert_eq!(pauses, [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]);
    while acts(&mut slot, now).is_empty() {
        now += 0.1;
    }
    ready(&mut slot, now, 11);
    slot.observe(exited(Part::App), at(now + 11.0));
    assert_eq!(acts(&mut slot, now + 11.0).len(), 1, "started again at once");
    assert_eq!(slot.restarts(), 11);
}

#[test]
fn a_start_that_takes_too_long_is_given_up_and_tried_again() {
    let mut slot = Slot::new("one".into(), Role::Shadow, "p".into(), 1.0, at(0.0));
    acts(&mut slot, 0.0);
    assert_eq!(acts(&mut slot, 4.9), []);
    assert_eq!(acts(&mut slot, 5.0), [Act::Terminate]);
    ready(&mut slot, 5.1, 1);
    assert!(!slot.is_ready(), "too late");
    slot.observe(exited(Part::App), at(5.2));
    assert_eq!(acts(&mut slot, 5.2), [Act::Start { attempt: 2, app: true, proxy: false }]);
}

#[test]
fn drains_then_asks_then_kills() {
    let mut slot = running(Role::Production);
    slot.retire(at(1.0), LIMITS);
    assert!(!slot.is_ready() && slot.is_leaving());
    assert_eq!(acts(&mut slot, 1.0), [Act::WatchIdle { drain: 1 }]);
    assert_eq!(acts(&mut slot, 2.9), []);
    assert_eq!(acts(&mut slot, 3.0), [Act::Terminate], "the drain is bounded");
    assert_eq!(acts(&mut slot, 6.9), []);
    assert_eq!(acts(&mut slot, 7.0), [Act::Kill]);
    assert_eq!(acts(&mut slot, 9.0), []);
    slot.observe(exited(Part::App), at(9.0));
    assert_eq!(acts(&mut slot, 9.0), []);
    slot.observe(exited(Part::Proxy), at(9.0));
    assert_eq!(acts(&mut slot, 9.0), [Act::Remove]);
    assert!(slot.is_gone());
    assert_eq!(slot.restarts(), 0, "an end that was asked for is no failure");
}

#[test]
fn an_idle_instance_does_not_wait_for_its_drain_time() {
    let mut slot = running(Role::Production);
    slot.retire(at(1.0), LIMITS);
    acts(&mut slot, 1.0);
    slot.observe(Event::Idle { drain: 7 }, at(1.1));
    assert_eq!(acts(&mut slot, 1.1), [], "of another drain");
    slot.observe(Event::Idle { drain: 1 }, at(1.2));
    assert_eq!(acts(&mut slot, 1.2), [Act::Terminate]);
}

#[test]
fn a_draining_instance_can_be_called_back() {
    let mut slot = running(Role::Production);
    slot.retire(at(1.0), LIMITS);
    acts(&mut slot, 1.0);
    assert!(slot.recall(at(1.5)) && slot.is_ready());
    slot.observe(Event::Idle { drain: 1 }, at(1.6));
    assert!(slot.is_ready(), "an old drain's end means nothing now");
    slot.finish();
    acts(&mut slot, 1.7);
    assert!(!slot.recall(at(1.8)), "too late once it was told to end");
}

#[test]
fn what_never_ran_is_gone_at_once() {
    let mut slot = Slot::new("one".into(), Role::Production, "p".into(), 1.0, at(0.0));
    slot.retire(at(0.0), LIMITS);
    assert_eq!(acts(&mut slot, 0.0), [Act::Remove]);
}

#[test]
fn abort_kills_without_asking_also_what_was_asked_already() {
    let mut slot = running(Role::Production);
    slot.finish();
    assert_eq!(acts(&mut slot, 1.0), [Act::Terminate]);
    slot.abort(at(1.1));
    assert_eq!(acts(&mut slot, 1.1), [Act::Kill]);
}

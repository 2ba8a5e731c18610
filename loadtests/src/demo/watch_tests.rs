//! Tests of the watch: raises, costs, alarms and the account of copies from what was polled.

use super::*;
use crate::demo::wire::{Alarm, Band, Instance, Plan, Scale};

fn workload(floor: u32, requested: u32, replica_seconds: f64) -> Workload {
    let scale = Scale { desired: floor.max(requested), requested: Some(requested), floor, floor_reason: format!("to {floor}") };
    let replicas =
        vec![Instance { state: "ready".into(), ..Instance::default() }, Instance { state: "starting".into(), ..Instance::default() }];
    Workload { scale, replicas, replica_seconds, ..Workload::default() }
}

fn finish(watch: Watch) -> Arm {
    let mut arm = Arm::default();
    watch.into_arm(&mut arm, 10.0);
    arm
}

#[test]
fn a_raise_is_a_floor_seen_higher_in_the_judged_part() {
    let mut w = Watch::default();
    for (at, floor, requested) in [(-2.0, 4, 4), (0.5, 4, 4), (1.0, 6, 4), (2.0, 6, 8), (3.0, 5, 8), (4.0, 7, 8), (11.0, 9, 1)] {
        w.workload(at, &workload(floor, requested, 0.0));
    }
    let raises: Vec<_> = finish(w).floor_raises.iter().map(|r| (r.at_s, r.from, r.to, r.effective, r.reason.clone())).collect();
    assert_eq!(raises, [(1.0, 4, 6, true, "to 6".into()), (4.0, 5, 7, false, "to 7".into())]);
}

#[test]
fn cost_is_what_was_added_in_the_judged_part() {
    let mut w = Watch::default();
    for (at, cost) in [(-5.0, 10.0), (-0.1, 20.0), (5.0, 50.0), (9.9, 80.0), (10.2, 99.0)] {
        w.workload(at, &workload(0, 2, cost));
    }
    let arm = finish(w);
    assert_eq!(arm.replica_seconds, 60.0);
    assert_eq!(
        arm.scale.iter().map(|p| p.at_s).collect::<Vec<_>>(),
        [-5.0],
        "nothing changed in between, and the last lies beyond the end"
    );
    assert_eq!((arm.scale[0].ready, arm.scale[0].starting), (1, 1));
}

#[test]
fn decisions_are_taken_once_and_alarms_become_spans() {
    let mut w = Watch::default();
    let decision = |at_ms: u64, since_ms: Option<u64>| Decision {
        at_ms,
        capacity_rps: Some(Band { p10: 1.0, p50: 2.0, p90: 3.0 }),
        plan: Plan { floor: Some(3), changed: at_ms == 2_000, reason: "why".into(), ..Plan::default() },
        alarms: since_ms.map(|since_ms| Alarm { kind: "capacity_falling".into(), since_ms, text: "t".into() }).into_iter().collect(),
        ..Decision::default()
    };
    for (at, since) in [(1, None), (2, Some(2_000)), (2, Some(2_000)), (3, Some(2_000)), (4, None), (6, Some(6_000))] {
        w.decision(f64::from(at), &decision(at as u64 * 1_000, since));
    }
    assert!(w.knows_capacity());
    let arm = finish(w);
    assert_eq!(arm.tracked.len(), 5);
    assert_eq!(arm.decisions.len(), 1);
    assert_eq!(arm.alarms.iter().map(|a| (a.start_s, a.end_s)).collect::<Vec<_>>(), [(2.0, 3.0), (6.0, 6.0)]);
}

#[test]
fn the_account_closes_over_proxies_that_came_and_went() {
    let mirror = |eligible, completed, in_flight, out: u64| Mirror {
        eligible,
        completed,
        in_flight,
        dropped: [("sampled_out".to_string(), out)].into(),
        ..Mirror::default()
    };
    let seen = |id: &str, start, m: Mirror| Telemetry { proxy_id: id.into(), start_time_unix_ms: start, mirrors: vec![m] };
    let mut w = Watch::default();
    w.telemetry(seen("a", 1, mirror(5, 3, 1, 1)));
    w.telemetry(seen("a", 1, mirror(10, 6, 0, 4)));
    w.telemetry(seen("b", 1, mirror(7, 3, 2, 2)));
    w.telemetry(seen("b", 9, mirror(1, 1, 0, 0)));
    assert_eq!(w.copies_in_flight(), 2);
    let copies = finish(w).copies;
    assert_eq!((copies.eligible, copies.completed), (18, 10));
    assert_eq!(copies.dropped["under_way_when_last_seen"], 2);
    assert!(copies.closes());
}

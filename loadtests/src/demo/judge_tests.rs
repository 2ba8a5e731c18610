//! Tests of the judge: what counts as a violation, whom it is attributed to, and how leads are counted.

use super::*;
use crate::report::document::FloorRaise;

const OBJECTIVE: Objective = Objective { threshold_ms: 150.0, target_ratio: 0.99 };

/// One second each, 100 requests, this many bad.
fn seconds(bad: &[u64]) -> Vec<Second> {
    bad.iter().enumerate().map(|(i, &bad)| Second { at_s: i as f64, requests: 100, bad, ..Second::default() }).collect()
}

fn fault(name: &str, start_s: f64, end_s: f64) -> Fault {
    Fault { name: name.into(), start_s, full_s: start_s + 1.0, easing_s: end_s - 1.0, end_s, ..Fault::default() }
}

fn raise(at_s: f64) -> FloorRaise {
    FloorRaise { at_s, from: 0, to: 6, reason: "capacity".into(), effective: true }
}

fn arm(name: &str, bad: &[u64], raises: &[f64], faults: &[Fault]) -> Arm {
    let floor_raises = raises.iter().copied().map(raise).collect();
    let mut arm = Arm { name: name.into(), client: seconds(bad), floor_raises, ..Arm::default() };
    judge_arm(&mut arm, &OBJECTIVE, faults);
    arm
}

#[test]
fn the_objective_itself_is_not_a_violation() {
    // Three seconds of 100 requests may hold three bad ones at 99 %; four are fewer than a violation needs.
    assert_eq!(violations(&seconds(&[1, 1, 1, 1, 1, 1]), &OBJECTIVE, &[]), []);
    assert_eq!(violations(&seconds(&[0, 4, 0, 0]), &OBJECTIVE, &[]), []);
    assert_eq!(violations(&[], &OBJECTIVE, &[]), []);
}

#[test]
fn an_episode_starts_with_its_first_second_and_counts_its_bad_requests() {
    let found = violations(&seconds(&[0, 0, 9, 30, 4, 0, 0]), &OBJECTIVE, &[]);
    assert_eq!(found, [Violation { onset_s: 2.0, end_s: 5.0, fault: "load".into(), bad: 43 }]);
}

#[test]
fn a_short_pause_does_not_split_an_episode_and_a_quiet_gap_does() {
    let short = violations(&seconds(&[9, 0, 0, 0, 9, 0]), &OBJECTIVE, &[]);
    assert_eq!(short.len(), 1);
    assert_eq!((short[0].onset_s, short[0].end_s), (0.0, 5.0));
    let long = violations(&seconds(&[9, 0, 0, 0, 0, 0, 0, 0, 9]), &OBJECTIVE, &[]);
    assert_eq!(long.iter().map(|v| v.onset_s).collect::<Vec<_>>(), [0.0, 8.0]);
}

#[test]
fn silence_is_not_a_violation_but_total_failure_is() {
    let silent = vec![Second { at_s: 0.0, ..Second::default() }; 5];
    assert_eq!(violations(&silent, &OBJECTIVE, &[]), []);
    assert_eq!(violations(&seconds(&[100, 100]), &OBJECTIVE, &[])[0].onset_s, 0.0);
}

#[test]
fn an_episode_belongs_to_the_fault_at_its_onset_or_just_gone() {
    let faults = [fault("hidden-loss", 2.0, 5.0), fault("leak", 14.0, 30.0)];
    let at = |onset: usize| {
        let mut bad = vec![0; onset + 1];
        bad[onset] = 50;
        violations(&seconds(&bad), &OBJECTIVE, &faults)[0].fault.clone()
    };
    assert_eq!([at(0), at(2), at(9), at(12), at(14)], ["load", "hidden-loss", "hidden-loss", "load", "leak"]);
}

#[test]
fn lead_is_onset_minus_the_first_signal_within_the_faults_window() {
    let faults = [fault("hidden-loss", 3.0, 12.0)];
    let mut bad = vec![0; 15];
    bad[8] = 40;
    assert_eq!(arm("foreshadow", &bad, &[1.0, 5.5, 7.0], &faults).lead_s, [Some(2.5)], "a raise before the fault is not for it");
    assert_eq!(arm("foreshadow", &bad, &[8.5], &faults).lead_s, [Some(-0.5)], "too late is negative");
    assert_eq!(arm("foreshadow", &bad, &[], &faults).lead_s, [None]);
}

#[test]
fn only_alarms_about_production_count_as_signals() {
    let faults = [fault("hidden-loss", 3.0, 12.0)];
    let mut bad = vec![0; 15];
    bad[8] = 40;
    let mut arm = arm("foreshadow", &bad, &[6.0], &faults);
    let alarm = |kind: &str, start_s| AlarmSpan { kind: kind.into(), start_s, end_s: 9.0, text: String::new() };
    arm.alarms = vec![alarm("stale_data", 3.5), alarm("capacity_falling", 4.0)];
    judge_arm(&mut arm, &OBJECTIVE, &faults);
    assert_eq!(arm.lead_s, [Some(4.0)]);
}

#[test]
fn an_averted_violation_is_said_and_its_lead_is_against_the_reactive_onset() {
    let faults = vec![fault("hidden-loss", 3.0, 12.0), fault("leak", 20.0, 25.0)];
    let mut bad = vec![0; 30];
    bad[8] = 40;
    let arms = vec![arm("reactive", &bad, &[], &faults), arm("foreshadow", &[0; 30], &[5.0], &faults)];
    let mut doc = Document { arms, faults, objective: OBJECTIVE, ..Document::default() };
    compare(&mut doc);
    let first = &doc.leads[0];
    assert_eq!((first.averted, first.lead_s, first.lead_vs_reactive_s, first.reactive_onset_s), (true, None, Some(3.0), Some(8.0)));
    assert_eq!((doc.leads[1].averted, doc.leads[1].lead_vs_reactive_s), (false, None), "nothing happened in either arm");
    assert_eq!(doc.arm("foreshadow").unwrap().lead_vs_reactive_s, [Some(3.0), None]);
    assert_eq!(doc.bad_ratio(), Some(0.0));
}

#[test]
fn one_arm_alone_is_compared_with_nothing() {
    let faults = vec![fault("leak", 3.0, 12.0)];
    let mut bad = vec![0; 15];
    bad[8] = 40;
    for name in ["reactive", "foreshadow"] {
        let mut doc = Document { arms: vec![arm(name, &bad, &[4.0], &faults)], faults: faults.clone(), ..Document::default() };
        compare(&mut doc);
        assert_eq!(doc.leads.len(), 1);
        assert!(!doc.leads[0].averted);
        assert_eq!(doc.leads[0].lead_vs_reactive_s, None);
        assert_eq!(doc.bad_ratio(), None);
    }
}

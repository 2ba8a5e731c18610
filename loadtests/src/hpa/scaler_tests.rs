//! The worked examples of the documentation, and the rules around them.

use super::*;
use crate::hpa::config::{Change, Policy, Rules};
use crate::hpa::pods::{Metric, Phase};

/// A pod that has been ready for long and uses `cores` of the one it requests.
fn pod(cores: f64) -> Pod {
    let metric = Some(Metric { cores, at_s: 10_000.0, window_s: 15.0 });
    Pod { phase: Phase::Running, started_s: 0.0, ready: true, ready_changed_s: 5.0, request_cores: 1.0, metric }
}

fn pods(n: usize, cores: f64) -> Vec<Pod> {
    vec![pod(cores); n]
}

fn hpa() -> Hpa {
    Hpa::new(Config { target_utilization: 0.5, max_replicas: 100, ..Config::default() })
}

/// What one sync of a fresh autoscaler asks for.
fn once(current: u32, pods: &[Pod]) -> Recommendation {
    hpa().sync(10_000.0, current, 1, pods)
}

#[test]
fn twice_the_target_doubles_and_half_of_it_halves() {
    // Documentation: 200m with a target of 100m doubles, since 200/100 = 2.0; 50m halves, since 50/100 = 0.5.
    assert_eq!(once(3, &pods(3, 1.0)).desired, 6);
    let half = once(4, &pods(4, 0.25));
    assert_eq!((half.desired, half.raw, half.reason), (2, Some(2), Reason::Metrics));
    assert_eq!(once(3, &pods(3, 0.6)).desired, 4, "3 x 1.2 = 3.6, rounded up");
}

#[test]
fn near_the_target_nothing_changes() {
    for cores in [0.451, 0.5, 0.549] {
        assert_eq!(once(10, &pods(10, cores)).desired, 10, "{cores}");
    }
    assert_eq!(once(10, &pods(10, 0.56)).desired, 12);
    assert_eq!(once(10, &pods(10, 0.44)).desired, 9);
}

#[test]
fn the_blog_example_of_fifty_replicas() {
    // 50 replicas at 90 % with a target of 75 %: 50 x 90/75 = 60.
    let mut hpa = Hpa::new(Config { target_utilization: 0.75, max_replicas: 100, ..Config::default() });
    assert_eq!(hpa.sync(10_000.0, 50, 1, &pods(50, 0.9)).desired, 60);
}

#[test]
fn pods_without_metrics_dampen_a_change() {
    let missing = Pod { metric: None, ..pod(0.0) };
    let with = |n: usize, cores: f64, lost: usize| [pods(n, cores), vec![missing.clone(); lost]].concat();
    // Growing, they count as idle: three at twice the target and one unknown are 4 x 1.5.
    assert_eq!(once(4, &with(3, 1.0, 1)).desired, 6);
    // Shrinking, they count as at their target: three idle ones and one unknown are 4 x 0.25.
    assert_eq!(once(4, &with(3, 0.0, 1)).desired, 1);
    // Not when the direction would turn round, nor within the tolerance: 2 x 1.2 / 3 = 0.8.
    assert_eq!(once(3, &with(2, 0.6, 1)).desired, 3);
    assert_eq!(once(20, &with(19, 0.56, 1)).desired, 20);
    let none = once(3, &with(0, 0.0, 3));
    assert_eq!((none.desired, none.reason), (3, Reason::NoMetrics));
}

#[test]
fn pods_not_yet_ready_dampen_growth_only() {
    let pending = Pod { phase: Phase::Pending, metric: None, ready: false, ..pod(0.0) };
    let grow = [pods(3, 1.0), vec![pending.clone(); 3]].concat();
    assert_eq!(once(6, &grow).desired, 6, "3 x 2 + 3 x 0 over six is the target");
    let shrink = [pods(3, 0.25), vec![pending; 1]].concat();
    assert_eq!(once(4, &shrink).desired, 2, "set aside when shrinking");
}

#[test]
fn use_measured_while_starting_does_not_count() {
    // Started 60 s ago, ready for 20 s. Its start burned processor time.
    let starting = |ready, at_s| Pod {
        started_s: 9_940.0,
        ready,
        ready_changed_s: 9_980.0,
        metric: Some(Metric { cores: 4.0, at_s, window_s: 15.0 }),
        ..pod(0.0)
    };
    let with = |p: Pod| once(4, &[pods(3, 0.5), vec![p]].concat()).desired;
    assert_eq!(with(starting(false, 9_999.0)), 4, "not ready");
    assert_eq!(with(starting(true, 9_990.0)), 4, "its window began before it was ready");
    assert_eq!(with(starting(true, 9_996.0)), 8, "a whole window since: capped by the policy at 4 more");
    // After the initialization period an unready pod still counts, unless it never was ready.
    let old = |ready_changed_s| Pod { started_s: 0.0, ready: false, ready_changed_s, ..pod(4.0) };
    assert_eq!(with(old(5_000.0)), 8);
    assert_eq!(with(old(20.0)), 4);
}

#[test]
fn deleted_and_failed_pods_are_ignored() {
    let gone = [Pod { phase: Phase::Terminating, ..pod(9.0) }, Pod { phase: Phase::Failed, ..pod(9.0) }];
    assert_eq!(once(3, &[pods(3, 0.5), gone.to_vec()].concat()).desired, 3);
}

#[test]
fn growth_is_at_most_doubling_or_four_pods_per_period() {
    let mut hpa = hpa();
    // From one: 4 more is the larger allowance; from 5: doubling; then nothing more within the period.
    let first = hpa.sync(0.0, 1, 1, &pods(1, 50.0));
    assert_eq!((first.desired, first.reason), (5, Reason::RateLimited));
    assert_eq!(hpa.sync(10.0, 5, 1, &pods(5, 50.0)).desired, 5, "the period began with one");
    assert_eq!(hpa.sync(15.1, 5, 1, &pods(5, 50.0)).desired, 10);
    let most = hpa.sync(500.0, 90, 1, &pods(90, 1.0));
    assert_eq!((most.desired, most.reason), (100, Reason::Bounds));
}

#[test]
fn shrinking_waits_for_the_window_and_follows_its_highest_recommendation() {
    let mut hpa = hpa();
    assert_eq!(hpa.sync(0.0, 10, 1, &pods(10, 0.5)).desired, 10);
    assert_eq!(hpa.sync(100.0, 10, 1, &pods(10, 0.4)).raw, Some(8));
    let low = hpa.sync(200.0, 10, 1, &pods(10, 0.1));
    assert_eq!((low.desired, low.raw, low.reason), (10, Some(2), Reason::Stabilized));
    assert_eq!(hpa.sync(301.0, 10, 1, &pods(10, 0.1)).desired, 8, "the ten of second 0 is out of the window");
    assert_eq!(hpa.sync(401.0, 8, 1, &pods(8, 0.1)).desired, 2);
}

#[test]
fn policies_limit_shrinking_too() {
    let down = Rules { stabilization_s: 0.0, policies: vec![Policy { change: Change::Percent(10.0), period_s: 60.0 }] };
    let mut hpa = Hpa::new(Config { target_utilization: 0.5, max_replicas: 100, down, ..Config::default() });
    // Documentation: 10 % of 80 replicas are 8 in the first minute; the next minute 72 x 0.1 = 7.2, rounded up to 8.
    assert_eq!(hpa.sync(0.0, 80, 1, &pods(80, 0.0)).desired, 72);
    assert_eq!(hpa.sync(30.0, 72, 1, &pods(72, 0.0)).desired, 72);
    assert_eq!(hpa.sync(61.0, 72, 1, &pods(72, 0.0)).desired, 64);
}

#[test]
fn a_floor_is_the_least_at_the_sync_and_between() {
    let mut hpa = hpa();
    let raised = hpa.sync(0.0, 3, 7, &pods(3, 0.5));
    assert_eq!((raised.desired, raised.reason), (7, Reason::Bounds));
    assert_eq!(hpa.sync(400.0, 7, 7, &pods(7, 0.1)).desired, 7, "never below it");
    assert_eq!(hpa.sync(800.0, 7, 2, &pods(7, 0.1)).desired, 2, "and below it once it is gone and the window is over");
    assert_eq!((Hpa::between(3, 5), Hpa::between(6, 5)), (5, 6));
    let over = Hpa::new(Config { max_replicas: 4, ..Config::default() }).sync(0.0, 9, 1, &pods(9, 0.7));
    assert_eq!(over.desired, 4);
}

#[test]
fn time_scale_divides_every_duration_and_syncs_keep_their_beat() {
    let mut hpa = Hpa::new(Config { target_utilization: 0.5, max_replicas: 100, ..Config::default() }.scaled(10.0));
    assert!(hpa.due(0.0));
    hpa.sync(0.0, 10, 1, &pods(10, 0.5));
    assert!(!hpa.due(1.4) && hpa.due(1.5));
    hpa.sync(1.6, 10, 1, &pods(10, 0.1));
    assert!(hpa.due(3.0), "a late sync does not shift the next");
    assert_eq!(hpa.sync(29.9, 10, 1, &pods(10, 0.1)).desired, 10);
    assert_eq!(hpa.sync(30.1, 10, 1, &pods(10, 0.1)).desired, 2);
    assert_eq!(hpa.config().cpu_initialization_s, 30.0);
}

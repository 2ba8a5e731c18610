//! The edge on its own: what sets in, what saturates.

use super::*;

fn path(rps: f64, bad: f64, in_flight: f64) -> PathObservation {
    PathObservation { arrival_rps: rps, done_rps: rps, requests: rps, bad, in_flight, ..Default::default() }
}

#[test]
fn traffic_that_sets_in_brings_nothing_due() {
    let mut edge = Edge::by_bad_only(150.0, 0.99, 5.0);
    edge.observe(&path(10.0, 0.0, 1.0), 1.0, 1.0, 15.0);
    (0..5).for_each(|_| edge.observe(&path(70.0, 0.0, 4.0), 1.0, 1.0, 100.0));
    assert!(edge.bad_due() < 5.0, "{}", edge.bad_due());
}

#[test]
fn calm_refutes_no_capacity_above_the_load() {
    let mut edge = Edge::by_bad_only(150.0, 0.99, 5.0);
    (0..600).for_each(|_| edge.observe(&path(700.0, 0.0, 40.0), 10.0, 1.0, 100.0));
    let says = |rps: f64| {
        let mut said = [0.0];
        edge.says_of(rps.ln(), 0.0, &mut said);
        said[0]
    };
    let against = |rps: f64| says(1e4) - says(rps);
    // A quarter above the load: an hour of such seconds must not add up to anything. Below the load each second tells.
    assert!(against(87.5) < 0.001, "{}", against(87.5));
    assert!(against(63.0) > 0.5, "{}", against(63.0));
}

#[test]
fn a_queue_says_where_the_edge_is_by_the_curve() {
    let mut edge = Edge::new(150.0, 0.99, 5.0);
    for _ in 0..60 {
        edge.observe(&path(45.0, 0.6, 3.0), 1.0, 1.0, 60.0);
    }
    let share = (-edge.load_for_bad(SATURATED_BAD)).exp();
    assert!((0.5..0.95).contains(&share), "{share}");
    // A queue stands: 60 a second are all that is served.
    let jammed = PathObservation { done_rps: 60.0, requests: 60.0, bad: 50.0, ..path(75.0, 50.0, 30.0) };
    for _ in 0..10 {
        edge.observe(&jammed, 1.0, 1.0, 60.0);
    }
    assert_eq!(edge.regime(), Regime::Saturated);
    let said = edge.estimate().expect("known").median();
    let meant = 60.0 * (-edge.load_for_bad(SATURATED_BAD)).exp();
    assert!((said / meant - 1.0).abs() < 0.12, "{said} {meant}");
}

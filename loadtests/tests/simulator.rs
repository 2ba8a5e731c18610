//! The simulator against theory, and against its own promises.

use foreshadow_loadtests::scaling::policies::{CpuHpa, Fixed, Foreshadow, Oracle};
use foreshadow_loadtests::sim::faults::{Fault, Kind};
use foreshadow_loadtests::sim::load::Curve;
use foreshadow_loadtests::sim::pool::Balance;
use foreshadow_loadtests::sim::random::{Stream, stream};
use foreshadow_loadtests::sim::replica::{Replica, Size};
use foreshadow_loadtests::sim::service::{Draw, Sigma};
use foreshadow_loadtests::sim::{Policy, Scenario, View, Want, run};
use rand_distr::{Distribution, Exp1};

/// Mean wait of Poisson arrivals before `workers`, as a multiple of the mean service time.
fn mean_wait(workers: usize, busy: f64, sigma: Sigma) -> f64 {
    let mut rng = stream(11, Stream::Load);
    let mut replica = Replica::new(Size { workers, queue: 1_000_000 }, 0.0, 0, 0.5);
    let draw = Draw { sigma: Some(sigma), ..Draw::new(1.0, 0.0) };
    let (mut t, mut waited) = (0.0, 0.0);
    let n = 1_000_000;
    for _ in 0..n {
        let gap: f64 = Exp1.sample(&mut rng);
        t += gap / (busy * workers as f64);
        let answer = replica.arrive(t, draw.request(&mut rng), f64::INFINITY);
        waited += answer.start_s.unwrap_or(t) - t;
    }
    waited / f64::from(n)
}

/// Probability that an arrival waits: Erlang's C formula.
fn erlang_c(workers: usize, busy: f64) -> f64 {
    let a = busy * workers as f64;
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 0..workers {
        sum += term;
        term *= a / (k + 1) as f64;
    }
    let last = term / (1.0 - busy);
    last / (sum + last)
}

#[test]
fn waits_are_those_of_queueing_theory() {
    for (workers, busy) in [(1, 0.7), (4, 0.8), (8, 0.7), (8, 0.9)] {
        let theory = erlang_c(workers, busy) / (workers as f64 * (1.0 - busy));
        let simulated = mean_wait(workers, busy, Sigma::Exponential);
        assert!((simulated / theory - 1.0).abs() < 0.05, "M/M/{workers} at {busy}: {simulated:.4}, theory {theory:.4}");
    }
    for busy in [0.5, 0.8] {
        let theory = busy / (2.0 * (1.0 - busy));
        let simulated = mean_wait(1, busy, Sigma::Fixed);
        assert!((simulated / theory - 1.0).abs() < 0.03, "M/D/1 at {busy}: {simulated:.4}, theory {theory:.4}");
    }
}

/// A cluster scenario of half an hour after the warm-up.
fn half_hour(kinds: &[Kind], seed: u64) -> Scenario {
    Scenario::cluster("x", kinds, 6.0, &Curve::constant(1.0), 1_800.0, seed)
}

#[test]
fn every_attempt_that_begins_ends_or_is_under_way() {
    for kinds in [&[Kind::HiddenLoss][..], &[Kind::Leak], &[Kind::BadRelease], &[Kind::FlashCrowd]] {
        let scenario = half_hour(kinds, 3);
        let out = run(&scenario, &mut CpuHpa::new(0.9, &scenario.pace), 3);
        let first: u64 = out.points.iter().map(|p| u64::from(p.requests)).sum();
        assert_eq!(out.attempts, out.ended, "{kinds:?}");
        assert!(out.attempts >= first && out.bad <= out.requests && out.requests < first && out.requests > first / 2, "{kinds:?}");
    }
}

#[test]
fn a_seed_is_a_run() {
    let scenario = Scenario::demo(5);
    let go = |seed| run(&scenario, &mut Foreshadow::default_for(&scenario, None, 5), seed);
    assert_eq!(go(5), go(5));
    assert_ne!(go(5).points, go(6).points);
}

#[test]
fn policies_are_asked_the_same_questions() {
    let scenario = half_hour(&[Kind::Surge], 2);
    let requests = |policy: &mut dyn Policy| run(&scenario, policy, 2).points.iter().map(|p| p.requests).collect::<Vec<_>>();
    let few = requests(&mut Fixed(5));
    assert_eq!(few, requests(&mut Fixed(20)));
    assert_eq!(few, requests(&mut Foreshadow::default_for(&scenario, None, 1)));
}

#[test]
fn the_autoscaler_follows_load_late_and_comes_down_after_its_window() {
    let base = half_hour(&[], 1);
    let jump = Fault { kind: Kind::FlashCrowd, start_s: 1_200.0, full_s: 1_201.0, easing_s: 1_500.0, end_s: 1_501.0, depth: 2.0 };
    let scenario = Scenario { faults: vec![jump], ..base };
    let out = run(&scenario, &mut CpuHpa::new(0.7, &scenario.pace), 1);
    let desired = |t: usize| f64::from(out.points[t].desired);
    let before = desired(1_190);
    assert!((before - 6.0).abs() <= 1.0, "{before}");
    assert!(desired(1_205) <= before, "metrics are late");
    assert!(desired(1_290) >= 1.6 * before, "{} after {before}", desired(1_290));
    assert!(desired(1_780) >= 1.6 * before, "the window holds for five minutes");
    assert!(desired(1_880) < 1.4 * before, "{}", desired(1_880));
}

#[test]
fn hidden_loss_hurts_the_autoscaler_and_not_the_clairvoyant() {
    let loss = Fault { kind: Kind::HiddenLoss, start_s: 1_200.0, full_s: 1_400.0, easing_s: 1_900.0, end_s: 2_000.0, depth: 0.5 };
    let scenario = Scenario { faults: vec![loss], ..half_hour(&[], 4) };
    let plenty = run(&scenario, &mut Fixed(30), 4).bad_ratio();
    let hpa = run(&scenario, &mut CpuHpa::new(0.7, &scenario.pace), 4);
    let oracle = run(&scenario, &mut Oracle::new(0.9, &scenario), 4);
    assert!(hpa.bad_ratio() > 10.0 * plenty + 0.005, "{} of {plenty}", hpa.bad_ratio());
    assert!(oracle.bad_ratio() < 2.0 * plenty + 0.001, "{} of {plenty}", oracle.bad_ratio());
}

/// As many replicas as given, and a shadow that gets this share of copies.
struct Watched(u32, f64, Vec<f64>);

impl Policy for Watched {
    fn decide(&mut self, view: &View<'_>) -> Want {
        let shadow = view.sample.and_then(|s| s.shadow.as_ref());
        self.2.extend(shadow.map(|s| s.path.arrivals as f64));
        Want { replicas: self.0, fraction: self.1, ..Want::default() }
    }

    fn shadow(&self) -> Option<foreshadow_loadtests::sim::shadow::Profile> {
        Some(foreshadow_loadtests::sim::shadow::Profile::HALF)
    }
}

#[test]
fn the_shadow_costs_its_size_gets_its_share_and_touches_nothing() {
    let scenario = half_hour(&[], 6);
    let alone = run(&scenario, &mut Fixed(6), 6);
    for fraction in [0.1, 1.7] {
        let mut watched = Watched(6, fraction, Vec::new());
        let with = run(&scenario, &mut watched, 6);
        let bad = |o: &foreshadow_loadtests::sim::Outcome| o.points.iter().map(|p| (p.requests, p.bad)).collect::<Vec<_>>();
        assert_eq!(bad(&alone), bad(&with), "production is the same to the request");
        assert!((with.mean_replicas() - alone.mean_replicas() - 0.5).abs() < 1e-9);
        let copies: f64 = watched.2[900..].iter().sum();
        assert!((copies / (fraction * with.requests as f64) - 1.0).abs() < 0.02, "{copies}");
    }
}

#[test]
fn balancers_differ_in_tails_only() {
    let least = Scenario { balance: Balance::LeastRequest, ..half_hour(&[], 7) };
    let turns = Scenario { balance: Balance::RoundRobin, ..least.clone() };
    let (a, b) = (run(&least, &mut Fixed(5), 7), run(&turns, &mut Fixed(5), 7));
    assert_eq!(a.requests, b.requests);
    assert!(a.bad_ratio() < b.bad_ratio() + 1e-3);
}

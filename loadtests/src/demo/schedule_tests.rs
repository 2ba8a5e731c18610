//! Tests of the schedule: the seed decides everything, windows fit, strength ramps.

use super::*;

fn spec<'a>(seed: u64, shape: &'a [f64], kinds: &'a [Kind]) -> Spec<'a> {
    Spec { seed, seconds: 85, mean_rps: 500.0, shape, kinds }
}

fn wave() -> Vec<f64> {
    (0..2_000).map(|i| 1_000.0 + 200.0 * (f64::from(i) / 40.0).sin()).collect()
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    let shape = wave();
    let kinds = [Kind::HiddenLoss, Kind::CostlierMix];
    assert_eq!(schedule(&spec(7, &shape, &kinds)), schedule(&spec(7, &shape, &kinds)));
    assert_ne!(schedule(&spec(7, &shape, &kinds)), schedule(&spec(8, &shape, &kinds)));
}

#[test]
fn load_has_the_mean_wished_and_one_point_a_second() {
    for seed in 0..20 {
        let s = schedule(&spec(seed, &wave(), &[]));
        assert_eq!(s.rps.len(), 86);
        assert!((average(&s.rps) - 500.0).abs() < 1e-6);
    }
}

#[test]
fn every_number_of_faults_fits_in_order_without_overlap() {
    for seed in 0..20 {
        for n in 1..=Kind::INJECTED.len() {
            let s = schedule(&spec(seed, &wave(), &Kind::INJECTED[..n]));
            assert_eq!(s.faults.len(), n);
            for f in &s.faults {
                assert!(
                    0.0 < f.start_s && f.start_s < f.full_s && f.full_s < f.easing_s && f.easing_s < f.end_s && f.end_s <= 85.0,
                    "{f:?}"
                );
            }
            assert!(s.faults.windows(2).all(|w| w[0].end_s < w[1].start_s));
        }
    }
}

#[test]
fn strength_ramps_holds_and_goes() {
    let f = Fault { start_s: 10.0, full_s: 20.0, easing_s: 30.0, end_s: 34.0, ..Fault::default() };
    let at = |t| (strength(&f, t) * 100.0).round();
    assert_eq!([at(9.0), at(15.0), at(20.0), at(30.0), at(32.0), at(40.0)], [0.0, 50.0, 100.0, 100.0, 50.0, 0.0]);
}

#[test]
fn a_surge_multiplies_the_load_and_other_faults_leave_it() {
    let flat = vec![1.0; 500];
    let surge = schedule(&spec(1, &flat, &[Kind::Surge]));
    let f = &surge.faults[0];
    let hold = surge.rps[(f.full_s as usize) + 2];
    assert!((hold / 500.0 - f.depth).abs() < 0.01, "{hold} against {}", f.depth);
    assert!((surge.rps[0] - 500.0).abs() < 1e-9);
    assert!(schedule(&spec(1, &flat, &[Kind::HiddenLoss])).rps.iter().all(|r| (r - 500.0).abs() < 1e-9));
}

#[test]
fn short_empty_and_silent_shapes_still_give_load() {
    for shape in [vec![], vec![3.0], vec![1.0, 2.0], vec![0.0; 500]] {
        let s = schedule(&spec(3, &shape, &[Kind::HiddenLoss]));
        assert_eq!(s.rps.len(), 86);
        assert!((average(&s.rps) - 500.0).abs() < 1.0, "{shape:?}");
    }
}

#[test]
fn names_go_both_ways() {
    for kind in Kind::INJECTED {
        assert_eq!(Kind::parse(kind.name()), Some(kind));
    }
    assert_eq!(Kind::parse("earthquake"), None);
}

//! Whatever comes in, the brain neither panics nor says nonsense.

use foreshadow_brain::latency::Latencies;
use foreshadow_brain::sample::{PathSample, Sample, ScaleState, ShadowSample};
use foreshadow_brain::{Brain, Decision, Settings};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(0.0), Just(1e300), 0.0..1e4f64]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), Just(u64::MAX), 0u64..500]
}

fn path() -> impl Strategy<Value = PathSample> {
    let latencies = prop::collection::vec((0u64..u64::MAX, 0u32..1_000), 0..6);
    (count(), count(), count(), count(), number(), number(), number(), latencies).prop_map(
        |(requests, bad, failed, arrivals, in_flight, cpu, memory, latencies)| {
            let mut latency = Latencies::default();
            latencies.iter().for_each(|(us, n)| latency.add(*us, *n));
            PathSample {
                requests,
                bad,
                failed,
                arrivals,
                latency,
                in_flight,
                cpu_cores: Some(cpu),
                memory_bytes: Some(memory),
                ..Default::default()
            }
        },
    )
}

fn sample() -> impl Strategy<Value = Sample> {
    let shadow = (path(), number(), any::<bool>(), 0u8..3).prop_map(|(path, size, ready, profile)| ShadowSample {
        path,
        size,
        ready,
        profile: format!("p{profile}"),
        ..Default::default()
    });
    let scale = (any::<u32>(), any::<u32>(), 0u8..3).prop_map(|(desired, ready, release)| ScaleState {
        desired: desired % 1_000,
        ready,
        release: format!("r{release}"),
        ..Default::default()
    });
    let step = prop_oneof![Just(0u64), Just(1_000u64), Just(1u64), Just(10_000_000u64)];
    let interval = prop_oneof![Just(0u32), Just(1_000u32), any::<u32>()];
    (step, interval, prop::option::of(path()), prop::option::of(shadow), scale)
        .prop_map(|(at_ms, interval_ms, production, shadow, scale)| Sample { at_ms, interval_ms, production, shadow, scale })
}

fn settings() -> impl Strategy<Value = Settings> {
    (number(), number(), any::<u32>(), any::<u32>(), number(), number()).prop_map(|(threshold_ms, target_ratio, min, max, start, other)| {
        Settings {
            threshold_ms,
            target_ratio,
            min_replicas: min,
            max_replicas: max,
            replica_start_s: start,
            horizons_s: vec![start, other, 5.0],
            headroom: other,
            floor_ttl_s: other,
            lower_after_s: start,
            max_step_up: min,
            stale_after_s: other,
            copy_rate_rps: (other, start),
            max_fraction: other,
            train_every_s: other,
            seed: 0,
            risk_z: start,
        }
    })
}

fn sane(decision: &Decision, settings: &Settings) {
    let copies = &decision.copies;
    assert!([copies.rate_rps, copies.fraction, copies.synthetic_rps].iter().all(|x| x.is_finite() && *x >= 0.0), "{copies:?}");
    if let Some(floor) = decision.plan.floor {
        assert!(floor >= settings.min_replicas && floor <= settings.max_replicas, "{floor}");
    }
    let bands = decision.forecasts.iter().flat_map(|f| [f.load_rps, f.capacity_rps, f.latency_ms, f.cpu_cores, f.memory_bytes]);
    for band in bands.chain([decision.capacity_rps]).flatten() {
        assert!(band.p10.is_finite() && band.p90.is_finite() && band.p10 <= band.p50 && band.p50 <= band.p90, "{band:?}");
    }
    assert!(decision.forecasts.iter().filter_map(|f| f.p_violation).all(|p| (0.0..=1.0).contains(&p)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_in_sense_out(settings in settings(), samples in prop::collection::vec(sample(), 1..60)) {
        let mut brain = Brain::new(settings);
        let mut at_ms = 0u64;
        for mut sample in samples {
            at_ms += sample.at_ms;
            sample.at_ms = at_ms;
            let decision = brain.tick(&sample);
            sane(&decision, brain.settings());
        }
    }
}

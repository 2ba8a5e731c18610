//! Distributions, minimal disruption, priorities and panic.

use super::*;
use crate::config::model::Locality;

fn hosts(weights: &[u32]) -> Vec<Host> {
    let host = |(n, weight): (usize, &u32)| {
        let host = EndpointState::new(format!("10.0.0.{}:80", n + 1).parse().unwrap(), "", None);
        host.weight.set(*weight);
        Rc::new(host)
    };
    weights.iter().enumerate().map(host).collect()
}

fn counts(balancer: &Balancer, n: usize, hash: impl Fn(u64) -> Option<u64>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for i in 0..n {
        let host = balancer.choose(hash(i as u64), 0).unwrap();
        *counts.entry(host.address.ip().to_string()).or_default() += 1;
    }
    counts
}

/// Hashes as they come from keys.
fn spread(n: u64) -> Option<u64> {
    Some(xxhash_rust::xxh64::xxh64(&n.to_le_bytes(), 7))
}

#[test]
fn turns_and_weights() {
    let of = |policy, weights: &[u32]| {
        let counts = counts(&Balancer::new(policy, &LbSettings::default(), &hosts(weights)), 700, |_| None);
        counts.into_values().collect::<Vec<_>>()
    };
    assert_eq!(of(LbPolicy::RoundRobin, &[1; 7]), [100; 7]);
    let weighted = of(LbPolicy::RoundRobin, &[1, 2, 4]);
    assert!(weighted.iter().zip([100, 200, 400]).all(|(n, expected)| n.abs_diff(expected) <= 1), "{weighted:?}");
    // Nothing is under way, so that load does not count.
    let least = of(LbPolicy::LeastRequest, &[1, 2, 4]);
    assert!(least.iter().zip([100, 200, 400]).all(|(n, expected)| n.abs_diff(expected) <= 1), "{least:?}");
    assert!(of(LbPolicy::Random, &[1; 7]).iter().all(|n| (50..160).contains(n)));
}

#[test]
fn the_less_loaded_is_preferred() {
    for weights in [[1, 1, 1], [1, 1, 2]] {
        let hosts = hosts(&weights);
        hosts[2].active.set(50);
        let settings = LbSettings { choices: 3, ..LbSettings::default() };
        let counts = counts(&Balancer::new(LbPolicy::LeastRequest, &settings, &hosts), 300, |_| None);
        assert!(counts.get("10.0.0.3").copied().unwrap_or_default() < 30, "{counts:?}");
    }
}

#[test]
fn hashes_spread_by_weight_and_stay_when_another_goes() {
    for policy in [LbPolicy::RingHash, LbPolicy::Maglev] {
        let all = hosts(&[1, 1, 1, 1, 2]);
        let (settings, n) = (LbSettings::default(), 20_000);
        let before = Balancer::new(policy, &settings, &all);
        let share = counts(&before, n, spread);
        for (ip, expected) in [("10.0.0.1", n / 6), ("10.0.0.5", n / 3)] {
            // A ring of a thousand points is uneven (its shares have a standard deviation of some 8 %); the table hardly is.
            let tolerance = if policy == LbPolicy::Maglev { 20 } else { 4 };
            assert!(share[ip].abs_diff(expected) < expected / tolerance, "{policy:?} {ip}: {} of {n}", share[ip]);
        }
        all[1].usable.set(false);
        let after = Balancer::new(policy, &settings, &all);
        let moved = (0..n as u64)
            .filter(|i| {
                let was = before.choose(spread(*i), 0).unwrap().address;
                was != all[1].address && was != after.choose(spread(*i), 0).unwrap().address
            })
            .count();
        // Few who need not move do: on the ring because those that stay get more points, so that there are as many as before; in the table by its nature.
        let most = if policy == LbPolicy::RingHash { n / 10 } else { n / 20 };
        assert!(moved <= most, "{policy:?}: {moved} of {n} moved");
        // The same again, and elsewhere when that one is not wanted.
        let first = before.choose(Some(42), 0).unwrap().address;
        assert_eq!(before.choose(Some(42), 0).unwrap().address, first);
        assert!((1..50).any(|attempt| before.choose(Some(42), attempt).unwrap().address != first));
        assert!(before.choose(None, 0).is_some());
    }
}

#[test]
fn the_ring_has_as_many_points_as_asked_for() {
    let keys: Vec<_> = (0..3).map(|n| (format!("10.0.0.{n}:80"), 1)).collect();
    assert_eq!(Ring::new(&keys, 1024, 8 << 20).len(), 1026, "a whole number for each");
    assert_eq!(Ring::new(&keys, 1024, 100).len(), 100);
    assert_eq!(Ring::new(&[], 1024, 100).find(1, 0), None);
}

#[test]
fn priorities_and_panic() {
    let all = hosts(&[1; 6]);
    all[3..].iter().for_each(|h| h.priority.set(1));
    let settings = LbSettings::default();
    let of = |all: &[Host]| counts(&Balancer::new(LbPolicy::RoundRobin, &settings, all), 2000, |_| None);
    assert_eq!(of(&all).len(), 3, "the first priority takes everything");
    all[0].usable.set(false);
    all[1].usable.set(false);
    // A third is healthy: it takes 140/3 = 46 %, the rest goes on.
    let shared = of(&all);
    assert!((840..1000).contains(&shared["10.0.0.3"]) && !shared.contains_key("10.0.0.1"), "{shared:?}");
    all[2..].iter().for_each(|h| h.usable.set(false));
    let panic = Balancer::new(LbPolicy::RoundRobin, &settings, &all);
    assert!(panic.in_panic());
    assert_eq!(counts(&panic, 2000, |_| None).len(), 6, "all are used when nobody is healthy");
    let calm = LbSettings { panic_percent: 0.0, ..settings };
    assert!(Balancer::new(LbPolicy::RoundRobin, &calm, &all).choose(None, 0).is_none());
    assert!(Balancer::new(LbPolicy::RoundRobin, &settings, &[]).choose(None, 0).is_none());
}

#[test]
fn localities_share_by_weight_and_health() {
    let all = hosts(&[1; 6]);
    let locality = |zone: &str, weight| Arc::new(Locality { name: [String::new(), zone.into(), String::new()], weight });
    let (near, far, none) = (locality("near", 3), locality("far", 1), locality("none", 0));
    for (host, of) in all.iter().zip([&near, &near, &far, &far, &far, &none]) {
        host.locality.replace(of.clone());
    }
    let settings = LbSettings { by_locality: true, ..LbSettings::default() };
    let of = |hash: fn(u64) -> Option<u64>, policy| {
        let counts = counts(&Balancer::new(policy, &settings, &all), 4000, hash);
        let near = ["10.0.0.1", "10.0.0.2"].iter().filter_map(|ip| counts.get(*ip)).sum::<usize>();
        (near, counts.contains_key("10.0.0.6"))
    };
    let (near, leaked) = of(|_| None, LbPolicy::RoundRobin);
    assert!(near.abs_diff(3000) <= 2 && !leaked, "{near}");
    let (near, _) = of(spread, LbPolicy::Maglev);
    assert!(near.abs_diff(3000) < 150, "{near}");
    all[0].usable.set(false);
    // Half of the near ones: 0.7 of their weight, 2.1 to 1.
    let (near, _) = of(|_| None, LbPolicy::RoundRobin);
    assert!(near.abs_diff(4000 * 21 / 31) <= 2, "{near}");
}

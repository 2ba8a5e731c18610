//! Passive health, decided: which suspicions lead to an ejection, for how long, and who comes back. Envoy's rules. Pure: time and chance come from
//! outside.

use super::host::{Rate, Suspicion};
use crate::config::model::{Outlier, RateRule};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What becomes of a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint is ejected.
    Ejected,
    /// It would be, if the rule were enforced this time.
    Noticed,
    /// Too many are ejected already.
    Overflow,
    /// It is ejected already, or unknown.
    Nothing,
}

/// What an interval comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Suspicions, and what became of them.
    pub verdicts: Vec<(SocketAddr, Suspicion, Verdict)>,
    /// Endpoints that are back.
    pub back: Vec<SocketAddr>,
}

/// Passive health of one cluster.
#[derive(Debug)]
pub struct Detector {
    settings: Outlier,
    hosts: BTreeMap<SocketAddr, Record>,
    next: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Since when it is ejected, and for how long.
    ejected: Option<(Instant, Duration)>,
    /// How often it was lately: the next ejection is that much longer.
    times: u32,
}

impl Detector {
    /// Nothing is known yet.
    pub fn new(settings: Outlier, now: Instant) -> Self {
        Self { next: now + settings.interval, settings, hosts: BTreeMap::new() }
    }

    /// Takes over changed settings.
    pub fn configure(&mut self, settings: &Outlier) {
        if self.settings != *settings {
            self.settings = settings.clone();
        }
    }

    /// The cluster's endpoints are these.
    pub fn set_hosts(&mut self, hosts: &[SocketAddr]) {
        self.hosts.retain(|address, _| hosts.contains(address));
        for address in hosts {
            self.hosts.entry(*address).or_default();
        }
    }

    /// How many are ejected.
    pub fn ejected(&self) -> usize {
        self.hosts.values().filter(|r| r.ejected.is_some()).count()
    }

    /// Judges a suspicion; `draw` gives a number below 1.
    pub fn suspect(&mut self, now: Instant, address: SocketAddr, why: Suspicion, draw: &mut impl FnMut() -> f64) -> Verdict {
        let (all, ejected) = (self.hosts.len(), self.ejected());
        let Some(record) = self.hosts.get_mut(&address).filter(|r| r.ejected.is_none()) else { return Verdict::Nothing };
        let within = (ejected + 1) * 100 <= self.settings.max_percent as usize * all;
        if !(within || self.settings.always_one && ejected == 0) {
            return Verdict::Overflow;
        }
        if draw() * 100.0 >= f64::from(enforcing(&self.settings, why)) {
            return Verdict::Noticed;
        }
        record.times += 1;
        let longest = self.settings.max_ejection.max(self.settings.base_ejection);
        let time = (self.settings.base_ejection * record.times).min(longest) + self.settings.jitter.mul_f64(draw());
        record.ejected = Some((now, time));
        Verdict::Ejected
    }

    /// Whether an interval is over.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// An interval is over: who has served their time is back, and rates are compared.
    pub fn interval(&mut self, now: Instant, rates: &[(SocketAddr, Rate, Rate)], draw: &mut impl FnMut() -> f64) -> Interval {
        self.next = now + self.settings.interval;
        let mut it = Interval::default();
        for (address, record) in &mut self.hosts {
            match record.ejected {
                Some((since, time)) if now >= since + time => {
                    record.ejected = None;
                    it.back.push(*address);
                }
                Some(_) => {}
                // One who stays well is forgiven step by step.
                None => record.times = record.times.saturating_sub(1),
            }
        }
        let answers: Vec<_> = rates.iter().map(|r| (r.0, r.1)).collect();
        let locals: Vec<_> = rates.iter().map(|r| (r.0, r.2)).collect();
        let mut suspects = far_below(&answers, &self.settings, Suspicion::SuccessRate);
        suspects.extend(too_many(&answers, &self.settings, Suspicion::FailurePercentage));
        if self.settings.split {
            suspects.extend(far_below(&locals, &self.settings, Suspicion::SuccessRateLocal));
            suspects.extend(too_many(&locals, &self.settings, Suspicion::FailurePercentageLocal));
        }
        for (address, why) in suspects {
            let verdict = self.suspect(now, address, why, draw);
            it.verdicts.push((address, why, verdict));
        }
        it
    }
}

fn enforcing(settings: &Outlier, why: Suspicion) -> u32 {
    match why {
        Suspicion::Consecutive5xx => settings.consecutive_5xx.enforcing,
        Suspicion::ConsecutiveGateway => settings.consecutive_gateway.enforcing,
        Suspicion::ConsecutiveLocal => settings.consecutive_local.enforcing,
        Suspicion::SuccessRate => settings.success_rate.enforcing,
        Suspicion::SuccessRateLocal => settings.success_rate.enforcing_local,
        Suspicion::FailurePercentage => settings.failure_percentage.enforcing,
        Suspicion::FailurePercentageLocal => settings.failure_percentage.enforcing_local,
    }
}

/// Success rates in percent of those with enough requests, if they are enough.
fn busy(rates: &[(SocketAddr, Rate)], rule: &RateRule) -> Vec<(SocketAddr, f64)> {
    let busy = rates.iter().filter(|r| r.1.all >= rule.volume.max(1));
    let busy: Vec<_> = busy.map(|(address, rate)| (*address, rate.good as f64 * 100.0 / rate.all as f64)).collect();
    if busy.len() >= rule.hosts as usize { busy } else { Vec::new() }
}

fn far_below(rates: &[(SocketAddr, Rate)], settings: &Outlier, why: Suspicion) -> Vec<(SocketAddr, Suspicion)> {
    let busy = busy(rates, &settings.success_rate);
    let n = busy.len().max(1) as f64;
    let mean = busy.iter().map(|b| b.1).sum::<f64>() / n;
    let deviation = (busy.iter().map(|b| (b.1 - mean).powi(2)).sum::<f64>() / n).sqrt();
    let threshold = mean - deviation * f64::from(settings.stdev_factor) / 1000.0;
    busy.into_iter().filter(|b| b.1 < threshold).map(|b| (b.0, why)).collect()
}

fn too_many(rates: &[(SocketAddr, Rate)], settings: &Outlier, why: Suspicion) -> Vec<(SocketAddr, Suspicion)> {
    let busy = busy(rates, &settings.failure_percentage);
    busy.into_iter().filter(|b| 100.0 - b.1 >= f64::from(settings.failure_threshold)).map(|b| (b.0, why)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    fn detector(settings: Outlier, hosts: u8) -> (Detector, Instant) {
        let now = Instant::now();
        let mut it = Detector::new(settings, now);
        it.set_hosts(&(0..hosts).map(address).collect::<Vec<_>>());
        (it, now)
    }

    fn always() -> impl FnMut() -> f64 {
        || 0.0
    }

    #[test]
    fn ejections_are_bounded_and_grow() {
        let (mut it, start) = detector(Outlier { max_percent: 50, ..Outlier::default() }, 4);
        let suspect = |it: &mut Detector, now, n| it.suspect(now, address(n), Suspicion::Consecutive5xx, &mut always());
        assert_eq!(suspect(&mut it, start, 0), Verdict::Ejected);
        assert_eq!(suspect(&mut it, start, 0), Verdict::Nothing);
        assert_eq!(suspect(&mut it, start, 1), Verdict::Ejected);
        assert_eq!(suspect(&mut it, start, 2), Verdict::Overflow);
        assert_eq!(suspect(&mut it, start, 9), Verdict::Nothing);
        assert_eq!(it.suspect(start, address(3), Suspicion::ConsecutiveGateway, &mut always()), Verdict::Overflow);
        let after = |it: &mut Detector, seconds| it.interval(start + Duration::from_secs(seconds), &[], &mut always()).back;
        assert!(after(&mut it, 29).is_empty());
        assert_eq!(after(&mut it, 30), [address(0), address(1)]);
        // The second time is twice as long; an interval without a new one takes that back.
        let again = start + Duration::from_secs(31);
        suspect(&mut it, again, 0);
        assert!(after(&mut it, 90).is_empty());
        assert_eq!(after(&mut it, 91), [address(0)]);
        after(&mut it, 100);
        after(&mut it, 110);
        suspect(&mut it, start + Duration::from_secs(111), 0);
        assert_eq!(after(&mut it, 141), [address(0)]);
    }

    #[test]
    fn no_more_than_the_percentage_and_one_always_when_asked_for() {
        let (mut it, now) = detector(Outlier::default(), 4);
        assert_eq!(it.suspect(now, address(0), Suspicion::Consecutive5xx, &mut always()), Verdict::Overflow);
        let (mut it, now) = detector(Outlier { always_one: true, ..Outlier::default() }, 4);
        assert_eq!(it.suspect(now, address(0), Suspicion::Consecutive5xx, &mut always()), Verdict::Ejected);
        let (mut it, now) = detector(Outlier { max_percent: 100, ..Outlier::default() }, 4);
        assert_eq!(it.suspect(now, address(0), Suspicion::ConsecutiveGateway, &mut always()), Verdict::Noticed, "not enforced by default");
    }

    #[test]
    fn rates_far_below_the_others() {
        let settings = Outlier { max_percent: 100, ..Outlier::default() };
        let rate = |good| Rate { good, all: 200 };
        let rates =
            |bad: u64, n: u8| (0..n).map(|i| (address(i), rate(if i == 0 { bad } else { 198 }), Rate::default())).collect::<Vec<_>>();
        let (mut it, now) = detector(settings.clone(), 6);
        assert!(!it.is_due(now) && it.is_due(now + Duration::from_secs(10)));
        let found = it.interval(now, &rates(100, 6), &mut always());
        assert_eq!(found.verdicts, [(address(0), Suspicion::SuccessRate, Verdict::Ejected)]);
        let (mut it, now) = detector(settings.clone(), 4);
        assert!(it.interval(now, &rates(100, 4), &mut always()).verdicts.is_empty(), "too few to compare");
        let mut percentage =
            Outlier { failure_percentage: RateRule { enforcing: 100, hosts: 1, ..settings.failure_percentage }, ..settings };
        percentage.success_rate.enforcing = 0;
        let (mut it, now) = detector(percentage, 4);
        assert_eq!(it.interval(now, &rates(30, 4), &mut always()).verdicts, [(address(0), Suspicion::FailurePercentage, Verdict::Ejected)]);
        assert!(it.interval(now, &rates(31, 4), &mut always()).verdicts.is_empty());
    }
}

//! What sidecars count: per step of the simulation, for production or the shadow, turned into the decision core's samples.
//!
//! Called for every request when its outcome is known, which is before it has happened; a ring of steps holds it until then. Attempts are
//! counted, as a sidecar sees them; what a client sees of several attempts is counted by the world. No allocation per request.

use foreshadow_brain::latency::Latencies;
use foreshadow_brain::sample::PathSample;

/// Steps held: longer than any request.
const RING: usize = 256;
/// Buckets of the latency histogram that are kept: up to 2^28 microseconds, over four minutes.
const BUCKETS: usize = 225;

/// Counts of one step.
#[derive(Debug, Clone)]
struct Step {
    arrivals: u64,
    ended: u64,
    bad: u64,
    failed: u64,
    cpu_s: f64,
    latency: [u32; BUCKETS],
}

impl Step {
    const EMPTY: Self = Self { arrivals: 0, ended: 0, bad: 0, failed: 0, cpu_s: 0.0, latency: [0; BUCKETS] };
}

/// One path's counts.
#[derive(Debug)]
pub struct Meter {
    step_s: f64,
    threshold_s: f64,
    now: usize,
    ring: Vec<Step>,
    in_flight: u64,
    total: PathSample,
    total_latency: [u32; BUCKETS],
    last_cpu_s: f64,
    last_arrivals: u64,
}

impl Meter {
    /// Counts in steps of `step_s` seconds; a request slower than the threshold is bad.
    pub fn new(step_s: f64, threshold_s: f64) -> Self {
        Self {
            step_s,
            threshold_s,
            now: 0,
            ring: vec![Step::EMPTY; RING],
            in_flight: 0,
            total: PathSample::default(),
            total_latency: [0; BUCKETS],
            last_cpu_s: 0.0,
            last_arrivals: 0,
        }
    }

    fn at(&mut self, t: f64) -> &mut Step {
        let step = ((t / self.step_s) as usize).clamp(self.now, self.now + RING - 1);
        &mut self.ring[step % RING]
    }

    /// A request came at `t` and ends at `end_s`.
    pub fn request(&mut self, t: f64, end_s: f64, failed: bool) {
        self.at(t).arrivals += 1;
        let latency_s = end_s - t;
        let bad = failed || latency_s > self.threshold_s;
        let step = self.at(end_s);
        step.ended += 1;
        step.bad += u64::from(bad);
        if failed {
            step.failed += 1;
        } else {
            let bucket = usize::from(Latencies::bucket_of((latency_s * 1e6) as u64)).min(BUCKETS - 1);
            step.latency[bucket] += 1;
        }
    }

    /// Processor time used around `t`.
    pub fn cpu(&mut self, t: f64, seconds: f64) {
        self.at(t).cpu_s += seconds;
    }

    /// Ends a step: it is added to the sample under way.
    pub fn advance(&mut self) {
        let step = std::mem::replace(&mut self.ring[self.now % RING], Step::EMPTY);
        self.now += 1;
        self.in_flight = (self.in_flight + step.arrivals).saturating_sub(step.ended);
        self.total.arrivals += step.arrivals;
        self.total.requests += step.ended;
        self.total.bad += step.bad;
        self.total.failed += step.failed;
        *self.total.cpu_cores.get_or_insert(0.0) += step.cpu_s;
        for (sum, count) in self.total_latency.iter_mut().zip(step.latency) {
            *sum += count;
        }
        (self.last_cpu_s, self.last_arrivals) = (step.cpu_s, step.arrivals);
    }

    /// Processor seconds and arrivals of the step that ended last.
    pub fn last(&self) -> (f64, u64) {
        (self.last_cpu_s, self.last_arrivals)
    }

    /// Requests under way at the end of the last step.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The sample since the last call; `seconds` is its length, `noise` multiplies the processor reading.
    pub fn sample(&mut self, seconds: f64, noise: f64) -> PathSample {
        let mut sample = std::mem::take(&mut self.total);
        for (bucket, count) in self.total_latency.iter_mut().enumerate().filter(|(_, c)| **c > 0) {
            sample.latency.add(Latencies::bucket_us(bucket as u16).round() as u64, std::mem::take(count));
        }
        sample.in_flight = self.in_flight as f64;
        sample.cpu_cores = Some(sample.cpu_cores.unwrap_or(0.0) / seconds * noise);
        sample.bytes = 1_200 * sample.requests;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_in_its_own_second() {
        let mut meter = Meter::new(1.0, 0.15);
        meter.request(0.9, 1.1, false);
        meter.request(0.2, 0.3, false);
        meter.request(0.5, 0.501, true);
        meter.advance();
        let first = meter.sample(1.0, 1.0);
        assert_eq!((first.arrivals, first.requests, first.bad, first.failed, first.in_flight), (3, 2, 1, 1, 1.0));
        assert_eq!(first.latency.count(), 1);
        meter.advance();
        let second = meter.sample(1.0, 1.0);
        assert_eq!((second.arrivals, second.requests, second.bad, second.in_flight), (0, 1, 1, 0.0));
        assert!((second.latency.quantile_us(0.5).unwrap() / 200_000.0 - 1.0).abs() < 0.05);
    }
}

//! How many copies the shadow should get: as many as keep it at the edge, where each interval says most about capacity.
//!
//! Works on the *rate*; the fraction follows from production's expected arrivals each tick, so load swings do not move the shadow. Starts
//! low, climbs by bounded factors, lands where a small multiple of the tolerated bad fraction is expected, and lets a standing
//! queue drain before going on. Called by [`crate::Brain`]; not here: how proxies are told.

use crate::capacity::Capacity;
use crate::decision::CopyPlan;
use crate::math::bounded;
use crate::series::{Observation, PathObservation};
use crate::settings::Settings;

/// Largest factor per second upwards while the edge is not known.
const CLIMB: f64 = 1.25;
/// The same when it is known: coming back after a queue drained.
const RETURN: f64 = 1.6;
/// Bad fraction aimed at, in multiples of what the objective tolerates: a second tells most of the edge well beyond it (the information of a count of
/// failures rises with p (1 - p)), but farther on a queue stands, and while that drains nothing is told at all.
const AIM: f64 = 3.0;
/// Never aimed farther beyond the edge than this, in ln(rate / capacity), however flat the curve is believed to be.
const FARTHEST: f64 = 0.2;
/// The edge is known below this standard deviation of its logarithm.
const KNOWN_SD: f64 = 0.2;

/// The controller.
#[derive(Debug, Clone)]
pub struct CopyController {
    rate: Option<f64>,
    seen_s: Option<f64>,
}

impl CopyController {
    /// A controller that has not started.
    pub fn new() -> Self {
        Self { rate: None, seen_s: None }
    }

    /// Plan for the next interval; `arrivals_rps` are production's expected arrivals.
    pub fn plan(&mut self, seen: &Observation, capacity: &Capacity, arrivals_rps: f64, settings: &Settings) -> CopyPlan {
        let low = bounded(settings.copy_rate_rps.0, 0.0, 1e9);
        let high = bounded(settings.copy_rate_rps.1, low, 1e9);
        let Some(path) = &seen.shadow else { return self.without_numbers(seen, low, arrivals_rps, settings) };
        self.seen_s = Some(seen.at_s);
        let start = low.max(0.2 * capacity.production_edge().rate() * seen.shadow_size);
        let before = self.rate.unwrap_or(start);
        let seconds = seen.since_last_s.min(5.0);
        let edge = capacity.shadow_edge();
        let sojourn = path.sojourn_ms();
        if sojourn > 1.5 * settings.threshold_ms {
            // What is resumed afterwards is remembered; what is sent meanwhile only lets the queue shrink.
            self.rate = Some(bounded(0.85 * before, low, high));
            let rate = if sojourn > 4.0 * settings.threshold_ms { low } else { bounded(0.4 * path.done_rps, low, high) };
            let reason = format!("draining the shadow's queue: {:.0} requests under way take {sojourn:.0} ms", path.in_flight);
            return share(rate, arrivals_rps, settings, reason);
        }
        let (rate, reason) = match edge.estimate().filter(|e| e.sd < KNOWN_SD) {
            Some(e) => {
                let u = bounded(edge.load_for_bad(AIM * (1.0 - settings.target_ratio)), 0.0, FARTHEST);
                let aim = (e.mean + u).exp();
                let rate = aim.min(before.max(path.arrival_rps).max(0.5 * aim) * RETURN.powf(seconds));
                (rate, format!("at the edge: the shadow takes {:.1} rps, {:.1} rps keep it just beyond", e.median(), aim))
            }
            None => search(before, path, seconds, settings),
        };
        let rate = bounded(rate, low, high);
        self.rate = Some(rate);
        share(rate, arrivals_rps, settings, reason)
    }
}

impl CopyController {
    /// A shadow that is starting gets the least and begins anew; numbers that are missing for a moment change nothing.
    fn without_numbers(&mut self, seen: &Observation, low: f64, arrivals_rps: f64, settings: &Settings) -> CopyPlan {
        if seen.shadow_present {
            self.rate = None;
            return share(low, arrivals_rps, settings, "the shadow is not ready yet".into());
        }
        match (self.rate, self.seen_s) {
            (Some(rate), Some(at_s)) if seen.at_s - at_s <= settings.stale_after_s => {
                let reason = format!("no numbers from the shadow for {:.0} s: staying at {rate:.1} rps", seen.at_s - at_s);
                share(rate, arrivals_rps, settings, reason)
            }
            _ => {
                self.rate = None;
                share(0.0, arrivals_rps, settings, "there is no shadow".into())
            }
        }
    }
}

/// Climbs towards an edge that is not known yet.
fn search(before: f64, path: &PathObservation, seconds: f64, settings: &Settings) -> (f64, String) {
    let tolerated = (1.0 - settings.target_ratio) * path.requests;
    if path.bad > (10.0 * tolerated).max(2.0) {
        (0.75 * before, format!("backing off: {:.0} of {:.0} copies were bad", path.bad, path.requests))
    } else if path.bad > (4.0 * tolerated).max(1.0) {
        (before, "holding: copies begin to be bad".into())
    } else {
        (before * CLIMB.powf(seconds), format!("climbing towards the edge from {before:.1} rps"))
    }
}

impl Default for CopyController {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns a rate into a fraction of live traffic, and what that cannot give into a synthetic stream.
fn share(rate: f64, arrivals_rps: f64, settings: &Settings, reason: String) -> CopyPlan {
    let most = bounded(settings.max_fraction, 0.0, 1e3);
    let fraction = if arrivals_rps > 1e-3 { (rate / arrivals_rps).min(most) } else { 0.0 };
    let synthetic_rps = (rate - fraction * arrivals_rps).max(0.0);
    CopyPlan { rate_rps: rate, fraction, synthetic_rps: if synthetic_rps < 1e-6 { 0.0 } else { synthetic_rps }, reason }
}

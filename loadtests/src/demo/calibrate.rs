//! Learns what an application that is not ours can take, before it is put under the loop: one replica, no sidecar, at most a minute.
//!
//! Called by [`crate::demo::run`] with `--app`. Promises: bounded in time and rate; every figure found is said aloud and stands in the report.
//! Not here: the tracking itself; what is found here only chooses a load, a threshold and the reactive scaler's request.

use crate::demo::arm::{self, Installation};
use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::processor::by_group;
use crate::demo::schedule::Schedule;
use crate::demo::setup::Setup;
use crate::demo::traffic::{Traffic, TrafficPlan};
use crate::demo::ui::Ui;
use crate::report::document::Second;
use bytes::Bytes;
use http::Method;
use std::time::{Duration, Instant};

/// Requests sent one after the other to an idle replica.
const UNLOADED: usize = 60;
/// Threshold over the unloaded median.
const THRESHOLD_FACTOR: f64 = 5.0;
/// Least threshold, in milliseconds.
const LEAST_THRESHOLD_MS: f64 = 20.0;
/// Least threshold where processor limits are enforced: the kernel's bandwidth control pauses a process for up to 100 ms at a time, also below the limit.
const LEAST_LIMITED_MS: f64 = 150.0;
/// The ramp: first rate, factor between steps, seconds a step, number of steps.
const RAMP: (f64, f64, usize, usize) = (20.0, 1.35, 3, 16);
/// A step with more bad requests than this is beyond the knee.
const BAD: f64 = 0.05;
/// Replicas in ordinary times, and the share of the knee they then take.
const REPLICAS: f64 = 3.0;
const SHARE: f64 = 0.6;
/// Share of the machine that all processes together may take at the height of a surge, and what a request costs outside the application, in core-seconds.
const MACHINE: f64 = 0.65;
const OVERHEAD: f64 = 0.0006;
/// Height of a surge over ordinary load.
const SURGE: f64 = 2.0;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Threshold chosen, in milliseconds.
    pub threshold_ms: f64,
    /// Rate that one replica took within the threshold, requests per second.
    pub knee_rps: f64,
    /// Processor cores that it used then.
    pub cores: f64,
    /// Mean rate chosen for the run.
    pub mean_rps: f64,
    /// In words.
    pub how: String,
}

/// Calibrates. The caller ends the fleet.
pub async fn calibrate(setup: &Setup, binaries: &Binaries, fleet: &mut Fleet, ui: &Ui) -> Result<Found, Error> {
    let phase = ui.phase("calibrate");
    let installation = arm::install(setup, binaries, fleet, &phase).await?;
    let replica = installation.workload.replicas.first().cloned().unwrap_or_default();
    let limited = !replica.cgroups.is_empty();
    phase.say("response time of an idle replica");
    let p50_ms = unloaded(&installation, &replica.app_url, &setup.path).await?;
    let threshold_ms = threshold(p50_ms, limited);
    let steps = rates();
    let rps: Vec<f64> = steps.iter().flat_map(|r| std::iter::repeat_n(*r, RAMP.2)).collect();
    let schedule = Schedule { rps: rps.into_iter().chain(steps.last().copied()).collect(), faults: Vec::new() };
    let plan = TrafficPlan {
        base_url: &replica.app_url,
        path: &setup.path,
        warmup_s: 0,
        schedule: &schedule,
        threshold_ms,
        seed: 0,
        dir: &setup.dir,
        mixed: false,
    };
    let mut traffic = Traffic::start(&plan, binaries, fleet)?;
    let mut used = vec![cores_used(replica.pid)];
    while !traffic.ended() {
        traffic.next().await?;
        let seconds = traffic.seconds();
        let done = seconds.len() / RAMP.2;
        if done >= used.len() && done <= steps.len() {
            used.push(cores_used(replica.pid));
            phase.say(&format!("{:.0} rps on one replica", steps[done.min(steps.len() - 1)]));
            if bad_share(&seconds[(done - 1) * RAMP.2..done * RAMP.2]) > BAD {
                break;
            }
        }
    }
    let good = traffic.seconds().chunks_exact(RAMP.2).take_while(|step| bad_share(step) <= BAD).count().min(used.len().saturating_sub(1));
    if good == 0 {
        return Err(Error::Failed(format!(
            "one replica does not answer {:.0} requests a second within {threshold_ms:.0} ms: nothing to scale",
            RAMP.0
        )));
    }
    let knee_rps = steps[good - 1];
    let cores = ((used[good] - used[good - 1]) / RAMP.2 as f64).max(0.01);
    let found = choose(p50_ms, threshold_ms, knee_rps, cores, good == steps.len());
    phase.done(&format!("{knee_rps:.0} requests a second on one replica"));
    Ok(found)
}

fn threshold(p50_ms: f64, limited: bool) -> f64 {
    let least = if limited { LEAST_LIMITED_MS } else { LEAST_THRESHOLD_MS };
    (p50_ms * THRESHOLD_FACTOR).max(least).ceil()
}

fn rates() -> Vec<f64> {
    (0..RAMP.3).map(|i| (RAMP.0 * RAMP.1.powi(i as i32)).round()).collect()
}

fn bad_share(seconds: &[Second]) -> f64 {
    let (bad, all) = seconds.iter().fold((0, 0), |(b, n), s| (b + s.bad, n + s.requests));
    bad as f64 / all.max(1) as f64
}

fn cores_used(group: u32) -> f64 {
    by_group().get(&group).copied().unwrap_or(0.0)
}

/// Chooses load and replicas: ordinary times at [`SHARE`] of the knee on [`REPLICAS`] replicas, less where the machine could not carry the surge.
fn choose(p50_ms: f64, threshold_ms: f64, knee_rps: f64, cores: f64, unbounded: bool) -> Found {
    let machine_cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let machine_rps = MACHINE * machine_cores / (cores / knee_rps + OVERHEAD) / SURGE;
    let mean_rps = (REPLICAS * SHARE * knee_rps).min(machine_rps).max(2.0);
    let mut how = format!(
        "An idle replica answers in {p50_ms:.1} ms (median), so a request is bad above {threshold_ms:.0} ms. One replica took {knee_rps:.0} requests a second within that, using {cores:.2} cores, which is what the reactive scaler is told it requests. The load's mean is {mean_rps:.0} requests a second."
    );
    if unbounded {
        how.push_str(" The ramp ended before the replica's limit: its capacity is higher than this.");
    }
    if mean_rps * SURGE < knee_rps {
        how.push_str(" This machine cannot offer one replica more than it takes, so no surge will need a second one.");
    }
    Found { threshold_ms, knee_rps, cores, mean_rps, how }
}

/// Median response time of an idle replica, in milliseconds.
async fn unloaded(installation: &Installation, app_url: &str, path: &str) -> Result<f64, Error> {
    let url = format!("{app_url}{path}");
    let mut times = Vec::with_capacity(UNLOADED);
    for _ in 0..UNLOADED {
        let begin = Instant::now();
        let answer = installation.json.call(Method::GET, &url, None, Bytes::new()).await;
        let (status, _) = answer.map_err(|e| Error::failed("calibrating", e))?;
        if status.is_server_error() || status.is_client_error() {
            return Err(Error::Failed(format!("{url} answers {status}; give a path that answers with a success: --path /PATH")));
        }
        times.push(begin.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_have_a_floor() {
        assert_eq!([threshold(1.0, false), threshold(30.0, false), threshold(1.0, true)], [20.0, 150.0, 150.0]);
    }

    #[test]
    fn the_machine_bounds_the_load_and_it_is_said() {
        let cheap = choose(1.0, 20.0, 50.0, 0.05, false);
        assert!((cheap.mean_rps - 90.0).abs() < 1e-9, "{cheap:?}");
        let costly = choose(1.0, 20.0, 10_000.0, 1.0, true);
        assert!(
            costly.mean_rps < 10_000.0 && costly.how.contains("no surge will need") && costly.how.contains("higher than this"),
            "{costly:?}"
        );
    }

    #[test]
    fn the_ramp_is_bounded() {
        let rates = rates();
        assert!(rates.windows(2).all(|w| w[0] < w[1]));
        assert!(rates.len() * RAMP.2 <= 60 && *rates.last().unwrap() < 2_500.0);
    }
}

//! The load of an arm: the generator as a process of its own, told by a plan file, heard line by line.
//!
//! Called by [`crate::demo::arm`] and [`crate::demo::calibrate`]. Promises: the same seed and schedule give the same plan, in every arm; time zero
//! is the generator's begin plus the warm-up. Not here: sending ([`crate::generator`]), faults other than the mix and the load.

use crate::app::Class;
use crate::app::class::mix_of_cost;
use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::demo::fleet::Fleet;
use crate::demo::schedule::{Kind, Schedule, strength};
use crate::generator::{Line, Mix, Plan, RequestTemplate};
use crate::report::document::{Arm, Quantiles, Second};
use std::path::Path;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

/// What the generator is told.
#[derive(Debug)]
pub struct TrafficPlan<'a> {
    /// `http://host:port` that requests go to.
    pub base_url: &'a str,
    /// Request path.
    pub path: &'a str,
    /// Seconds of the first rate before time zero.
    pub warmup_s: u32,
    /// Load and faults.
    pub schedule: &'a Schedule,
    /// A slower answer is bad, in milliseconds.
    pub threshold_ms: f64,
    /// Seed of arrivals and mix.
    pub seed: u64,
    /// Where the plan file goes.
    pub dir: &'a Path,
    /// Whether requests are of several classes (the sample application's).
    pub mixed: bool,
}

/// A request without an answer after this many thresholds has failed.
const TIMEOUT_THRESHOLDS: f64 = 20.0;
/// Least timeout, in milliseconds.
const LEAST_TIMEOUT_MS: f64 = 3_000.0;

impl TrafficPlan<'_> {
    /// The generator's plan: the warm-up at the first rate, then the schedule.
    fn plan(&self) -> Plan {
        let warm = f64::from(self.warmup_s);
        let rate: Vec<(f64, f64)> = self.schedule.rps.iter().enumerate().map(|(t, r)| (warm + t as f64, *r)).collect();
        let duration_s = warm + self.schedule.rps.len().saturating_sub(1) as f64;
        let (requests, mix) =
            if self.mixed { self.classes(duration_s) } else { (vec![RequestTemplate::get("default", self.path)], Vec::new()) };
        Plan {
            seed: self.seed,
            duration_s,
            target: self.base_url.trim_end_matches('/').into(),
            threshold_ms: self.threshold_ms,
            timeout_ms: (self.threshold_ms * TIMEOUT_THRESHOLDS).max(LEAST_TIMEOUT_MS),
            max_outstanding: 4_096,
            requests_per_connection: None,
            rate,
            requests,
            mix,
        }
    }

    /// One request a class of the sample application, and their shares each second: the costlier-mix fault is here.
    fn classes(&self, duration_s: f64) -> (Vec<RequestTemplate>, Vec<Mix>) {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let request = |c: Class| RequestTemplate::get(c.name(), &format!("{}{joint}class={}", self.path, c.name()));
        let shares = |t: u32| {
            let weights = mix_of_cost(self.cost(f64::from(t) - f64::from(self.warmup_s)));
            let weights = Class::ALL.into_iter().map(|c| (c.name().to_string(), weights[c.index()])).collect();
            Mix { t_s: f64::from(t), weights }
        };
        (Class::ALL.into_iter().map(request).collect(), (0..=duration_s as u32).map(shares).collect())
    }

    /// Mean cost of a request at `t`, as a multiple of the ordinary mix's.
    fn cost(&self, t: f64) -> f64 {
        let faults = self.schedule.faults.iter().filter(|f| f.name == Kind::CostlierMix.name());
        faults.fold(1.0, |cost, f| cost + (f.depth - 1.0) * strength(f, t))
    }
}

/// A running generator.
#[derive(Debug)]
pub struct Traffic {
    lines: Lines<BufReader<ChildStdout>>,
    begin: Instant,
    warmup_s: f64,
    seconds: Vec<Second>,
    quantiles: Quantiles,
    client_errors: u64,
    ended: bool,
}

impl Traffic {
    /// Writes the plan and starts the generator.
    pub fn start(plan: &TrafficPlan<'_>, binaries: &Binaries, fleet: &mut Fleet) -> Result<Self, Error> {
        let file = plan.dir.join("plan.json");
        let text = serde_json::to_string(&plan.plan()).map_err(|e| Error::failed("writing the load plan", e))?;
        std::fs::write(&file, text).map_err(|e| Error::failed(&format!("writing {}", file.display()), e))?;
        let mut command = fleet.command(&binaries.path("foreshadow-load"), &plan.dir.join("load.log"))?;
        command.arg("--plan").arg(&file).stdout(std::process::Stdio::piped());
        let stdout = fleet.start_piped("load", command)?;
        Ok(Self {
            lines: BufReader::new(stdout).lines(),
            begin: Instant::now(),
            warmup_s: f64::from(plan.warmup_s),
            seconds: Vec::new(),
            quantiles: Quantiles::default(),
            client_errors: 0,
            ended: false,
        })
    }

    /// Waits for the next line and takes it. Cancel safe.
    pub async fn next(&mut self) -> Result<(), Error> {
        match self.lines.next_line().await.map_err(|e| Error::failed("reading the generator", e))? {
            Some(line) => self.take(&line),
            None => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn take(&mut self, line: &str) -> Result<(), Error> {
        let said: Line = serde_json::from_str(line).map_err(|e| Error::failed(&format!("reading the generator's line {line:?}"), e))?;
        match said {
            Line::Second(s) => {
                // Its first line is the best evidence of when it began.
                if self.seconds.is_empty() {
                    self.begin = Instant::now() - std::time::Duration::from_secs_f64((s.t_s + 1.0).clamp(0.0, 60.0));
                }
                let (requests, failed) = (s.done, s.failures());
                let at_s = s.t_s - self.warmup_s;
                self.client_errors += s.client_errors;
                self.seconds.push(Second {
                    at_s,
                    requests,
                    bad: s.bad,
                    failed,
                    p50_ms: s.p50_ms,
                    p99_ms: s.p99_ms,
                    send_lag_ms: s.send_lag_ms_p99,
                });
            }
            Line::Summary(s) => self.quantiles = Quantiles { p50: s.p50_ms, p95: s.p95_ms, p99: s.p99_ms },
        }
        Ok(())
    }

    /// Whether the generator has said everything.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Seconds since time zero; negative during the warm-up.
    pub fn now_s(&self) -> f64 {
        self.begin.elapsed().as_secs_f64() - self.warmup_s
    }

    /// The seconds heard so far, the warm-up's too.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Requests and bad ones of the last second heard.
    pub fn last_second(&self) -> (u64, u64) {
        self.seconds.last().map_or((0, 0), |s| (s.requests, s.bad))
    }

    /// Gives the judged seconds to the arm. Quantiles are the generator's own, over warm-up and judged part.
    pub fn into_arm(self, arm: &mut Arm) {
        arm.client = self.seconds.into_iter().filter(|s| s.at_s >= 0.0).collect();
        arm.latency_ms = self.quantiles;
        if self.client_errors > 0 {
            arm.notes.push(format!(
                "{} answers had a status of 400 to 499: not counted as bad, but perhaps not what was meant",
                self.client_errors
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Fault;

    fn plan(mixed: bool) -> Plan {
        let fault =
            Fault { name: "costlier-mix".into(), start_s: 4.0, full_s: 6.0, easing_s: 8.0, end_s: 9.0, depth: 1.7, ..Fault::default() };
        let schedule = Schedule { rps: (0..=10).map(|t| 100.0 + f64::from(t)).collect(), faults: vec![fault] };
        let dir = Path::new("/tmp");
        TrafficPlan {
            base_url: "http://127.0.0.1:80",
            path: "/work",
            warmup_s: 5,
            schedule: &schedule,
            threshold_ms: 150.0,
            seed: 9,
            dir,
            mixed,
        }
        .plan()
    }

    #[test]
    fn the_warm_up_comes_first_and_the_mix_gets_costlier() {
        let plan = plan(true);
        plan.check().unwrap();
        assert_eq!((plan.duration_s, plan.seed, plan.timeout_ms), (15.0, 9, 3_000.0));
        let curve = plan.curve().unwrap();
        assert_eq!([curve.at(0.0), curve.at(5.0), curve.at(15.0)], [100.0, 100.0, 110.0]);
        let costly = |t: usize| plan.mix[t].weights["costly"];
        assert!(costly(5) < 0.11 && costly(12) > 0.75 && costly(15) < 0.11);
        assert_eq!(plan.requests[2].path, "/work?class=costly");
    }

    #[test]
    fn another_server_gets_one_kind_of_request() {
        let plan = plan(false);
        plan.check().unwrap();
        assert_eq!((plan.requests.len(), plan.requests[0].path.as_str(), plan.mix.len()), (1, "/work", 0));
    }
}

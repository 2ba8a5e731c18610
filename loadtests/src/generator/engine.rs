//! The run itself: waits for each arrival's moment, starts it, ends seconds, and waits for what is under way.
//!
//! Called by [`crate::generator`]'s users. Promises: an arrival never waits for an answer; at most `max_outstanding` requests are under way;
//! seconds are told in order, without gaps, until the last request has ended. Not here: sending ([`crate::generator::client`]).

use crate::cpu::process_cpu;
use crate::generator::arrivals::{Arrival, Arrivals};
use crate::generator::client::Client;
use crate::generator::line::{Failure, Second, Summary};
use crate::generator::plan::{Plan, PlanError};
use crate::generator::tally::{Ending, Tally};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Arrivals started in a row before others get their turn.
const BATCH: u32 = 32;

/// Runs a plan to its end; `sink` is given each second as it ends.
///
/// # Errors
/// When the plan does not pass its checks; nothing has been sent then.
pub async fn run(plan: &Plan, sink: impl FnMut(Second)) -> Result<Summary, PlanError> {
    run_until(plan, sink, std::future::pending()).await
}

/// The same, ended early when `stop` is ready: nothing more is sent, what is under way is waited for.
///
/// # Errors
/// When the plan does not pass its checks; nothing has been sent then.
pub async fn run_until(plan: &Plan, sink: impl FnMut(Second), stop: impl Future<Output = ()>) -> Result<Summary, PlanError> {
    let histogram = |e: hdrhistogram::CreationError| PlanError { field: "plan".into(), problem: e.to_string() };
    let shared = Arc::new(Shared {
        client: Client::new(plan)?,
        tally: Mutex::new(Tally::new(plan).map_err(histogram)?),
        timeout: Duration::from_secs_f64(plan.timeout_ms / 1e3),
    });
    let arrivals = Arrivals::new(plan)?;
    let cpu = process_cpu();
    let mut run = Run { plan, shared: shared.clone(), sink, begin: Instant::now(), seconds: 0, rate: Box::new(|_| 0.0) };
    let curve = plan.curve()?;
    run.rate = Box::new(move |t| if t < plan.duration_s { curve.at(t) } else { 0.0 });
    let interrupted = run.send_all(arrivals, stop).await;
    let ended = run.begin.elapsed().as_secs_f64().min(plan.duration_s);
    run.wait_for_the_rest().await;
    let mut summary = shared.tally().summary();
    let used = process_cpu().saturating_sub(cpu).as_secs_f64() * 1e6;
    summary.seed = plan.seed;
    summary.duration_s = if interrupted { ended } else { plan.duration_s };
    summary.interrupted = interrupted;
    summary.connections = shared.client.opened();
    summary.cpu_us_per_request = used / (summary.sent.max(1) as f64);
    Ok(summary)
}

struct Shared {
    client: Client,
    tally: Mutex<Tally>,
    timeout: Duration,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, request: usize, due: Instant) {
        let ending = timeout(self.timeout, self.client.send(request)).await.unwrap_or(Ending::Failed(Failure::Timeout));
        self.tally().ended(request, ending, due.elapsed());
    }
}

struct Run<'a, S> {
    plan: &'a Plan,
    shared: Arc<Shared>,
    sink: S,
    begin: Instant,
    /// Seconds told.
    seconds: u32,
    rate: Box<dyn Fn(f64) -> f64 + 'a>,
}

impl<S: FnMut(Second)> Run<'_, S> {
    /// Starts every arrival at its moment; whether it was stopped before the last.
    async fn send_all(&mut self, mut arrivals: Arrivals, stop: impl Future<Output = ()>) -> bool {
        let mut stop = pin!(stop);
        let end = self.begin + Duration::from_secs_f64(self.plan.duration_s);
        let mut next = arrivals.next();
        let mut in_a_row = 0;
        loop {
            let due = next.map_or(end, |a| self.begin + Duration::from_secs_f64(a.at_s));
            if due > Instant::now() || in_a_row >= BATCH {
                in_a_row = 0;
                tokio::select! {
                    biased;
                    () = &mut stop => return true,
                    () = sleep_until(due.min(self.second_end())) => {}
                }
                // Also a moment long past lets others run.
                if due <= Instant::now() {
                    tokio::task::yield_now().await;
                }
            }
            self.tell_seconds();
            if due > Instant::now() {
                continue;
            }
            let Some(arrival) = next else { return false };
            self.start(arrival, due);
            in_a_row += 1;
            next = arrivals.next();
        }
    }

    fn start(&self, arrival: Arrival, due: Instant) {
        let mut tally = self.shared.tally();
        let lag = due.elapsed();
        tally.due(lag);
        if tally.in_flight() > self.plan.max_outstanding as u64 {
            tally.ended(arrival.request, Ending::Failed(Failure::Overflow), lag);
            return;
        }
        drop(tally);
        let shared = self.shared.clone();
        tokio::spawn(async move { shared.exchange(arrival.request, due).await });
    }

    /// Everything under way ends: answered, failed or out of time.
    async fn wait_for_the_rest(&mut self) {
        let poll = Duration::from_millis(5);
        while self.shared.tally().in_flight() > 0 {
            sleep_until((Instant::now() + poll).min(self.second_end())).await;
            self.tell_seconds();
        }
        // The last second may have been cut short; one that has only just begun has nothing to tell.
        if !self.shared.tally().second_is_empty() {
            self.tell();
        }
    }

    fn second_end(&self) -> Instant {
        self.begin + Duration::from_secs(u64::from(self.seconds) + 1)
    }

    fn tell_seconds(&mut self) {
        while Instant::now() >= self.second_end() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let t_s = f64::from(self.seconds);
        let second = self.shared.tally().take_second(t_s, (self.rate)(t_s + 0.5));
        self.seconds += 1;
        (self.sink)(second);
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

//! Load: h2load for processor time, the open-loop generator for latency.

use super::install::Tools;
use super::peer::Shape;
use super::process::LOAD_CORE;
use crate::demo::error::Error;
use crate::generator::{self, Plan, RequestTemplate};
use std::time::Instant;
use tokio::process::Command;

/// What a burst of load came to.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    /// Requests answered with 2xx.
    pub done: u64,
    /// Seconds.
    pub seconds: f64,
}

/// So many requests as fast as they are answered.
///
/// # Errors
/// When requests fail: figures of failing requests are worth nothing.
pub async fn burst(tools: &Tools, shape: &Shape, port: u16, requests: u64) -> Result<Burst, Error> {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(LOAD_CORE).arg(&tools.h2load).args(["-t", "1"]).kill_on_drop(true);
    command.args([
        "-n",
        &requests.max(shape.connections as u64).to_string(),
        "-c",
        &shape.connections.to_string(),
        "-m",
        &shape.streams.to_string(),
    ]);
    if !shape.http2 {
        command.arg("--h1");
    }
    let scheme = if shape.tls { "https" } else { "http" };
    command.arg(format!("{scheme}://localhost:{port}/{}", shape.size)).env("LC_ALL", "C");
    let begun = Instant::now();
    let said = command.output().await.map_err(|e| Error::failed("h2load", e))?;
    let seconds = begun.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let (done, others) = statuses(&text).ok_or_else(|| Error::Failed(format!("h2load said nothing of use: {text}")))?;
    if others > 0 || done == 0 {
        return Err(Error::Failed(format!("{others} requests were not answered well, {done} were")));
    }
    Ok(Burst { done, seconds })
}

/// Requests by outcome: 2xx, everything else. From `status codes: N 2xx, N 3xx, N 4xx, N 5xx` and `requests: ... N failed`.
fn statuses(text: &str) -> Option<(u64, u64)> {
    let line = |start: &str| text.lines().find_map(|l| l.strip_prefix(start));
    let number = |part: &str| part.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let codes: Vec<u64> = line("status codes: ")?.split(',').filter_map(number).collect();
    let failed = line("requests: ")?.split(',').find(|p| p.trim_end().ends_with("failed")).and_then(number)?;
    Some((*codes.first()?, codes.iter().skip(1).sum::<u64>() + failed))
}

/// Latency at a fixed rate, in milliseconds: p50 and p99 from the intended moment.
///
/// # Errors
/// When requests fail.
pub async fn latency(port: u16, rps: f64, seconds: f64, seed: u64) -> Result<(f64, f64), Error> {
    let plan = Plan {
        seed,
        duration_s: seconds,
        target: format!("http://127.0.0.1:{port}"),
        threshold_ms: 1_000.0,
        timeout_ms: 5_000.0,
        max_outstanding: 4_096,
        requests_per_connection: None,
        rate: vec![(0.0, rps), (seconds, rps)],
        requests: vec![RequestTemplate::get("kib", "/1024")],
        mix: Vec::new(),
    };
    let summary = generator::run(&plan, |_| {}).await.map_err(|e| Error::failed("generating load", e))?;
    if !summary.failed.is_empty() || summary.client_errors > 0 {
        return Err(Error::Failed(format!("requests failed: {:?}", summary.failed)));
    }
    Ok((summary.p50_ms.unwrap_or_default(), summary.p99_ms.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[test]
    fn outcomes_are_read_from_what_h2load_prints() {
        let text = "requests: 1000 total, 1000 started, 1000 done, 990 succeeded, 10 failed, 0 errored, 0 timeout\n\
            status codes: 990 2xx, 0 3xx, 3 4xx, 7 5xx\n";
        assert_eq!(statuses(text), Some((990, 20)));
        assert_eq!(statuses("nothing"), None);
    }
}

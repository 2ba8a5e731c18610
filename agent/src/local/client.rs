//! Finding the orchestrator that a spec asks for, starting it when there is none, and ending it. Called by the agent.
//!
//! Promises: an orchestrator that runs is kept, with everything it runs, when it was started from an equal spec; one started from another
//! spec is ended (drained) first. The new one is a process of its own that outlives this one. Calls to it: `crate::orchestrator`.

use super::api::Locator;
use super::files;
use super::home::{locator_file, log_file};
use super::mark;
use super::spec::Spec;
use crate::http::{Http, HttpError};
use crate::orchestrator::Orchestrator;
use rustix::process::{Pid, test_kill_process};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait until a new one answers. It may first have to end what a killed one left behind.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const EVERY: Duration = Duration::from_millis(25);
/// What an orchestrator needs to end besides the application's own drain and grace, twice for the front and the replicas.
const END_SLACK: Duration = Duration::from_secs(15);

/// Why there is no orchestrator.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system refuses something.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// It ended at once.
    #[error("the orchestrator ended at its start ({status}); its log says:\n{log}")]
    Ended {
        /// Exit status.
        status: String,
        /// Last lines of its log.
        log: String,
    },
    /// It does not answer.
    #[error("the orchestrator did not answer within {0:?}; see {1}")]
    Silent(Duration, String),
    /// It does not end.
    #[error("the orchestrator (process {0}) does not end")]
    Stays(u32),
    /// It refuses a call.
    #[error("the orchestrator refuses: {0}")]
    Refused(#[from] HttpError),
}

/// A running orchestrator.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub locator: Locator,
    /// Whether this call started it.
    pub started: bool,
}

/// The orchestrator that runs in a state directory, if one does and answers.
pub async fn find(state_dir: &Path) -> Option<Locator> {
    let text = std::fs::read_to_string(locator_file(state_dir)).ok()?;
    let locator: Locator = serde_json::from_str(&text).ok()?;
    let answers = is_alive(locator.pid) && Orchestrator::new(Http::default(), locator.clone()).workload().await.is_ok();
    answers.then_some(locator)
}

/// Attaches to the orchestrator of this spec, or starts one: `EXE orchestrate --spec FILE`.
pub async fn start_or_attach(spec: &Spec, exe: &Path) -> Result<Found, ClientError> {
    if let Some(locator) = find(&spec.state_dir).await {
        if locator.spec == spec.fingerprint() {
            tracing::info!(pid = locator.pid, "attached to the running orchestrator");
            return Ok(Found { locator, started: false });
        }
        tracing::warn!(pid = locator.pid, "the running orchestrator was started from another configuration: it is replaced");
        end(&locator, patience(spec)).await?;
    }
    start(spec, exe).await
}

/// How long an orchestrator of this spec may take to end.
pub fn patience(spec: &Spec) -> Duration {
    Duration::from_secs_f64(spec.app.drain_s * 2.0) + END_SLACK
}

/// Asks it to end everything that it started and itself, and waits until it is gone.
pub async fn end(locator: &Locator, patience: Duration) -> Result<(), ClientError> {
    Orchestrator::new(Http::default(), locator.clone()).shutdown().await?;
    let deadline = Instant::now() + patience;
    while is_alive(locator.pid) {
        if Instant::now() >= deadline {
            return Err(ClientError::Stays(locator.pid));
        }
        sleep(EVERY).await;
    }
    Ok(())
}

async fn start(spec: &Spec, exe: &Path) -> Result<Found, ClientError> {
    let dir = &spec.state_dir;
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |e| ClientError::Io(what, e)
    };
    files::private_dir(dir).map_err(failed(dir))?;
    let file = dir.join("spec.json");
    let text = serde_json::to_string_pretty(spec).map_err(std::io::Error::other).map_err(failed(&file))?;
    files::replace(&file, &text, 0o600).map_err(failed(&file))?;
    let log = log_file(dir);
    let open = || files::open_log(&log).map_err(failed(&log));
    let (out, err) = (open()?, open()?);
    let mut command = std::process::Command::new(exe);
    command.args(["orchestrate", "--spec"]).arg(&file);
    // A group of its own: neither Ctrl-C nor the end of the agent's group is meant for it.
    command.env("PATH", path_with_ours(exe));
    command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err).env_remove(mark::VARIABLE);
    let mut child = tokio::process::Command::from(command).kill_on_drop(false).spawn().map_err(failed(exe))?;
    let deadline = Instant::now() + START;
    loop {
        if let Some(locator) = find(dir).await.filter(|locator| locator.spec == spec.fingerprint()) {
            let started = child.id() == Some(locator.pid);
            // So that it is no zombie should it end first.
            tokio::spawn(async move { child.wait().await });
            return Ok(Found { locator, started });
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(ClientError::Ended { status: status.to_string(), log: files::last_lines(&log, 5) });
        }
        if Instant::now() >= deadline {
            let _ = child.start_kill();
            return Err(ClientError::Silent(START, log.display().to_string()));
        }
        sleep(EVERY).await;
    }
}

/// `PATH` with the directory of our programs at its end: `command: foreshadow-app --port $PORT` works wherever they were put.
fn path_with_ours(exe: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = exe.parent().map(Path::to_path_buf);
    std::env::join_paths(std::env::split_paths(&path).chain(ours)).unwrap_or(path)
}

/// Whether a process is there; one that has ended and only waits to be collected is not.
fn is_alive(pid: u32) -> bool {
    let there = Pid::from_raw(pid.cast_signed()).is_some_and(|pid| test_kill_process(pid).is_ok());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    there && !zombie
}

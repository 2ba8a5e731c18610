//! Everything that a run has started, and its end.
//!
//! Promises: [`Fleet::end`] leaves no process behind, also those that the agent started in process groups of their own: every one carries this
//! run's mark in its environment, so that what is left is found by reading /proc, and nothing else is ever touched. Called by the arms and, whatever
//! happened, at the end of the demo. Not here: what the processes are for.

use crate::demo::error::Error;
use crate::demo::processor::processes;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdout, Command};

/// Environment variable that marks a run's processes.
const MARK: &str = "FORESHADOW_DEMO_RUN";
/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(12);

/// The processes of one run.
#[derive(Debug)]
pub struct Fleet {
    mark: String,
    children: Vec<(String, Child)>,
}

impl Fleet {
    /// An empty fleet with a mark nobody else has.
    pub fn new() -> Self {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        Self { mark: format!("{}-{nanos:x}", std::process::id()), children: Vec::new() }
    }

    /// Prepares a command: marked, in its own process group, its output in `log`.
    pub fn command(&self, program: &Path, log: &Path) -> Result<Command, Error> {
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(log);
        let err = open().map_err(|e| Error::failed(&format!("opening {}", log.display()), e))?;
        let out = open().map_err(|e| Error::failed(&format!("opening {}", log.display()), e))?;
        let mut command = Command::new(program);
        command.env(MARK, &self.mark).process_group(0).stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(false);
        Ok(command)
    }

    /// Starts it and keeps it; its process id.
    pub fn start(&mut self, name: &str, mut command: Command) -> Result<u32, Error> {
        let child = command.spawn().map_err(|e| Error::failed(&format!("starting {name}"), e))?;
        let pid = child.id().unwrap_or_default();
        self.children.push((name.to_string(), child));
        Ok(pid)
    }

    /// The same for a command whose standard output is piped to us.
    pub fn start_piped(&mut self, name: &str, mut command: Command) -> Result<ChildStdout, Error> {
        let mut child = command.spawn().map_err(|e| Error::failed(&format!("starting {name}"), e))?;
        let stdout = child.stdout.take().ok_or_else(|| Error::Failed(format!("{name} has no standard output")))?;
        self.children.push((name.to_string(), child));
        Ok(stdout)
    }

    /// How a process ended, when it has.
    pub fn ended(&mut self, name: &str) -> Option<String> {
        let (_, child) = self.children.iter_mut().find(|(n, _)| n == name)?;
        child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Asks all to end, waits, kills what has not, and checks that nothing is left. What had to be killed is returned, by command line.
    pub async fn end(&mut self) -> Vec<String> {
        // The last started first: the load before the agent, the agent before its children would miss it.
        for (_, child) in self.children.iter().rev() {
            signal_group(child.id(), Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        for (_, child) in &mut self.children {
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, child.wait()).await.is_err() {
                signal_group(child.id(), Signal::KILL);
                let _ = child.wait().await;
            }
        }
        self.children.clear();
        let mut killed = Vec::new();
        // A process may be forking while we look, hence more than one look.
        for _ in 0..50 {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            for (pid, line) in left {
                if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                if !killed.contains(&line) {
                    killed.push(line);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        killed
    }

    /// Living processes that carry this run's mark: id and command line.
    pub fn left(&self) -> Vec<(u32, String)> {
        let mine = format!("{MARK}={}", self.mark);
        let marked = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|entry| entry == mine.as_bytes())
        };
        let line = |pid: u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&words).replace('\0', " ").trim().to_string())
        };
        processes().filter(marked).map(line).collect()
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Fleet {
    /// Only reached with children alive when the demo itself panics; [`Fleet::end`] is the orderly way.
    fn drop(&mut self) {
        for (_, child) in &self.children {
            signal_group(child.id(), Signal::TERM);
        }
    }
}

fn signal_group(id: Option<u32>, signal: Signal) {
    if let Some(pid) = id.and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process_group(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_left_not_even_grandchildren_in_groups_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut fleet = Fleet::new();
        let mut command = fleet.command(Path::new("/bin/sh"), &log).unwrap();
        command.args(["-c", "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' & echo up; wait"]);
        let pid = fleet.start("shell", command).unwrap();
        assert!(pid > 0);
        // Each `sleep` shows under its own name only after its `setsid`, and the second only after its shell ignores TERM.
        let sleeps = |fleet: &Fleet| fleet.left().iter().filter(|(_, line)| line == "sleep 1000").count();
        let deadline = Instant::now() + Duration::from_secs(60);
        while sleeps(&fleet) < 2 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(sleeps(&fleet), 2, "{:?}", fleet.left());
        let killed = fleet.end().await;
        assert!(killed.iter().any(|line| line.contains("sleep 1000")), "{killed:?}");
        assert!(fleet.left().is_empty());
    }

    #[tokio::test]
    async fn an_early_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut fleet = Fleet::new();
        let mut command = fleet.command(Path::new("/bin/sh"), &dir.path().join("log")).unwrap();
        command.args(["-c", "exit 3"]);
        fleet.start("shell", command).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut ended = None;
        while ended.is_none() && Instant::now() < deadline {
            ended = fleet.ended("shell");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ended.as_deref(), Some("exit status: 3"));
        assert!(fleet.end().await.is_empty());
    }
}

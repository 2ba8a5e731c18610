//! A program on a core of its own: started in its own process group, its processor time and memory read from `/proc`, ended on drop.

use crate::demo::error::Error;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The core of the proxies.
pub const PROXY_CORE: &str = "0";
/// The core of load and backends.
pub const LOAD_CORE: &str = "1";

/// A running program and whatever it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // Errors mean that it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it on these cores (`0`, `0,1`).
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(name: &str, cores: &str, program: &Path, args: &[String], dir: &Path) -> Result<Self, Error> {
        use std::os::unix::process::CommandExt as _;
        let log = dir.join(format!("{name}.log"));
        let said = File::create(&log).and_then(|f| Ok((f.try_clone()?, f))).map_err(|e| Error::failed("making a log file", e))?;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(cores).arg(program).args(args).current_dir(dir).process_group(0);
        command.stdin(Stdio::null()).stdout(said.0).stderr(said.1);
        let child = command.spawn().map_err(|e| Error::failed(&format!("starting {name}"), e))?;
        Ok(Self { child, log })
    }

    /// Waits until it accepts connections on this port; false, with what it said, when it ended instead.
    pub async fn listens(&mut self, port: u16) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > Duration::from_secs(30) {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                let first: String = said.lines().find(|l| !l.trim().is_empty()).unwrap_or("without a word").chars().take(300).collect();
                return Err(first);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Processor time so far, user and system, of all its processes, in microseconds.
    pub fn cpu_us(&self) -> (u64, u64) {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let stats = group(self.child.id());
        let sum = |nth: usize| stats.iter().map(|s| s.get(nth).copied().unwrap_or_default()).sum::<u64>() * 1_000_000 / ticks;
        // utime and stime, counted from the state, which is the third field of `/proc/PID/stat`.
        (sum(11), sum(12))
    }

    /// Resident memory of all its processes, in bytes.
    pub fn resident(&self) -> u64 {
        let pages: u64 = group(self.child.id()).iter().map(|s| s.get(21).copied().unwrap_or_default()).sum();
        pages * rustix::param::page_size() as u64
    }
}

/// The numbers of `/proc/PID/stat` after the name, for every process of a group.
fn group(leader: u32) -> Vec<Vec<u64>> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let stats = entries.flatten().filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    stats
        .filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok())
        .map(|s| s.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or_default()).collect::<Vec<u64>>())
        .filter(|s| s.get(2) == Some(&u64::from(leader)))
        .collect()
}

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
                let words = said
                    .lines()
                    .find(|l| l.contains("ALERT") || l.contains("emerg") || l.contains("error"))
                    .or(said.lines().find(|l| !l.trim().is_empty()));
                let first: String = words.unwrap_or("without a word").chars().take(300).collect();
                return Err(first);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Processor time so far of all its threads, in microseconds: exact (the scheduler's account), and the clock ticks of user and system, which
    /// only tell how it is divided.
    pub fn cpu(&self) -> Cpu {
        let stats = group(self.child.id());
        let ticks = |nth: usize| stats.iter().map(|s| s.1.get(nth).copied().unwrap_or_default()).sum::<u64>();
        // utime and stime, counted from the state, which is the third field of `/proc/PID/stat`.
        Cpu { us: stats.iter().map(|s| on_cpu_ns(&s.0)).sum::<u64>() as f64 / 1e3, user: ticks(11), system: ticks(12) }
    }

    /// Resident memory of all its processes, in bytes.
    pub fn resident(&self) -> u64 {
        let pages: u64 = group(self.child.id()).iter().map(|s| s.1.get(21).copied().unwrap_or_default()).sum();
        pages * rustix::param::page_size() as u64
    }
}

/// Processor time.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// Microseconds.
    pub us: f64,
    /// Clock ticks in user space.
    pub user: u64,
    /// Clock ticks in the kernel.
    pub system: u64,
}

/// Nanoseconds on a processor of all threads of a process (`/proc/PID/task/TID/schedstat`).
fn on_cpu_ns(process: &Path) -> u64 {
    let Ok(threads) = std::fs::read_dir(process.join("task")) else { return 0 };
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("schedstat")).ok();
    threads.flatten().filter_map(of).filter_map(|s| s.split(' ').next().and_then(|n| n.parse::<u64>().ok())).sum()
}

/// Every process of a group: its folder, and the numbers of its `stat` after the name.
fn group(leader: u32) -> Vec<(PathBuf, Vec<u64>)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())).map(|e| e.path());
    processes
        .filter_map(|p| std::fs::read_to_string(p.join("stat")).ok().map(|s| (p, s)))
        .map(|(p, s)| {
            (p, s.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or_default()).collect::<Vec<u64>>())
        })
        .filter(|(_, s)| s.get(2) == Some(&u64::from(leader)))
        .collect()
}

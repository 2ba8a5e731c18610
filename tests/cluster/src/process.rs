//! A program of the cluster: started with the cluster's mark, its output in a file, ended on drop.

use crate::error::{Error, Result, Tried as _};
use crate::guard::MARK;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How much of a log an error shows.
const TAIL_BYTES: u64 = 4096;

/// A started program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in the cluster's directory `dir`, in a process group of its own; output is appended to `<dir>/log/<name>.log`.
    pub fn start(dir: &Path, name: &str, command: &mut Command) -> Result<Self> {
        let logs = dir.join("log");
        let log = logs.join(format!("{name}.log"));
        std::fs::create_dir_all(&logs).tried(|| format!("cannot make {}", logs.display()))?;
        let file = File::options().create(true).append(true).open(&log).tried(|| format!("cannot write {}", log.display()))?;
        let other = file.try_clone().tried(|| format!("cannot write {}", log.display()))?;
        command.env(MARK, dir).current_dir(dir).process_group(0);
        command.stdin(Stdio::null()).stdout(file).stderr(other);
        let child = command.spawn().tried(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        Ok(Self { name: name.into(), child, log })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.error(&format!("ended ({status})"))),
            Err(source) => Err(Error::Io { what: format!("cannot wait for {}", self.name), source }),
        }
    }

    /// An error that names this program and shows the end of its log.
    pub fn error(&self, what: &str) -> Error {
        Error::Program { name: self.name.clone(), what: what.into(), log: self.log.clone(), tail: tail(&self.log) }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // An error means that it is gone already.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, SIGKILL when `grace` is over.
    pub fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < grace {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop(Duration::from_secs(3));
        }
    }
}

fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|e| format!("(unreadable: {e})"))
}

//! The product's programs: built once per test run with the same profile as the tests, started on loopback, ended whatever happens.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Path of one of the product's programs, building all of them on first use.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let exe = std::env::current_exe().expect("a running test has a path");
    let bins = exe.parent().and_then(Path::parent).expect("tests run from <target>/<profile>/deps").to_owned();
    let release = bins.file_name().is_some_and(|n| n == "release");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--bins", "-p", "foreshadow-proxy", "-p", "foreshadow-agent", "-p", "foreshadow-loadtests"]);
    cargo.arg("--target-dir").arg(bins.parent().expect("a profile stands in a target directory"));
    cargo.current_dir(crate::code::workspace());
    if release {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo starts").success(), "the programs do not build");
    bins
}

/// A started program. Its whole process group is ended on drop.
pub struct Running {
    child: Child,
    /// Where its standard error went.
    pub log: PathBuf,
}

impl Running {
    /// Starts `name` in its own process group, standard error and output to `<dir>/<label>.log`.
    pub fn start(dir: &Path, label: &str, name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        use std::os::unix::process::CommandExt as _;
        let log = dir.join(format!("{label}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file can be written");
        let mut command = Command::new(program(name));
        command.args(args).envs(env.iter().copied()).current_dir(dir).process_group(0);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file can be shared")).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { child, log }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        signal_pid(self.pid(), signal);
    }

    /// Waits for the end.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        until(within, || self.child.try_wait().expect("a child can be waited for"))
    }

    /// All that it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            // Errors mean that it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} ----\n{}", self.log.display(), self.output());
        }
    }
}

/// Sends a signal to a process by number.
pub fn signal_pid(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("process ids are positive");
    kill_process(pid, signal).expect("the process is there to be signalled");
}

/// Whether a process is there and not a zombie.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| s.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// Polls `condition` until it yields something; None when the time is over.
pub fn until<T>(within: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if start.elapsed() > within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

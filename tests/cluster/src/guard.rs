//! The guard: a small process that ends what a cluster left behind when whoever started the cluster is gone.
//!
//! Every program of a cluster carries the cluster's mark in its environment. The guard holds the reading end of a pipe; when the pipe closes
//! (the owner dropped it, ended, panicked or was killed) it ends everything that carries the mark and removes the cluster's directory.
//! Statics of a test binary are never dropped, so this is also the ordinary way down for a server that a whole suite shares.

use crate::error::{Result, Tried as _};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Name of the environment variable that marks a cluster's programs; its value is the cluster's directory.
pub const MARK: &str = "FORESHADOW_TEST_CLUSTER";

/// Name of the environment variable that a guard carries when its owner is itself part of a cluster's run: the outer guard waits for it.
const GUARDED_BY: &str = "FORESHADOW_TEST_CLUSTER_GUARDED_BY";

/// Arguments: mark, directory, name of a control group or nothing, mark of guards within. Asks first, kills what is left after two seconds,
/// gives up after ten or more.
const SCRIPT: &str = r#"
read -r word
round=0
while [ $round -lt 100 ]; do
    found=$(grep -lsxzF -- "$1" /proc/[0-9]*/environ)
    [ -z "$found" ] && [ -z "$(grep -lsxzF -- "$4" /proc/[0-9]*/environ)" ] && break
    signal=TERM
    [ $round -ge 20 ] && signal=KILL
    for file in $found; do
        process=${file#/proc/}
        kill -$signal "${process%/environ}" 2>/dev/null
    done
    round=$((round + 1))
    sleep 0.1 || sleep 1
done
# A group can be removed a moment after its last process.
round=0
while [ -n "$3" ] && [ $round -lt 20 ]; do
    find /sys/fs/cgroup -depth -type d -path "*/$3*" -exec rmdir {} + 2>/dev/null
    [ -z "$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$3")" ] && break
    round=$((round + 1))
    sleep 0.1 || sleep 1
done
rm -rf -- "$2"
exit 0
"#;

/// Guards that run, so that a signal can end what they guard before the process goes.
static RUNNING: Mutex<BTreeMap<u32, (Child, ChildStdin)>> = Mutex::new(BTreeMap::new());

/// A running guard. Dropping it ends the cluster and waits until that is done.
#[derive(Debug)]
pub struct Guard {
    pid: u32,
}

impl Guard {
    /// Guards everything that carries `dir` as its mark.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_with_group(dir, "")
    }

    /// Guards a control group, too.
    pub fn start_with_group(dir: &Path, group: &str) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "foreshadow-cluster-guard", &format!("{MARK}={}", dir.display())])
            .arg(dir)
            .arg(group)
            .arg(format!("{GUARDED_BY}={}", dir.display()))
            .env_remove(MARK)
            .env(GUARDED_BY, std::env::var_os(MARK).unwrap_or_default())
            // A Ctrl-C meant for the owner must not end its guard.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .tried(|| "cannot start sh, which guards the cluster".into())?;
        let pid = child.id();
        if let Some(pipe) = child.stdin.take() {
            running().insert(pid, (child, pipe));
        }
        Ok(Self { pid })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let entry = running().remove(&self.pid);
        entry.into_iter().for_each(close);
    }
}

/// Ends everything that any guard of this process guards, and waits for it.
pub fn end_all() {
    let all = std::mem::take(&mut *running());
    all.into_values().for_each(close);
}

fn close((mut child, pipe): (Child, ChildStdin)) {
    drop(pipe);
    // The guard bounds its own time.
    let _ = child.wait();
}

fn running() -> MutexGuard<'static, BTreeMap<u32, (Child, ChildStdin)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_the_mark_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap().keep();
        let guard = Guard::start(&dir).unwrap();
        let mut other = Command::new("sleep").arg("1000").env(MARK, "/somewhere/else").spawn().unwrap();
        let mut marked = Command::new("sh").args(["-c", "trap '' TERM; sleep 1000; sleep 1000"]).env(MARK, &dir).spawn().unwrap();
        drop(guard);
        assert!(!marked.wait().unwrap().success(), "a marked process goes, though it does not want to");
        assert!(!dir.exists());
        assert!(other.try_wait().unwrap().is_none(), "a process of another cluster stays");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

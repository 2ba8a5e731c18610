//! The guard: a small process that outlives an orchestrator which was killed (SIGKILL, out of memory), and then ends what it left behind.
//!
//! It waits on a pipe that only the orchestrator holds open; when the pipe closes without the word `done`, it asks everything that carries
//! the run's mark to end, kills what does not within a second, and removes control groups and the locator. A death signal
//! (`PR_SET_PDEATHSIG`) would not do: it is tied to the *thread* that started the child, does not reach grandchildren, and cannot be set
//! between fork and exec without `unsafe`. The guard is a shell script, so that it needs no second program. If it is killed too, the next
//! orchestrator in the same state directory ends what is left (`local::mark`).

use super::mark::VARIABLE;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Arguments: mark, locator file, orchestrator's process id, top control groups...
const SCRIPT: &str = r#"
read -r word
[ "$word" = done ] && exit 0
mark=$1 locator=$2 pid=$3
shift 3
round=0
while [ $round -lt 100 ]; do
    found=$(grep -lsF -- "$mark" /proc/[0-9]*/environ)
    [ -z "$found" ] && break
    signal=TERM
    [ $round -ge 10 ] && signal=KILL
    for file in $found; do
        process=${file#/proc/}
        kill -$signal "${process%/environ}" 2>/dev/null
    done
    round=$((round + 1))
    sleep 0.1 || sleep 1
done
# A group can be removed a moment after its last process.
for group; do
    round=0
    while [ -d "$group" ] && [ $round -lt 20 ]; do
        rmdir "$group"/*/ "$group" 2>/dev/null
        [ -d "$group" ] && { sleep 0.1 || sleep 1; }
        round=$((round + 1))
    done
done
grep -qsF "\"pid\":$pid," "$locator" && rm -f -- "$locator"
exit 0
"#;

/// A running guard.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Starts it. `mark` is the prefix that all marks of this run share.
    pub fn start<'a>(mark: &str, locator: &Path, groups: impl Iterator<Item = &'a Path>) -> std::io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "foreshadow-guard", &format!("{VARIABLE}={mark}")])
            .arg(locator)
            .arg(std::process::id().to_string())
            .args(groups)
            // A Ctrl-C meant for the orchestrator must not end its guard.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = child.stdin.take().ok_or_else(|| std::io::Error::other("a piped child has a pipe"))?;
        Ok(Self { child, pipe })
    }

    /// There is nothing left to guard.
    pub fn release(mut self) -> std::io::Result<()> {
        self.pipe.write_all(b"done\n")?;
        drop(self.pipe);
        self.child.wait().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark;
    use super::*;
    use std::time::{Duration, Instant};

    fn marked(mark: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; sleep 1000; sleep 1000"]).env(VARIABLE, mark).process_group(0);
        command.spawn().unwrap()
    }

    fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn ends_what_a_killed_orchestrator_left_behind() {
        let prefix = format!("guard-test-{}-a-", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        let locator = dir.path().join("orchestrator.json");
        std::fs::write(&locator, format!("{{\"pid\":{},\"url\":\"\"}}", std::process::id())).unwrap();
        let group = dir.path().join("foreshadow-1");
        std::fs::create_dir_all(group.join("replica-1")).unwrap();
        let guard = Guard::start(&prefix, &locator, std::iter::once(group.as_path())).unwrap();
        let mut child = marked(&format!("{prefix}replica-1"));
        wait_for("the marked process starts", || !mark::find(&prefix).is_empty());
        // What the kernel does when the orchestrator is killed.
        let Guard { child: mut guard, pipe } = guard;
        drop(pipe);
        child.wait().unwrap();
        guard.wait().unwrap();
        assert!(mark::find(&prefix).is_empty() && !locator.exists() && !group.exists());
    }

    #[test]
    fn does_nothing_when_released() {
        let prefix = format!("guard-test-{}-b-", std::process::id());
        let mut child = marked(&format!("{prefix}replica-1"));
        wait_for("the marked process starts", || !mark::find(&prefix).is_empty());
        Guard::start(&prefix, Path::new("/nonexistent"), std::iter::empty()).unwrap().release().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        let group = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}

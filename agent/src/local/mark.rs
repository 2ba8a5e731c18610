//! Every process that the orchestrator starts, and whatever that starts in turn, carries a mark in its environment. By it everything of a run is
//! found again, also a daemon that left its process group, and also after the orchestrator was killed; process ids alone could by then belong to
//! somebody else.
//!
//! The mark is `FORESHADOW_INSTANCE=<state directory's hash>-<run>-<instance>`. Found by reading `/proc/*/environ` (Linux).

use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// The variable.
pub const VARIABLE: &str = "FORESHADOW_INSTANCE";

/// Ids of living processes whose mark begins with `prefix`.
pub fn find(prefix: &str) -> Vec<u32> {
    let wanted = format!("{VARIABLE}={prefix}");
    carriers(|entry| entry.starts_with(wanted.as_bytes()))
}

/// Kills all with exactly this mark: what an instance that has ended left behind.
pub fn kill_exactly(mark: &str) {
    let wanted = format!("{VARIABLE}={mark}");
    signal(&carriers(|entry| entry == wanted.as_bytes()), Signal::KILL);
}

fn carriers(carries: impl Fn(&[u8]) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let environment = |pid: &u32| std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    pids.filter(|pid| *pid != std::process::id() && environment(pid).split(|byte| *byte == 0).any(&carries)).collect()
}

/// Ends all whose mark begins with `prefix`: asked first, killed after `grace`. The number found at first.
pub async fn end(prefix: &str, grace: Duration) -> usize {
    let found = find(prefix);
    signal(&found, Signal::TERM);
    let deadline = tokio::time::Instant::now() + grace;
    // A process may be forking while we look, hence more than one look; the bound is for what cannot be killed (uninterruptible IO).
    let give_up = deadline + Duration::from_secs(5);
    let mut left = found.clone();
    while !left.is_empty() && tokio::time::Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(20)).await;
        left = find(prefix);
        if tokio::time::Instant::now() >= deadline {
            signal(&left, Signal::KILL);
        }
    }
    found.len()
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        // Gone meanwhile is as good.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn finds_and_ends_what_left_its_group_and_nothing_else() {
        let prefix = format!("mark-test-{}-", std::process::id());
        let start = |name: &str| {
            let script = "trap '' TERM; (sleep 1000 & sleep 1000 & wait) & wait";
            Command::new("sh").args(["-c", script]).env(VARIABLE, format!("{prefix}{name}")).spawn().unwrap()
        };
        let (mut one, mut other) = (start("one"), start("other"));
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while find(&prefix).len() < 8 && std::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let reap = tokio::task::spawn_blocking(move || one.wait().unwrap());
        assert_eq!(end(&format!("{prefix}one"), Duration::from_millis(50)).await, 4);
        reap.await.unwrap();
        assert_eq!((find(&format!("{prefix}one")).len(), find(&format!("{prefix}other")).len()), (0, 4));
        let reap = tokio::task::spawn_blocking(move || other.wait().unwrap());
        end(&prefix, Duration::ZERO).await;
        reap.await.unwrap();
    }
}

//! However it ends, nothing is left behind.

use crate::fixture::{Fixture, alive, exists, signal, wait_for};
use foreshadow_agent::local::api::Workload;
use foreshadow_agent::local::client;
use rustix::process::Signal;

async fn running(it: &Fixture) -> (foreshadow_agent::local::api::Locator, Workload) {
    let locator = it.start().await.locator;
    it.until_ready(&locator, 2).await;
    it.calls(&locator).set_shadow("same").await.unwrap();
    let up = it.until(&locator, "a shadow", |w| w.shadow.as_ref().is_some_and(|s| s.ready_unix_ms.is_some())).await;
    (locator, up)
}

fn groups(workload: &Workload) -> Vec<String> {
    let instances = workload.replicas.iter().chain(&workload.shadow);
    instances.flat_map(|i| i.cgroups.values().cloned()).collect()
}

async fn nothing_left(it: &Fixture, workload: &Workload) {
    it.until_nothing_left().await;
    for group in groups(workload) {
        let top = group.rsplit_once('/').unwrap().0.to_owned();
        wait_for("control groups are gone", || !exists(&group) && !exists(&top)).await;
    }
    wait_for("the locator is gone", || !it.spec.state_dir.join("orchestrator.json").exists()).await;
}

#[tokio::test]
async fn shutdown_ends_everything_also_what_left_its_group() {
    let it = Fixture::new();
    let (locator, up) = running(&it).await;
    let escaped: u32 = it.get(&format!("{}/escape", up.replicas[0].app_url)).await.unwrap().parse().unwrap();
    assert!(alive(escaped));
    let url = format!("{}/work?ms=1000", up.front.url);
    let slow = it.get(&url);
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        client::end(&locator, client::patience(&it.spec)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(slow, end);
    assert!(answer.is_some(), "a request under way was lost");
    nothing_left(&it, &up).await;
    assert!(!alive(escaped) && !it.spec.state_dir.join("run").exists());
}

#[tokio::test]
async fn sigterm_is_a_shutdown_too() {
    let it = Fixture::new();
    let (locator, up) = running(&it).await;
    signal(locator.pid, Signal::HUP);
    signal(locator.pid, Signal::TERM);
    wait_for("it ends", || !alive(locator.pid)).await;
    nothing_left(&it, &up).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut it = Fixture::new();
    it.spec.app.command = "trap '' TERM; while :; do sleep 1; done".into();
    it.spec.app.drain_s = 3_000.0;
    let locator = it.start().await.locator;
    let up = it.until(&locator, "processes", |w| w.replicas.len() == 2 && w.replicas.iter().all(|r| r.pid != 0)).await;
    signal(locator.pid, Signal::TERM);
    it.until(&locator, "it is ending", |w| w.front.pid == 0).await;
    signal(locator.pid, Signal::TERM);
    wait_for("it ends", || !alive(locator.pid)).await;
    nothing_left(&it, &up).await;
}

#[tokio::test]
async fn a_killed_orchestrator_leaves_nothing_behind_and_can_be_started_again() {
    let it = Fixture::new();
    let (locator, up) = running(&it).await;
    signal(locator.pid, Signal::KILL);
    nothing_left(&it, &up).await;
    let again = it.start().await;
    assert!(again.started);
    it.until_ready(&again.locator, 2).await;
}

#[tokio::test]
async fn what_a_killed_guard_could_not_end_the_next_orchestrator_does() {
    let it = Fixture::new();
    let (locator, up) = running(&it).await;
    let guards = guards_of(locator.pid);
    assert_eq!(guards.len(), 1);
    signal(guards[0], Signal::KILL);
    signal(locator.pid, Signal::KILL);
    wait_for("it is gone", || !alive(locator.pid)).await;
    assert!(!it.left().is_empty(), "nobody was there to end them");
    let again = it.start().await;
    let seen = it.until_ready(&again.locator, 2).await;
    assert!(seen.notes.iter().any(|n| n.contains("an earlier orchestrator had left behind")), "{:?}", seen.notes);
    assert!(up.replicas.iter().all(|r| !alive(r.pid)));
    client::end(&again.locator, client::patience(&it.spec)).await.unwrap();
    nothing_left(&it, &up).await;
}

fn guards_of(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let is_guard = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        String::from_utf8_lossy(&line).contains("foreshadow-guard") && fields.nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_guard).collect()
}

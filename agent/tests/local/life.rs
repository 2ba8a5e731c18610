//! Scaling, floors, crashes, the shadow: what happens while it runs.

use crate::fixture::{Fixture, alive, ready, signal};
use foreshadow_agent::local::api::{SetFloor, State, Workload};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::Duration;

fn floor(replicas: u32, ttl_s: f64) -> SetFloor {
    SetFloor { replicas, ttl_s, reason: "test".into() }
}

fn names(workload: &Workload) -> Vec<&str> {
    workload.replicas.iter().map(|r| r.name.as_str()).collect()
}

#[tokio::test]
async fn a_floor_raises_and_expires_by_itself() {
    let it = Fixture::new();
    let locator = it.start().await.locator;
    let first = it.until_ready(&locator, 2).await;
    it.calls(&locator).set_floor(&floor(4, 1.0)).await.unwrap();
    let raised = it.until_ready(&locator, 4).await;
    assert_eq!(names(&raised)[..2], names(&first)[..], "those that ran go on");
    let lowered = it.until_ready(&locator, 2).await;
    assert_eq!((lowered.scale.floor, names(&lowered)), (0, names(&first)), "the newest went");
    assert!(lowered.replica_seconds > 0.0 && raised.replicas.iter().all(|r| r.ready_unix_ms >= Some(r.started_unix_ms)));
    for gone in &raised.replicas[2..] {
        assert!(!alive(gone.pid) && !alive(gone.proxy_pid.unwrap()), "{gone:?}");
    }
}

#[tokio::test]
async fn requests_reach_every_replica_and_none_is_lost_by_scaling_down() {
    let it = Fixture::new();
    let locator = it.start().await.locator;
    assert_eq!(it.put(&locator, "/v1/scale", r#"{"replicas":3}"#).await, 200);
    let up = it.until_ready(&locator, 3).await;
    let work = format!("{}/work?ms=300", up.front.url);
    let batch = async |n: usize| {
        let requests: Vec<_> = (0..n).map(|_| it.get(&work)).collect();
        let mut answers = Vec::new();
        let tasks: Vec<_> = requests.into_iter().map(Box::pin).collect();
        for answer in join_all(tasks).await {
            answers.push(answer.expect("a request was lost"));
        }
        answers
    };
    let pids: BTreeSet<String> = batch(9).await.into_iter().collect();
    assert_eq!(pids, up.replicas.iter().map(|r| r.pid.to_string()).collect());
    let down = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(it.put(&locator, "/v1/scale", r#"{"replicas":1}"#).await, 200);
    };
    let more = async {
        for _ in 0..6 {
            batch(6).await;
        }
    };
    tokio::join!(batch(30), down, more);
    let down = it.until_ready(&locator, 1).await;
    assert_eq!(names(&down), ["replica-1"]);
}

async fn join_all<F: Future>(futures: Vec<std::pin::Pin<Box<F>>>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Some(f), None)).collect();
    std::future::poll_fn(move |cx| {
        for (future, output) in &mut futures {
            if let Some(f) = future
                && let std::task::Poll::Ready(value) = f.as_mut().poll(cx)
            {
                (*future, *output) = (None, Some(value));
            }
        }
        if futures.iter().any(|(f, _)| f.is_some()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(futures.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

#[tokio::test]
async fn the_shadow_follows_its_profile_and_its_crash_never_touches_production() {
    let it = Fixture::new();
    let locator = it.start().await.locator;
    let before = it.until_ready(&locator, 2).await;
    it.calls(&locator).set_shadow("cpu-half").await.unwrap();
    let is_ready = |w: &Workload, profile: &str| w.shadow.as_ref().is_some_and(|s| s.state == State::Ready && s.profile == profile);
    let with = it.until(&locator, "a shadow", |w| is_ready(w, "cpu-half")).await;
    let shadow = with.shadow.unwrap();
    assert_eq!((shadow.size, shadow.cpu_limit_cores, shadow.proxy_pid), (0.5, Some(0.25), None));
    let told: serde_json::Value = serde_json::from_str(&it.get(&format!("{}/env", shadow.app_url)).await.unwrap()).unwrap();
    assert_eq!(told["FORESHADOW_ROLE"], "shadow");
    assert_eq!(told["CPU_LIMIT_MILLIS"], "250");
    assert_eq!(told["MEMORY_LIMIT_BYTES"], (256 << 20).to_string());
    assert_eq!(told["COLOUR"], "blue");
    let endpoints = it.spec.state_dir.join("run/endpoints-shadow.yaml");
    let listed = || std::fs::read_to_string(&endpoints).unwrap();
    assert!(listed().contains(shadow.app_url.rsplit(':').next().unwrap()));

    signal(shadow.pid, Signal::KILL);
    let again = it.until(&locator, "a new shadow", |w| is_ready(w, "cpu-half") && w.shadow.as_ref().unwrap().pid != shadow.pid).await;
    assert!(again.notes.iter().any(|n| n.contains("shadow-1 was started again once") && n.contains("signal 9")), "{:?}", again.notes);
    it.calls(&locator).set_shadow("same").await.unwrap();
    it.until(&locator, "another profile", |w| is_ready(w, "same")).await;
    assert_eq!(it.put(&locator, "/v1/shadow", r#"{"profile":"cpu-hlaf"}"#).await, 400);
    it.calls(&locator).remove_shadow().await.unwrap();
    let after = it.until(&locator, "no shadow", |w| w.shadow.is_none()).await;
    assert!(listed().contains("endpoints: []"));
    assert!(after.shadow_replica_seconds > 0.0);
    let pids = |w: &Workload| w.replicas.iter().map(|r| (r.pid, r.proxy_pid)).collect::<Vec<_>>();
    assert_eq!(pids(&before), pids(&after));
}

#[tokio::test]
async fn what_crashes_leaves_the_rotation_and_comes_back() {
    let it = Fixture::new();
    let locator = it.start().await.locator;
    let first = it.until_ready(&locator, 2).await;
    let victim = &first.replicas[0];
    signal(victim.proxy_pid.unwrap(), Signal::KILL);
    let other_sidecar = |w: &Workload| ready(w) == 2 && w.replicas[0].proxy_pid != victim.proxy_pid;
    let second = it.until(&locator, "a new sidecar", other_sidecar).await;
    assert_eq!(second.replicas[0].pid, victim.pid, "the application went on");
    signal(victim.pid, Signal::KILL);
    let third = it.until(&locator, "a new application", |w| ready(w) == 2 && w.replicas[0].pid != victim.pid).await;
    assert_eq!(names(&third), names(&first));
    assert!(third.notes.iter().any(|n| n.starts_with("replica-1 was started again 2 times")), "{:?}", third.notes);
    let front = third.front.clone();
    signal(front.pid, Signal::KILL);
    let fourth = it.until(&locator, "a new front", |w| w.front.pid != front.pid && !w.front.admin.is_empty()).await;
    assert_eq!(fourth.front.url, front.url, "clients' address stays");
    for _ in 0..10 {
        assert!(it.get(&format!("{}/work", front.url)).await.is_some());
    }
}

#[tokio::test]
async fn an_application_that_cannot_start_is_tried_with_growing_pauses_and_said() {
    let mut it = Fixture::new();
    it.spec.app.command = "exit 7".into();
    it.spec.replicas = 1;
    let locator = it.start().await.locator;
    let told = |w: &Workload| w.notes.iter().any(|n| n.contains("replica-1 was started again 4 times") && n.contains("status 7"));
    let seen = it.until(&locator, "a note of it", told).await;
    assert_eq!((ready(&seen), seen.replicas.len()), (0, 1));
}

/// Enforced where this machine lets us; said where it does not.
#[tokio::test]
async fn limits_are_enforced_or_said_to_be_off() {
    let it = Fixture::new();
    let locator = it.start().await.locator;
    let seen = it.until_ready(&locator, 2).await;
    for replica in &seen.replicas {
        if replica.cgroups.is_empty() {
            assert!(seen.notes.iter().any(|n| n.contains("limits are off")), "{:?}", seen.notes);
            continue;
        }
        let read = |controller: &str, file: &str| {
            let dir = replica.cgroups.get(controller)?;
            Some(std::fs::read_to_string(format!("{dir}/{file}")).unwrap().trim().to_owned())
        };
        let quota = read("cpu", "cpu.cfs_quota_us").or_else(|| read("unified", "cpu.max"));
        assert!(quota.unwrap().starts_with("50000"), "{replica:?}");
        let memory = read("memory", "memory.limit_in_bytes").or_else(|| read("unified", "memory.max"));
        assert_eq!(memory.unwrap(), (256 << 20).to_string());
        for controller in replica.cgroups.keys() {
            let members = read(controller, "cgroup.procs").unwrap();
            assert!(members.lines().any(|l| l == replica.pid.to_string()), "{controller}: {members}");
        }
    }
}

//! What must do no harm: a new release, and the death of each part: agent, controller, API server. Requests flow all the while, and none fails.

use super::pressure::failures;
use super::product::rolled_out;
use super::shop::{self, NAMESPACE, PRODUCT, Pod, held, passed_and_copied, pods, restarts};
use crate::story::{Result, Story, ensure, until};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `work` while requests flow to `web`; every one of them must be answered.
fn unfelt(story: &mut Story, name: &str, work: impl FnOnce(&mut Story) -> Result) -> Result {
    story.reaches_pods()?;
    shop::load(story, name, "web", "20", 300)?;
    until("requests flow", PATIENCE, || Ok((failures(story, name)?.0 > 20).then_some(())))?;
    work(story)?;
    let (before, _) = failures(story, name)?;
    until("requests went on flowing", PATIENCE, || Ok((failures(story, name)?.0 > before + 60).then_some(())))?;
    let (sent, failed) = failures(story, name)?;
    story.kubectl(&format!("delete pod {name} -n default --wait=false"))?;
    ensure(failed.as_array().is_some_and(Vec::is_empty), || format!("of {sent} requests failed: {failed}"))
}

pub fn a_new_release_is_followed_by_the_shadow_and_not_felt(story: &mut Story) -> Result {
    unfelt(story, "release", |story| release(story, "2"))
}

/// Production gets a release; its shadow must follow by itself, with a profile still its own.
fn release(story: &mut Story, release: &str) -> Result {
    story.kubectl(&format!("set env deployment/web -n {NAMESPACE} RELEASE={release}"))?;
    until("the shadow runs the release", PATIENCE, || {
        let shadows = shop::shadows(story, "web")?;
        let follows = |p: &Pod| p.ready && env(p, "RELEASE") == release && env(p, "FORESHADOW_ROLE") == "shadow";
        Ok((shadows.len() == 1 && follows(&shadows[0])).then_some(()))
    })?;
    rolled_out(story, NAMESPACE, &["deployment/web"])?;
    for pod in pods(story, NAMESPACE, "app=web")?.iter().filter(|p| p.ready) {
        ensure(env(pod, "RELEASE") == release, || format!("{} is of release {}", pod.name, env(pod, "RELEASE")))?;
        ensure(shop::telemetry(pod).is_ok(), || format!("{} has no sidecar", pod.name))?;
    }
    Ok(())
}

fn env(pod: &Pod, name: &str) -> String {
    let all = pod.object["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|e| e["name"] == name).and_then(|e| e["value"].as_str());
    found.unwrap_or_default().to_owned()
}

pub fn a_killed_agent_comes_back_to_what_it_held_and_nobody_feels_it(story: &mut Story) -> Result {
    unfelt(story, "agent", |story| {
        let agents = pods(story, PRODUCT, "app.kubernetes.io/component=node")?;
        let before = restarts(&agents);
        kill(agents.first().ok_or("no agent")?)?;
        until("the agent was started again and is ready", PATIENCE, || {
            let now = pods(story, PRODUCT, "app.kubernetes.io/component=node")?;
            Ok((restarts(&now) != before && now.iter().all(|p| p.ready)).then_some(()))
        })?;
        until("it holds the workload, with what it knew", PATIENCE, || {
            let state = held(story, "shop/web")?.unwrap_or_default();
            Ok((state["ticks"].as_u64() > Some(3) && state["decision"]["capacity_rps"]["p50"].is_number()).then_some(()))
        })?;
        copies_go_on(story)
    })
}

pub fn with_every_controller_killed_a_release_is_still_followed(story: &mut Story) -> Result {
    unfelt(story, "controller", |story| {
        for pod in pods(story, PRODUCT, "app.kubernetes.io/component=controller")? {
            kill(&pod)?;
        }
        until("they are ready again", PATIENCE, || {
            let now = pods(story, PRODUCT, "app.kubernetes.io/component=controller")?;
            Ok((restarts(&now).values().all(|n| *n > 0) && now.iter().all(|p| p.ready)).then_some(()))
        })?;
        release(story, "3")
    })
}

pub fn without_its_api_server_production_and_agent_go_on(story: &mut Story) -> Result {
    unfelt(story, "server", |story| {
        let ticks = |story: &Story| -> Result<u64> { Ok(held(story, "shop/web")?.and_then(|s| s["ticks"].as_u64()).unwrap_or(0)) };
        let before = ticks(story)?;
        story.restart_api_server(Duration::from_secs(5))?;
        until("the agent went on counting the seconds", PATIENCE, || Ok((ticks(story)? >= before + 5).then_some(())))?;
        let agents = pods(story, PRODUCT, "app.kubernetes.io/part-of=foreshadow")?;
        until("everything is ready", PATIENCE, || {
            Ok(pods(story, PRODUCT, "app.kubernetes.io/part-of=foreshadow")?.iter().all(|p| p.ready).then_some(()))
        })?;
        let now = pods(story, PRODUCT, "app.kubernetes.io/part-of=foreshadow")?;
        ensure(restarts(&now) == restarts(&agents), || format!("restarted: {:?}", restarts(&now)))?;
        copies_go_on(story)
    })
}

fn copies_go_on(story: &Story) -> Result {
    let production = pods(story, NAMESPACE, "app=web")?;
    let before = passed_and_copied(&production)?.1;
    until("copies go on", PATIENCE, || Ok((passed_and_copied(&production)?.1 > before).then_some(())))
}

/// SIGKILL to the first process of a pod's first container: nothing is said to anybody.
fn kill(pod: &Pod) -> Result {
    let id = pod.object["status"]["containerStatuses"][0]["containerID"].as_str().and_then(|id| id.split("//").nth(1));
    let id = id.ok_or_else(|| format!("{} has no container", pod.name))?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if let Some(pid) = Pid::from_raw(pid).filter(|_| groups.contains(id)) {
            kill_process(pid, Signal::KILL)?;
            return Ok(());
        }
    }
    Err(format!("no process of {} is to be seen from here", pod.name).into())
}

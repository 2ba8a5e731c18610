//! Uninstalling leaves nothing: every object of the cluster is compared with those that were there before the product.

use super::product::rolled_out;
use super::shop::{NAMESPACE, pods};
use crate::story::{Result, Story, ensure, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

pub fn uninstalling_leaves_nothing_behind(story: &mut Story) -> Result {
    let said = story.agent(&["uninstall"])?;
    ensure(said.contains("nothing was changed"), || said.clone())?;
    let said = story.agent(&["uninstall", "--yes"])?;
    // What it says is left to the user.
    for advice in ["kubectl label namespace shop foreshadow.dev/inject-", "kubectl rollout restart -n shop deployment/web"] {
        ensure(said.contains(advice), || format!("it does not say `{advice}`: {said}"))?;
    }
    story.kubectl(&format!("label namespace {NAMESPACE} foreshadow.dev/inject-"))?;
    story.kubectl(&format!("rollout restart deployment/web deployment/legacy -n {NAMESPACE}"))?;
    rolled_out(story, NAMESPACE, &["deployment/web", "deployment/legacy"])?;
    for pod in pods(story, NAMESPACE, "app")? {
        let containers = pod.object["spec"]["containers"].as_array().map_or(0, Vec::len);
        ensure(containers == 1 && pod.object["spec"]["initContainers"].is_null(), || format!("{} still has a sidecar", pod.name))?;
    }
    until("every object is as it was before", PATIENCE, || {
        let (more, fewer) = story.objects_since()?;
        if more.is_empty() && fewer.is_empty() { Ok(Some(())) } else { Err(format!("more: {more:?}, fewer: {fewer:?}").into()) }
    })
}

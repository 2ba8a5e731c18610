//! A size written to the template (`actuation.resources.writeBack: Template`), so that pods that start later have it from the start.
//!
//! Called through `moves`. Resources of a template belong to whoever applied it, and server-side apply would refuse ours for ever: this
//! one change is therefore a plain patch, made only where the spec asks for it by name. Promises: written once a size has stood on every pod
//! for [`STANDS`]; what stood before is in the mark and is put back; a template that somebody has written since is theirs and stays so.

use super::mark::Mark;
use super::refusal::Refusal;
use super::resize::{self, Progress, Size, Sizing};
use super::sizes::Production;
use super::template::{self, Change, MANAGER};
use crate::kubernetes::crd::Mode;
use crate::kubernetes::crd::ShadowScalerSpec;
use crate::kubernetes::crd::actuation::WriteBack;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A size stands on all pods this long before the template gets it.
pub const STANDS: Duration = Duration::from_secs(3_600);

/// Since when every pod has had the size that stands.
#[derive(Debug)]
pub struct Standing {
    since: Option<(Sizing, Instant)>,
    needed: Duration,
}

impl Standing {
    /// For sizes that have stood for `needed`.
    pub fn new(needed: Duration) -> Self {
        Self { since: None, needed }
    }

    /// Takes note of what stands on the pods; whether it has stood for long enough.
    pub fn is_due(&mut self, sizing: Option<&Sizing>, production: &Production, now: Instant) -> bool {
        let all = |s: &&Sizing| !production.pods.is_empty() && production.pods.iter().all(|p| resize::progress(p, s) == Progress::Done);
        let Some(sizing) = sizing.filter(all) else {
            self.since = None;
            return false;
        };
        let since = self.since.take().filter(|(before, _)| before == sizing).map_or(now, |(_, since)| since);
        self.since = Some((sizing.clone(), since));
        now.duration_since(since) >= self.needed
    }
}

/// Whether sizes are to be written to the template.
pub fn is_wanted(spec: &ShadowScalerSpec) -> bool {
    let axis = &spec.actuation.resources;
    spec.mode == Mode::Act && axis.enabled && axis.write_back == WriteBack::Template
}

/// Whether the template's size is not what we wrote any more.
pub fn is_theirs(deployment: &DynamicObject, written: &Sizing) -> bool {
    !size(deployment, &written.container).is_some_and(|now| now.is(&written.size))
}

fn size(deployment: &DynamicObject, container: &str) -> Option<Size> {
    let spec = serde_json::from_value(deployment.data["spec"]["template"]["spec"].clone()).ok()?;
    // Processor and memory: what else a template asks for is not ours.
    resize::wanted(&Pod { spec: Some(spec), ..Pod::default() }, container)
}

/// Writes a size with its mark, provided the Deployment is as it was read.
///
/// # Errors
/// What the API server said.
pub(super) async fn write(
    client: &Client,
    deployment: &DynamicObject,
    change: &Change,
    mark: &Mark<Option<Change>>,
    dry_run: bool,
) -> Result<DynamicObject, Refusal> {
    let metadata = json!({
        "resourceVersion": deployment.resource_version(),
        "labels": { template::LABEL: "true" },
        "annotations": { template::ANNOTATION: mark.to_text() },
    });
    patch(client, deployment, metadata, Some(change), dry_run).await
}

/// Puts back the size before ours, unless the template is somebody else's since; takes the mark off either way.
///
/// # Errors
/// What the API server said.
pub(super) async fn undo(client: &Client, deployment: &DynamicObject, mark: &Mark<Option<Change>>) -> Result<DynamicObject, Refusal> {
    let ours = matches!(&mark.value, Some(Change::Size(written)) if !is_theirs(deployment, written));
    let metadata = json!({
        "resourceVersion": deployment.resource_version(),
        "labels": { template::LABEL: Value::Null },
        "annotations": { template::ANNOTATION: Value::Null },
    });
    patch(client, deployment, metadata, mark.original.as_ref().filter(|_| ours), false).await
}

async fn patch(
    client: &Client,
    deployment: &DynamicObject,
    metadata: Value,
    change: Option<&Change>,
    dry_run: bool,
) -> Result<DynamicObject, Refusal> {
    let mut body = json!({ "metadata": metadata });
    if let Some(change) = change {
        body["spec"] = json!({ "template": template::fields(change) });
    }
    let params = PatchParams { field_manager: Some(MANAGER.into()), dry_run, ..PatchParams::default() };
    let api: Api<DynamicObject> = template::deployments(client, &deployment.namespace().unwrap_or_default());
    Ok(api.patch(&deployment.name_any(), &params, &Patch::Strategic(&body)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizing(cpu: &str) -> Sizing {
        let requests = [("cpu".to_owned(), cpu.to_owned())].into();
        Sizing { container: "app".into(), size: Size { requests, ..Size::default() } }
    }

    fn deployment(cpu: &str) -> DynamicObject {
        let containers = json!([{ "name": "app", "resources": { "requests": { "cpu": cpu, "ephemeral-storage": "1Gi" } } }]);
        serde_json::from_value(json!({ "metadata": { "name": "web" }, "spec": { "template": { "spec": { "containers": containers } } } }))
            .unwrap()
    }

    fn pods(sizes: &[&str]) -> Production {
        let pod = |cpu: &&str| -> Pod {
            let resources = json!({ "requests": { "cpu": cpu } });
            let status = json!({ "name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 0, "resources": resources });
            serde_json::from_value(json!({ "metadata": { "name": "web-1" }, "status": { "containerStatuses": [status] } })).unwrap()
        };
        let template = k8s_openapi::api::core::v1::PodSpec::default();
        Production { object: deployment("1"), template, pods: sizes.iter().map(pod).collect() }
    }

    #[test]
    fn a_size_is_due_when_every_pod_has_had_it_for_long_enough() {
        let (mut standing, start) = (Standing::new(STANDS), Instant::now());
        let two = sizing("2");
        assert!(!standing.is_due(Some(&two), &pods(&["2", "2"]), start));
        assert!(!standing.is_due(Some(&two), &pods(&["2", "2"]), start + STANDS / 2));
        assert!(standing.is_due(Some(&two), &pods(&["2", "2000m"]), start + STANDS));
        assert!(!standing.is_due(Some(&two), &pods(&["2", "1"]), start + STANDS), "a new pod has it not yet");
        assert!(!standing.is_due(Some(&two), &pods(&["2", "2"]), start + STANDS), "and it begins again");
        assert!(!standing.is_due(Some(&sizing("4")), &pods(&["4"]), start + STANDS * 2), "so does another size");
        assert!(!standing.is_due(None, &pods(&["4"]), start + STANDS * 4) && !standing.is_due(Some(&two), &pods(&[]), start));
    }

    #[test]
    fn what_somebody_has_written_since_is_theirs() {
        assert!(!is_theirs(&deployment("2000m"), &sizing("2")));
        assert!(is_theirs(&deployment("1"), &sizing("2")));
        let other = Sizing { container: "gone".into(), ..sizing("2") };
        assert!(is_theirs(&deployment("2"), &other), "the container goes by another name");
    }
}

//! One ShadowScaler, looked after: production read, shadow made to follow it, sidecars told, status and Events written.
//!
//! Called by the leader for whatever changed, and every few minutes. Promises: idempotent; never looks at load (that is the lease holder's), so
//! nothing here resizes a shadow but the profile's turn; a deleted ShadowScaler takes everything along that was made for it.

use super::conditions::{self, Finding};
use super::looked::Looked;
use super::objects::{Objects, WriteError};
use super::sidecars;
use crate::kubernetes::act::expire;
use crate::kubernetes::crd::status::{SHADOW_READY, ShadowStatus};
use crate::kubernetes::crd::{ShadowScaler, TargetKind};
use crate::kubernetes::metrics::Metrics;
use crate::kubernetes::shadow::{self, Blueprint};
use crate::kubernetes::webhook::surroundings::Surroundings;
use crate::kubernetes::{names, writer};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keeps a ShadowScaler until what was made for it is gone.
pub const FINALIZER: &str = "foreshadow.dev/cleanup";
/// Looked at again after this without a change: what no watch shows is repaired then.
const AGAIN: Duration = Duration::from_secs(300);
/// Between two tries to read ShadowScalers at all.
const RETRY: Duration = Duration::from_secs(10);
/// Changes that come together are one.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// ShadowScalers looked after at once.
const CONCURRENCY: u16 = 8;
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));

struct Context {
    client: Client,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    failures: Mutex<HashMap<ObjectRef<ShadowScaler>, u32>>,
    looked: Arc<Looked>,
}

/// Looks after all ShadowScalers until it is dropped.
pub async fn run(client: Client, surroundings: Surroundings, metrics: Arc<Metrics>) {
    while let Err(error) = Api::<ShadowScaler>::all(client.clone()).list(&ListParams::default().limit(1)).await {
        tracing::warn!(%error, "ShadowScalers cannot be read (is the CustomResourceDefinition installed?); trying again");
        tokio::time::sleep(RETRY).await;
    }
    surroundings.known().await;
    let recorder = Recorder::new(client.clone(), Reporter { controller: "foreshadow-controller".into(), instance: None });
    let looked = Arc::<Looked>::default();
    let context = Context { client: client.clone(), surroundings, metrics, recorder, failures: Mutex::default(), looked: looked.clone() };
    let touched = move |found: Vec<ObjectRef<ShadowScaler>>| {
        found.iter().for_each(|key| looked.touch(key));
        found
    };
    let (by_deployment, by_set, by_service) = (touched.clone(), touched.clone(), touched);
    let ours = watcher::Config::default().labels(names::SCALER);
    let all = watcher::Config::default;
    let controller = Controller::new(Api::<ShadowScaler>::all(client.clone()), all())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY));
    let (one, two) = (controller.store(), controller.store());
    controller
        .watches(Api::<Deployment>::all(client.clone()), all(), move |d| by_deployment(concerned(&one, TargetKind::Deployment, d)))
        .watches(Api::<StatefulSet>::all(client.clone()), all(), move |s| by_set(concerned(&two, TargetKind::StatefulSet, s)))
        .watches(Api::<Service>::all(client), ours, move |s| by_service(made_for(&s).into_iter().collect()))
        .run(reconcile, after_failure, Arc::new(context))
        .for_each(|done| {
            if let Err(error) = done {
                tracing::debug!(%error, "not looked after");
            }
            std::future::ready(())
        })
        .await;
}

/// The ShadowScalers that a workload concerns: whose target it is, or whose shadow.
fn concerned<K: Resource>(scalers: &Store<ShadowScaler>, kind: TargetKind, workload: K) -> Vec<ObjectRef<ShadowScaler>> {
    let (name, namespace) = (workload.name_any(), workload.namespace());
    let targets = scalers.state_filter(|s| {
        let target = &s.spec.target_ref;
        target.kind == kind && target.name == name && s.namespace() == namespace
    });
    targets.iter().map(|s| ObjectRef::from_obj(&**s)).chain(made_for(&workload)).collect()
}

fn made_for<K: Resource>(object: &K) -> Option<ObjectRef<ShadowScaler>> {
    let name = object.labels().get(names::SCALER)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("{0}")]
    Finalizer(String),
    #[error("its floor cannot be put back: {0}")]
    Floor(String),
}

async fn reconcile(scaler: Arc<ShadowScaler>, context: Arc<Context>) -> Result<Action, Failure> {
    let Some(namespace) = scaler.namespace() else { return Ok(Action::await_change()) };
    if let Some(rest) = context.looked.rests(&scaler, Instant::now()) {
        return Ok(Action::requeue(rest));
    }
    // Before anything is asked: what changes meanwhile is looked at again.
    context.looked.begin(&scaler, Instant::now() + next_look(&scaler));
    let api: Api<ShadowScaler> = Api::namespaced(context.client.clone(), &namespace);
    let key = ObjectRef::from_obj(&*scaler);
    let done = finalizer(&api, FINALIZER, scaler, |event| async {
        match event {
            finalizer::Event::Apply(scaler) => look_after(&scaler, &namespace, &context).await,
            finalizer::Event::Cleanup(scaler) => clean_up(&scaler, &namespace, &context).await,
        }
    })
    .await
    .map_err(|e| match e {
        finalizer::Error::ApplyFailed(e) | finalizer::Error::CleanupFailed(e) => e,
        other => Failure::Finalizer(other.to_string()),
    })?;
    context.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    context.metrics.reconciled("ok");
    Ok(done)
}

fn after_failure(scaler: Arc<ShadowScaler>, failure: &Failure, context: Arc<Context>) -> Action {
    context.looked.touch(&ObjectRef::from_obj(&*scaler));
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(ObjectRef::from_obj(&*scaler)).or_insert(0);
    *count = count.saturating_add(1);
    let wait = (BACKOFF.0 * 2_u32.saturating_pow((*count - 1).min(10))).min(BACKOFF.1);
    context.metrics.reconciled("failed");
    tracing::warn!(scaler = scaler.name_any(), namespace = scaler.namespace(), error = %failure, again = ?wait, "not looked after");
    Action::requeue(wait)
}

/// What a look after one led to.
#[derive(Debug, Default)]
struct Outcome {
    findings: Vec<Finding>,
    shadow: Option<ShadowStatus>,
    profile: Option<String>,
}

async fn look_after(scaler: &ShadowScaler, namespace: &str, context: &Context) -> Result<Action, Failure> {
    let objects = Objects::new(context.client.clone(), namespace);
    let (profile, _) = shadow::profile_at(scaler, Timestamp::now().as_second());
    let outcome = match objects.target(&scaler.spec.target_ref).await? {
        Some(target) => follow(scaler, namespace, &target, &profile, &objects, context).await?,
        None => {
            objects.remove_shadow(scaler).await?;
            let target = &scaler.spec.target_ref;
            let message = format!(
                "there is no {:?} {} in namespace {namespace}: create it, or name another in a new ShadowScaler",
                target.kind, target.name
            );
            Outcome { findings: vec![Finding::new(SHADOW_READY, Some(false), "TargetNotFound", message)], ..Outcome::default() }
        }
    };
    tell(scaler, namespace, outcome, context).await?;
    Ok(Action::requeue(next_look(scaler)))
}

/// When it is to be looked at again without a change: also when its shadow's profile has its turn.
fn next_look(scaler: &ShadowScaler) -> Duration {
    let (_, left) = shadow::profile_at(scaler, Timestamp::now().as_second());
    let turns = scaler.spec.shadow.enabled && scaler.spec.shadow.profiles.len() > 1;
    if turns { AGAIN.min(Duration::from_secs(left)) } else { AGAIN }
}

/// Makes the shadow follow production, and tells production's sidecars where it is.
async fn follow(
    scaler: &ShadowScaler,
    namespace: &str,
    target: &Value,
    profile: &str,
    objects: &Objects,
    context: &Context,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    match shadow_of(scaler, namespace, target, profile, objects, context).await {
        Ok((finding, status)) => {
            outcome.profile = status.is_some().then(|| profile.to_owned());
            outcome.shadow = status;
            outcome.findings.push(finding);
        }
        Err(Stopped::Because(finding)) => outcome.findings.push(finding),
        Err(Stopped::Failed(failure)) => return Err(failure),
    }
    let pods = objects.sidecars(target).await?;
    let labelled = context.surroundings.namespace_labels(namespace).get(names::INJECT).is_some_and(|v| v == "enabled");
    let workload = format!("{:?}/{}", scaler.spec.target_ref.kind, scaler.spec.target_ref.name);
    outcome.findings.push(conditions::sidecars(&workload, &pods, scaler.spec.shadow.copies.methods, labelled));
    Ok(outcome)
}

/// Why there is no shadow now.
enum Stopped {
    Because(Finding),
    Failed(Failure),
}

impl From<kube::Error> for Stopped {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<WriteError> for Stopped {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Api(error) => Self::Failed(error.into()),
            WriteError::Taken { .. } => Self::Because(Finding::new(SHADOW_READY, Some(false), "NameTaken", error.to_string())),
            WriteError::Refused { .. } => Self::Because(Finding::new(SHADOW_READY, Some(false), "Refused", error.to_string())),
        }
    }
}

async fn shadow_of(
    scaler: &ShadowScaler,
    namespace: &str,
    target: &Value,
    profile: &str,
    objects: &Objects,
    context: &Context,
) -> Result<(Finding, Option<ShadowStatus>), Stopped> {
    let because = |reason, why: String| Stopped::Because(Finding::new(SHADOW_READY, Some(false), reason, why));
    let template = &target["spec"]["template"];
    let services = context.surroundings.services(namespace);
    if let Some(service) = sidecars::selected_by(&services, &shadow::pod_labels(&scaler.name_any())) {
        return Err(because(
            "WouldGetTraffic",
            format!("Service {service} selects the shadow's labels: production's traffic would go to it"),
        ));
    }
    let ports = sidecars::ports(template, services).map_err(|e| because("NoPort", e.to_string()))?;
    let map = names::endpoints_config_map(&format!("{:?}", scaler.spec.target_ref.kind), &scaler.spec.target_ref.name);
    let before = objects.endpoint_file(&map).await?;
    if !scaler.spec.shadow.enabled {
        objects.remove_shadow(scaler).await?;
        objects.config_map(scaler, &shadow::endpoints_config_map(scaler, &ports, None, before.as_deref())).await?;
        return Ok((Finding::new(SHADOW_READY, Some(true), "Disabled", "no shadow is asked for"), None));
    }
    let blueprint = Blueprint { scaler, template, profile, ports: &ports };
    let built = shadow::build(blueprint).map_err(|e| because("Impossible", e.to_string()))?;
    let address = objects.service(scaler, &built.service).await?;
    let deployment = objects.deployment(scaler, &built.deployment).await?;
    objects.config_map(scaler, &shadow::endpoints_config_map(scaler, &ports, address.as_deref(), before.as_deref())).await?;
    let port = ports.first().map_or(0, |p| p.number);
    let status = ShadowStatus {
        name: names::shadow(&scaler.spec.target_ref.name),
        address: address.map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
        ready_replicas: deployment["status"]["readyReplicas"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        template_hash: built.template_hash,
    };
    Ok((conditions::shadow(&deployment, &built.notes), Some(status)))
}

/// Writes our part of the status, and an Event for whatever is new.
async fn tell(scaler: &ShadowScaler, namespace: &str, outcome: Outcome, context: &Context) -> Result<(), Failure> {
    let findings = conditions::with_ready(outcome.findings);
    let before = scaler.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
    let mut status = json!({
        "observedGeneration": scaler.metadata.generation,
        "conditions": conditions::conditions(&findings, &before, scaler.metadata.generation, Timestamp::now()),
    });
    if let Some(profile) = outcome.profile {
        status["profile"] = json!(profile);
    }
    if let Some(shadow) = outcome.shadow {
        status["shadow"] = json!(shadow);
    }
    let object = json!({
        "apiVersion": ShadowScaler::api_version(&()),
        "kind": ShadowScaler::kind(&()),
        "metadata": { "name": scaler.name_any(), "namespace": namespace },
        "status": status,
    });
    let api: Api<ShadowScaler> = Api::namespaced(context.client.clone(), namespace);
    match writer::apply_status(&api, &scaler.name_any(), &object).await {
        // Gone by now: there is nobody to tell.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => other?,
    };
    for found in conditions::news(&findings, &before) {
        let type_ = if found.holds == Some(false) { EventType::Warning } else { EventType::Normal };
        let note = Some(found.message.chars().take(1_000).collect());
        let event = Event { type_, reason: found.reason.into(), note, action: "Reconcile".into(), secondary: None };
        if let Err(error) = context.recorder.publish(&event, &scaler.object_ref(&())).await {
            tracing::warn!(%error, "an Event was not written");
        }
    }
    Ok(())
}

/// Removes what was made for a ShadowScaler that is being deleted.
async fn clean_up(scaler: &ShadowScaler, namespace: &str, context: &Context) -> Result<Action, Failure> {
    for one in
        expire::put_back(&context.client, &format!("{namespace}/{}", scaler.name_any())).await.map_err(|e| Failure::Floor(e.to_string()))?
    {
        one.outcome.map_err(|e| Failure::Floor(format!("{}: {e}", one.title)))?;
    }
    let objects = Objects::new(context.client.clone(), namespace);
    objects.remove_shadow(scaler).await?;
    let target = &scaler.spec.target_ref;
    objects.remove_config_map(scaler, &names::endpoints_config_map(&format!("{:?}", target.kind), &target.name)).await?;
    context.looked.touch(&ObjectRef::from_obj(scaler));
    Ok(Action::await_change())
}

//! The webhook's certificates in the cluster: the leader keeps the Secret and the registration right, every replica loads what is there.

use crate::cli::cluster::Controller;
use crate::kubernetes::metrics::Metrics;
use crate::kubernetes::webhook::certificates::Material;
use crate::kubernetes::webhook::registration;
use crate::kubernetes::webhook::serve::Identity;
use crate::kubernetes::writer;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name of the Secret.
pub const NAME: &str = "foreshadow-webhook";
/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// After a look that failed.
const SOON: Duration = Duration::from_secs(3);

/// Keeps Secret and registration right, for as long as this replica leads.
pub async fn keep(args: &Controller, client: &Client, metrics: &Metrics) {
    if args.no_webhook {
        return std::future::pending().await;
    }
    loop {
        let wait = match once(args, client, metrics).await {
            Ok(()) => LOOK,
            Err(why) => {
                tracing::warn!(why, "the webhook's certificate or registration is not right yet");
                metrics.renewed("failed");
                SOON
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn once(args: &Controller, client: &Client, metrics: &Metrics) -> Result<(), String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &args.namespace);
    let names: Vec<String> = ["", ".cluster.local"].iter().map(|end| format!("{}.{}.svc{end}", args.service, args.namespace)).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let there = api.get_opt(NAME).await.map_err(|e| format!("Secret {NAME}: {e}"))?;
    let material = there.as_ref().and_then(|s| s.data.as_ref()).and_then(material);
    let renewed = match &material {
        Some(material) => material.renewed(&names, now),
        None => Material::fresh(&names, now).map(Some),
    };
    let renewed = renewed.map_err(|e| format!("certificates cannot be made: {e}"))?;
    if let Some(material) = &renewed {
        write(&api, there, material).await?;
        metrics.renewed("made");
        tracing::info!(names = material.names, "certificates of the webhook made");
    }
    let Some(material) = renewed.or(material) else { return Ok(()) };
    let configuration = registration::configuration(&args.namespace, &args.service, Some(&material.bundle));
    let registered: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    writer::apply(&registered, registration::NAME, &configuration)
        .await
        .map(|_| ())
        .map_err(|e| format!("webhook {}: {e}", registration::NAME))
}

async fn write(api: &Api<Secret>, before: Option<Secret>, material: &Material) -> Result<(), String> {
    let data = material.data().into_iter().map(|(name, bytes)| (name, ByteString(bytes))).collect();
    let resource_version = before.as_ref().and_then(|s| s.metadata.resource_version.clone());
    let labels = [("app.kubernetes.io/name", "foreshadow"), ("app.kubernetes.io/managed-by", "foreshadow")];
    let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let metadata = ObjectMeta { name: Some(NAME.into()), labels: Some(labels), resource_version, ..ObjectMeta::default() };
    let secret = Secret { metadata, data: Some(data), type_: before.as_ref().and_then(|s| s.type_.clone()), ..Secret::default() };
    let params = PostParams::default();
    let written = match before {
        None => api.create(&params, &secret).await,
        Some(_) => api.replace(NAME, &params, &secret).await,
    };
    written.map(|_| ()).map_err(|e| format!("Secret {NAME}: {e}"))
}

fn material(data: &BTreeMap<String, ByteString>) -> Option<Material> {
    Material::from_data(&data.iter().map(|(name, bytes)| (name.clone(), bytes.0.clone())).collect())
}

/// Loads every certificate that comes, on every replica.
pub async fn follow(client: Client, namespace: String, identity: Identity) {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let secrets = watcher(Api::<Secret>::namespaced(client, &namespace), config).default_backoff().applied_objects();
    secrets
        .into_stream()
        .for_each(|secret| {
            match secret {
                Ok(secret) => load(&secret, &identity),
                Err(error) => tracing::warn!(%error, "the webhook's Secret cannot be watched; trying again"),
            }
            std::future::ready(())
        })
        .await;
}

fn load(secret: &Secret, identity: &Identity) {
    let Some(material) = secret.data.as_ref().and_then(material) else {
        return tracing::warn!("Secret {NAME} is not whole; the certificate in use stays");
    };
    match identity.set(&material) {
        Ok(()) => tracing::info!(until = material.until, "certificate in use"),
        Err(why) => tracing::error!(why, "the new certificate cannot be used; the one in use stays"),
    }
}

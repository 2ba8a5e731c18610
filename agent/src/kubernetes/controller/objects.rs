//! The cluster's objects around one ShadowScaler: production read, the shadow's objects written and removed.
//!
//! Promise: an object that is not this ShadowScaler's is never written nor removed.

use crate::kubernetes::crd::{ShadowScaler, TargetKind, TargetRef};
use crate::kubernetes::{names, writer};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, Selector};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::Value;

use super::conditions::PodSidecar;

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else's object has the name.
    #[error("{kind} {name} is there already and not ours: rename it, or give the ShadowScaler's workload another name")]
    Taken {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
    },
    /// The API server refuses it, and would again.
    #[error("{kind} {name} is refused: {why}")]
    Refused {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// The server's words.
        why: String,
    },
    /// The API server said something else, or nothing.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Objects of one namespace.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    namespace: String,
}

impl Objects {
    /// Of a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// The workload, whole: fields that nobody here knows stay in its template.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn target(&self, target: &TargetRef) -> Result<Option<Value>, kube::Error> {
        let kind = match target.kind {
            TargetKind::Deployment => "Deployment",
            TargetKind::StatefulSet => "StatefulSet",
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let found = api.get_opt(&target.name).await?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()))
    }

    /// Production's pods, as far as their sidecars go.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn sidecars(&self, target: &Value) -> Result<Vec<PodSidecar>, kube::Error> {
        let selector = target.pointer("/spec/selector").cloned().unwrap_or_default();
        let selector = serde_json::from_value(selector)
            .ok()
            .and_then(|s: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| Selector::try_from(s).ok());
        let Some(selector) = selector else { return Ok(Vec::new()) };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = api.list_metadata(&ListParams::default().labels_from(&selector)).await?;
        let living = pods.items.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none());
        Ok(living.map(|p| PodSidecar { injected: p.annotations().get(names::STATUS).cloned() }).collect())
    }

    /// Writes the shadow's Deployment.
    ///
    /// # Errors
    /// Why not.
    pub async fn deployment(&self, scaler: &ShadowScaler, object: &Value) -> Result<Value, WriteError> {
        let api: Api<Deployment> = self.api();
        let written = write(&api, scaler, object).await?;
        Ok(serde_json::to_value(written).unwrap_or_default())
    }

    /// Writes the shadow's Service; its address.
    ///
    /// # Errors
    /// Why not.
    pub async fn service(&self, scaler: &ShadowScaler, object: &Value) -> Result<Option<String>, WriteError> {
        let written = write(&self.api::<Service>(), scaler, object).await?;
        Ok(written.spec.and_then(|s| s.cluster_ip).filter(|ip| !ip.is_empty() && ip != "None"))
    }

    /// The endpoint file that sidecars have now.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn endpoint_file(&self, name: &str) -> Result<Option<String>, kube::Error> {
        let map = self.api::<ConfigMap>().get_opt(name).await?;
        Ok(map.and_then(|m| m.data).and_then(|mut d| d.remove(names::SHADOW_FILE)))
    }

    /// Writes the endpoint file for production's sidecars.
    ///
    /// # Errors
    /// Why not.
    pub async fn config_map(&self, scaler: &ShadowScaler, object: &Value) -> Result<(), WriteError> {
        write(&self.api::<ConfigMap>(), scaler, object).await.map(|_| ())
    }

    /// Removes the shadow's Deployment and Service, those that are this ShadowScaler's.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn remove_shadow(&self, scaler: &ShadowScaler) -> Result<(), kube::Error> {
        let name = names::shadow(&scaler.spec.target_ref.name);
        remove(&self.api::<Deployment>(), scaler, &name).await?;
        remove(&self.api::<Service>(), scaler, &name).await
    }

    /// Removes the endpoint file.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn remove_config_map(&self, scaler: &ShadowScaler, name: &str) -> Result<(), kube::Error> {
        remove(&self.api::<ConfigMap>(), scaler, name).await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

async fn write<K>(api: &Api<K>, scaler: &ShadowScaler, object: &Value) -> Result<K, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let (kind, name) = (K::kind(&()).into_owned(), object["metadata"]["name"].as_str().unwrap_or("").to_owned());
    if let Some(there) = api.get_metadata_opt(&name).await?
        && !is_ours(&there.metadata, scaler)
    {
        return Err(WriteError::Taken { kind, name });
    }
    writer::apply(api, &name, object).await.map_err(|e| match e {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422) => {
            WriteError::Refused { kind, name, why: status.message.clone() }
        }
        other => other.into(),
    })
}

async fn remove<K>(api: &Api<K>, scaler: &ShadowScaler, name: &str) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let Some(there) = api.get_metadata_opt(name).await?.filter(|o| is_ours(&o.metadata, scaler)) else { return Ok(()) };
    let params = DeleteParams::background().preconditions(kube::api::Preconditions { uid: there.metadata.uid, resource_version: None });
    match api.delete(name, &params).await {
        // Gone, or another object by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Whether an object was made for this ShadowScaler, this very one or an earlier one of the same name.
fn is_ours(metadata: &kube::api::ObjectMeta, scaler: &ShadowScaler) -> bool {
    let labels = metadata.labels.as_ref();
    labels.and_then(|l| l.get(names::SCALER)) == Some(&scaler.name_any())
}

//! Tokens of ServiceAccounts, asked for as the kubelet asks.

use crate::error::{Error, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

/// A token of a ServiceAccount that exists, for `audience` (empty: the API server itself), good for `seconds` (at least 600).
///
/// # Errors
/// When the API server refuses it or answers without one.
pub async fn request(client: &Client, namespace: &str, account: &str, audience: &str, seconds: i64) -> Result<String> {
    let audiences = (!audience.is_empty()).then(|| vec![audience.to_owned()]);
    let spec = TokenRequestSpec { audiences, expiration_seconds: Some(seconds), bound_object_ref: None };
    let request = TokenRequest { metadata: kube::core::ObjectMeta::default(), spec: Some(spec), status: None };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let status = accounts.create_token_request(account, &PostParams::default(), &request).await?.status;
    let missing = || Error::Missing { what: format!("a token of {namespace}/{account}"), reason: "the answer holds none".into() };
    status.and_then(|s| s.token).ok_or_else(missing)
}

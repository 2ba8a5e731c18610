//! Kubeconfigs: how a client finds the API server and who it is there.

use crate::error::Result;
use crate::pki::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// A kubeconfig as text (JSON, which is YAML) for a client with a certificate.
pub fn with_certificate(url: &str, ca: &str, identity: &Identity) -> String {
    let user = json!({
        "client-certificate-data": BASE64.encode(&identity.certificate),
        "client-key-data": BASE64.encode(&identity.key),
    });
    text(url, ca, &user)
}

/// A kubeconfig as text for a client with a bearer token.
pub fn with_token(url: &str, ca: &str, token: &str) -> String {
    text(url, ca, &json!({ "token": token }))
}

fn text(url: &str, ca: &str, user: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url, "certificate-authority-data": BASE64.encode(ca) } }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    format!("{config:#}\n")
}

/// Reads a kubeconfig into what `kube` wants, without the surroundings (`KUBECONFIG`, the home directory) having a say.
pub async fn parse(text: &str) -> Result<kube::Config> {
    let kubeconfig = Kubeconfig::from_yaml(text)?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

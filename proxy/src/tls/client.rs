//! The context of a cluster: how endpoints are met.

use super::TlsError;
use super::material::{Material, provider, versions};
use super::verify::EndpointVerifier;
use crate::config::model::tls::UpstreamTls;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use std::net::IpAddr;
use std::sync::Arc;

/// A client's context.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// The same, with no name asked for.
    nameless: Arc<ClientConfig>,
    sni: Option<ServerName<'static>>,
    /// Own leaf certificate, for `/certs`.
    pub leaves: Vec<CertificateDer<'static>>,
    /// Of all that was read for it.
    pub fingerprint: u64,
}

impl Client {
    /// Makes it of what its sources say now. `alpn` is used when the settings have none.
    ///
    /// # Errors
    /// When a source cannot be used, or the settings contradict each other.
    pub fn new(settings: &UpstreamTls, alpn: &[&str]) -> Result<Self, TlsError> {
        let common = &settings.common;
        let material = Material::read(common)?;
        let whole = |why: rustls::Error| TlsError::new("", why);
        let builder = ClientConfig::builder_with_provider(provider(&common.parameters));
        let builder = builder.with_protocol_versions(&versions(&common.parameters)).map_err(whole)?;
        let verifier = EndpointVerifier::new(&common.validation, &material, settings.names_must_fit)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match material.identities.first() {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone()))),
            None => builder.with_no_client_auth(),
        };
        let own = common.alpn.iter().map(|p| p.clone().into_bytes()).collect();
        config.alpn_protocols = if common.alpn.is_empty() { alpn.iter().map(|p| p.as_bytes().to_vec()).collect() } else { own };
        let mut nameless = config.clone();
        nameless.enable_sni = false;
        let sni = settings.sni.as_ref().map(|name| ServerName::try_from(name.clone()));
        let sni = sni.transpose().map_err(|why| TlsError::new("sni", format!("it is not a host name: {why}")))?;
        let leaves = material.identities.iter().filter_map(|i| i.cert.first().cloned()).collect();
        Ok(Self { config: Arc::new(config), nameless: Arc::new(nameless), sni, leaves, fingerprint: material.fingerprint })
    }

    /// What to meet an endpoint with, and the name to ask for: the request's own, else the configured one, else none.
    pub fn towards(&self, endpoint: IpAddr, own: Option<&str>) -> (Arc<ClientConfig>, ServerName<'static>) {
        match own.and_then(|own| ServerName::try_from(own.to_owned()).ok()).as_ref().or(self.sni.as_ref()) {
            // An address is no name to ask for, but what the certificate has to be for.
            Some(ServerName::IpAddress(address)) => (self.nameless.clone(), ServerName::IpAddress(*address)),
            Some(name) => (self.config.clone(), name.clone()),
            None => (self.nameless.clone(), ServerName::from(endpoint)),
        }
    }
}

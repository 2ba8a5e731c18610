//! The context of a filter chain: what clients meet.

use super::TlsError;
use super::identity::Identities;
use super::material::{Material, provider, versions};
use super::verify::ClientVerifier;
use crate::config::model::tls::DownstreamTls;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use std::sync::Arc;

/// A server's context.
#[derive(Debug, Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    /// For clients that offer no protocol of ours: Envoy goes on without one, where rustls would refuse them.
    without_alpn: Arc<ServerConfig>,
    /// Leaf certificates, for `/certs`.
    pub leaves: Vec<CertificateDer<'static>>,
    /// Of all that was read for it.
    pub fingerprint: u64,
}

impl Server {
    /// Makes it of what its sources say now.
    ///
    /// # Errors
    /// When a source cannot be used, or the settings contradict each other.
    pub fn new(settings: &DownstreamTls) -> Result<Self, TlsError> {
        let common = &settings.common;
        let material = Material::read(common)?;
        let whole = |why: rustls::Error| TlsError::new("", why);
        let builder = ServerConfig::builder_with_provider(provider(&common.parameters));
        let builder = builder.with_protocol_versions(&versions(&common.parameters)).map_err(whole)?;
        let verifier = ClientVerifier::new(&common.validation, &material, settings.require_client_certificate)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Identities::new(&material.identities)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if settings.resumption {
            // Tickets: nothing is kept here, and every worker can take up what another began.
            config.ticketer = ring::Ticketer::new().map_err(whole)?;
        } else {
            config.send_tls13_tickets = 0;
        }
        let without_alpn = Arc::new(config.clone());
        config.alpn_protocols = common.alpn.iter().map(|p| p.clone().into_bytes()).collect();
        let leaves = material.identities.iter().filter_map(|i| i.cert.first().cloned()).collect();
        Ok(Self { config: Arc::new(config), without_alpn, leaves, fingerprint: material.fingerprint })
    }

    /// What a client with this hello is served with.
    pub fn for_client(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let ours = &self.config.alpn_protocols;
        let fits = hello.alpn().is_none_or(|mut offered| offered.any(|o| ours.iter().any(|p| p == o)));
        if fits { self.config.clone() } else { self.without_alpn.clone() }
    }
}

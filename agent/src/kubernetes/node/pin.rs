//! TLS among agents without a certificate authority: each makes its own certificate, and the Lease says which one its holder has.
//!
//! Used by the server and the client of reports. The API server vouches for what stands in a Lease, and only an agent may write one; so a
//! client that reaches a holder accepts exactly the certificate whose SHA-256 the Lease names, and nothing else (no names, no dates,
//! no other issuer). The other direction, who the client is, is a ServiceAccount token's business (`tokens`).

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// What an agent shows.
#[derive(Debug)]
pub struct Identity {
    /// SHA-256 of the certificate, hex.
    pub fingerprint: String,
    /// For its listener.
    pub server: Arc<ServerConfig>,
}

/// An identity could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The certificate.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] Error),
}

impl Identity {
    /// A new key and certificate, only in memory: a restarted agent has another and says so in its Leases.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn create(name: &str) -> Result<Self, PinError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "foreshadow-agent");
        let certificate = params.self_signed(&key)?;
        let der = certificate.der().clone();
        let fingerprint = fingerprint(&der);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![der], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { fingerprint, server: Arc::new(server) })
    }
}

/// A client that accepts the one certificate.
///
/// # Errors
/// When the provider offers no usable version of TLS.
pub fn client(fingerprint: &str) -> Result<ClientConfig, PinError> {
    let provider = Arc::new(ring::default_provider());
    let pinned = Pinned { fingerprint: fingerprint.to_owned(), provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth())
}

fn fingerprint(der: &CertificateDer<'_>) -> String {
    use std::fmt::Write;
    ::ring::digest::digest(&::ring::digest::SHA256, der).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if fingerprint(end_entity) == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

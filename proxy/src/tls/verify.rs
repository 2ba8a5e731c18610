//! Judges the other side's certificate, by Envoy's rules: signed by a trusted authority when one is configured, one of the wanted names when
//! names are configured, pinned hashes when there are any. Without any of these every certificate is taken (the handshake's signature is always
//! checked). A host name is looked for only when asked (`auto_sni_san_validation`): Envoy does not compare it with `sni` either.

use super::TlsError;
use super::material::Material;
use crate::config::model::StringMatch;
use crate::config::model::tls::{NameKind, NameMatch, Validation};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    // The only hash that comes with the provider; its suite is always there.
    if let Some(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13() {
        sum.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    }
    sum
}

/// What a certificate has to be beyond its signatures.
#[derive(Debug)]
struct Rules {
    names: Vec<NameMatch>,
    certificate_hashes: Vec<[u8; 32]>,
    key_hashes: Vec<[u8; 32]>,
}

impl Rules {
    fn new(validation: &Validation) -> Self {
        let Validation { names, certificate_hashes, key_hashes, .. } = validation.clone();
        Self { names, certificate_hashes, key_hashes }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.names.is_empty() && self.certificate_hashes.is_empty() && self.key_hashes.is_empty() {
            return Ok(());
        }
        let unreadable = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).map_err(unreadable)?;
        let names = parsed.subject_alternative_name().ok().flatten().map(|s| &s.value.general_names);
        if !self.names.is_empty() && !names.into_iter().flatten().any(|name| self.names.iter().any(|want| matches(want, name))) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        let pinned = self.certificate_hashes.contains(&sha256(certificate)) || self.key_hashes.contains(&sha256(parsed.public_key().raw));
        if !(pinned || self.certificate_hashes.is_empty() && self.key_hashes.is_empty()) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(())
    }
}

/// Whether a name of a certificate is one that is wanted.
fn matches(want: &NameMatch, name: &GeneralName<'_>) -> bool {
    match (want.kind, name) {
        (NameKind::Dns, GeneralName::DNSName(dns)) => match &want.text {
            // Compared as host names: in any letter case, and the certificate's wildcard stands for one label.
            StringMatch::Exact(host) => is_host(dns, host),
            other => other.is_match(dns),
        },
        (NameKind::Uri, GeneralName::URI(text)) | (NameKind::Email, GeneralName::RFC822Name(text)) => want.text.is_match(text),
        (NameKind::Ip, GeneralName::IPAddress(bytes)) => address(bytes).is_some_and(|ip| want.text.is_match(&ip.to_string())),
        _ => false,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Whether a certificate's DNS name stands for this host (RFC 9525, section 6.3: a wildcard is a whole label, the leftmost).
pub fn is_host(pattern: &str, host: &str) -> bool {
    let rest = pattern.strip_prefix('*').filter(|rest| rest.starts_with('.') && rest[1..].contains('.'));
    match (rest, host.find('.')) {
        (Some(rest), Some(dot)) if dot > 0 => host[dot..].eq_ignore_ascii_case(rest),
        _ => pattern.eq_ignore_ascii_case(host),
    }
}

/// Judges an endpoint's certificate.
#[derive(Debug)]
pub struct EndpointVerifier {
    /// None takes every certificate.
    chain: Option<Arc<WebPkiServerVerifier>>,
    rules: Rules,
    host: bool,
}

impl EndpointVerifier {
    /// With these rules; `host` asks that the certificate be for the name that is asked for.
    ///
    /// # Errors
    /// When the authorities or what they have revoked cannot be used.
    pub fn new(validation: &Validation, material: &Material, host: bool) -> Result<Self, TlsError> {
        let chain = match &material.roots {
            Some(roots) => {
                let provider = Arc::new(ring::default_provider());
                let mut builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).with_crls(material.crls.clone());
                // As OpenSSL does: a list that is out of date says nothing.
                builder = builder.enforce_revocation_expiration();
                if validation.crl_leaf_only {
                    builder = builder.only_check_end_entity_revocation();
                }
                Some(builder.build().map_err(|why| unusable(material, &why))?)
            }
            None => None,
        };
        Ok(Self { chain, rules: Rules::new(validation), host })
    }
}

fn unusable(material: &Material, why: &impl ToString) -> TlsError {
    let field = if material.crls.is_empty() { "validation_context.trusted_ca" } else { "validation_context.crl" };
    TlsError::new(field, why.to_string())
}

/// Whether only the name was wrong: rustls looks at it last, when the chain has been found good.
fn only_name(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
}

impl ServerCertVerifier for EndpointVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(chain) = &self.chain
            && let Err(error) = chain.verify_server_cert(leaf, intermediates, name, ocsp, now)
            && (self.host || !only_name(&error))
        {
            return Err(error);
        }
        self.rules.check(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Judges a client's certificate.
#[derive(Debug)]
pub struct ClientVerifier {
    /// None takes every certificate.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    rules: Rules,
    required: bool,
}

impl ClientVerifier {
    /// With these rules; a client without a certificate is refused if it is `required`. None when clients are not to be asked at all.
    ///
    /// # Errors
    /// When the authorities or what they have revoked cannot be used.
    pub fn new(validation: &Validation, material: &Material, required: bool) -> Result<Option<Self>, TlsError> {
        let rules = Rules::new(validation);
        let asked = required || material.roots.is_some() || !rules.certificate_hashes.is_empty() || !rules.key_hashes.is_empty();
        let provider = Arc::new(ring::default_provider());
        let build = |roots| {
            let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated();
            builder = builder.with_crls(material.crls.clone()).enforce_revocation_expiration();
            if validation.crl_leaf_only {
                builder = builder.only_check_end_entity_revocation();
            }
            builder.build()
        };
        let chain = material.roots.clone().map(build).transpose().map_err(|why| unusable(material, &why))?;
        Ok(asked.then_some(Self { chain, rules, required }))
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |c| c.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(leaf, intermediates, now)?;
        }
        self.rules.check(leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, host, is) in [
            ("a.test", "A.test", true),
            ("*.a.test", "x.a.test", true),
            ("*.a.test", "x.y.a.test", false),
            ("*.a.test", "a.test", false),
            ("*.test", "a.test", false),
            ("*", "a", false),
            ("*.a.test", ".a.test", false),
        ] {
            assert_eq!(is_host(pattern, host), is, "{pattern} {host}");
        }
    }

    #[test]
    fn sha256_is_the_known_one() {
        let sum: String = sha256(b"abc").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

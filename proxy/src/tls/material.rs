//! Certificates, keys and authorities out of files or settings: PEM in, what rustls wants out.

use super::TlsError;
use crate::config::model::tls::{Common, Identity, Parameters, Source, Version};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use std::hash::{Hash as _, Hasher as _};
use std::io::Read as _;
use std::sync::Arc;

/// Largest file read; a whole system's bundle of authorities is a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

/// OpenSSL's names of the modern cipher suites of TLS 1.2, which Envoy uses, and rustls' suites.
const SUITES: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", ring::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Everything that a context reads from outside.
#[derive(Debug, Clone)]
pub struct Material {
    /// Own certificates with their keys.
    pub identities: Vec<Arc<CertifiedKey>>,
    /// Trusted authorities, when there are any.
    pub roots: Option<Arc<RootCertStore>>,
    /// What they have revoked.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// Of all the texts: the same texts give the same.
    pub fingerprint: u64,
}

impl Material {
    /// Reads it all.
    ///
    /// # Errors
    /// The first source that cannot be used.
    pub fn read(common: &Common) -> Result<Self, TlsError> {
        let mut hasher = std::hash::DefaultHasher::new();
        let mut identities = Vec::new();
        for (nth, settings) in common.identities.iter().enumerate() {
            identities.push(identity(settings, nth, &mut hasher)?);
        }
        let roots = match &common.validation.trusted_ca {
            Some(source) => Some(roots(source, &mut hasher)?),
            None => None,
        };
        let crls = match &common.validation.crl {
            Some(source) => crls(source, &mut hasher)?,
            None => Vec::new(),
        };
        Ok(Self { identities, roots, crls, fingerprint: hasher.finish() })
    }
}

fn identity(settings: &Identity, nth: usize, hasher: &mut impl std::hash::Hasher) -> Result<Arc<CertifiedKey>, TlsError> {
    let field = |name: &str| format!("tls_certificates[{nth}].{name}");
    let wrong = |name: &'static str| move |why: String| TlsError::new(field(name), why);
    let chain = text(&settings.chain, hasher).map_err(wrong("certificate_chain"))?;
    let chain = certificates(&chain).map_err(wrong("certificate_chain"))?;
    let key = text(&settings.key, hasher).map_err(wrong("private_key"))?;
    let key = PrivateKeyDer::from_pem_slice(&key);
    let key = key
        .map_err(|why| TlsError::new(field("private_key"), format!("there is no private key in PEM (without a password) in it: {why}")))?;
    let found = CertifiedKey::from_der(chain, key, &ring::default_provider());
    let found = found.map_err(|why| TlsError::new(field("private_key"), format!("it is not the key of the certificate: {why}")))?;
    Ok(Arc::new(found))
}

/// The certificates of a chain or a bundle; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|why| format!("it is not PEM: {why}"))?;
    if found.is_empty() {
        return Err("there is no certificate in PEM in it".into());
    }
    Ok(found)
}

fn roots(source: &Source, hasher: &mut impl std::hash::Hasher) -> Result<Arc<RootCertStore>, TlsError> {
    let wrong = |why: String| TlsError::new("validation_context.trusted_ca", why);
    let pem = text(source, hasher).map_err(wrong)?;
    let mut store = RootCertStore::empty();
    for certificate in certificates(&pem).map_err(wrong)? {
        store.add(certificate).map_err(|why| wrong(format!("a certificate in it cannot be used: {why}")))?;
    }
    Ok(Arc::new(store))
}

fn crls(source: &Source, hasher: &mut impl std::hash::Hasher) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError::new("validation_context.crl", why);
    let pem = text(source, hasher).map_err(wrong)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|why| wrong(format!("it is not PEM: {why}")))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate revocation list in PEM in it".into()));
    }
    Ok(found)
}

/// What a source says, which also goes into the fingerprint.
fn text(source: &Source, hasher: &mut impl std::hash::Hasher) -> Result<Vec<u8>, String> {
    let found = read(source)?;
    found.hash(hasher);
    Ok(found)
}

/// What a source says.
///
/// # Errors
/// Why it cannot be read, for people.
pub fn read(source: &Source) -> Result<Vec<u8>, String> {
    match source {
        Source::Inline(bytes) => Ok(bytes.to_vec()),
        Source::Environment(name) => match std::env::var(name) {
            Ok(value) => Ok(value.into_bytes()),
            Err(_) => Err(format!("the environment variable {name} is not set")),
        },
        Source::File(path) => {
            let cannot = |why: std::io::Error| format!("cannot read {}: {why}", path.display());
            let mut found = Vec::new();
            std::fs::File::open(path).map_err(cannot)?.take(MAX_BYTES + 1).read_to_end(&mut found).map_err(cannot)?;
            if found.len() as u64 > MAX_BYTES {
                return Err(format!("{} is longer than {MAX_BYTES} bytes", path.display()));
            }
            Ok(found)
        }
    }
}

/// Whether a cipher suite of TLS 1.2 is one that is used here, by OpenSSL's name.
pub fn is_modern_suite(name: &str) -> bool {
    SUITES.iter().any(|(known, _)| *known == name)
}

/// OpenSSL's names of all suites of TLS 1.2 that are used here.
pub fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// OpenSSL's name of the suite, as Envoy's statistics have it; suites of TLS 1.3 have the same name everywhere.
pub fn suite_name(suite: SupportedCipherSuite) -> &'static str {
    let twelve = SUITES.iter().find(|(_, s)| s.suite() == suite.suite()).map(|(name, _)| *name);
    twelve.unwrap_or_else(|| match suite.suite() {
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        _ => "TLS_AES_128_GCM_SHA256",
    })
}

/// ring's algorithms within the bounds.
pub fn provider(parameters: &Parameters) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !parameters.suites.is_empty() {
        let chosen = parameters.suites.iter().filter_map(|name| SUITES.iter().find(|(known, _)| known == name)).map(|(_, suite)| *suite);
        let newer = ring::DEFAULT_CIPHER_SUITES.iter().filter(|s| s.tls13().is_some()).copied();
        provider.cipher_suites = newer.chain(chosen).collect();
    }
    if !parameters.groups.is_empty() {
        let group = |name: &String| match name.as_str() {
            "X25519" => Some(ring::kx_group::X25519),
            "P-256" => Some(ring::kx_group::SECP256R1),
            "P-384" => Some(ring::kx_group::SECP384R1),
            _ => None,
        };
        provider.kx_groups = parameters.groups.iter().filter_map(group).collect();
    }
    Arc::new(provider)
}

/// The versions within the bounds.
pub fn versions(parameters: &Parameters) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(Version::Tls12, &rustls::version::TLS12), (Version::Tls13, &rustls::version::TLS13)];
    all.into_iter().filter(|(v, _)| (parameters.oldest..=parameters.newest).contains(v)).map(|(_, v)| v).collect()
}

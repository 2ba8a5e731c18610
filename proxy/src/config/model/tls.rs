//! TLS settings of a filter chain or a cluster: where certificates and keys are, what is asked of the other side. Data only; `crate::tls` makes
//! something that can shake hands from it, again whenever a file changes.

use super::StringMatch;
use http::HeaderName;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a certificate or a key comes from (`DataSource`).
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, looked at again and again.
    File(PathBuf),
    /// The text itself.
    Inline(Arc<[u8]>),
    /// An environment variable's value.
    Environment(String),
}

impl std::fmt::Debug for Source {
    /// Never shows what may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(bytes) => write!(f, "<{} bytes inline>", bytes.len()),
            Self::Environment(name) => write!(f, "${name}"),
        }
    }
}

/// A certificate chain with its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Leaf first.
    pub chain: Source,
    /// PKCS#8, PKCS#1 or SEC 1.
    pub key: Source,
}

/// Versions of TLS; nothing older is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Bounds of what is negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Oldest version.
    pub oldest: Version,
    /// Newest version.
    pub newest: Version,
    /// Cipher suites of TLS 1.2 by their OpenSSL names; empty = all that are modern. (TLS 1.3 has its own, which cannot be chosen, as in Envoy.)
    pub suites: Vec<String>,
    /// Key exchange groups by their names (`X25519`, `P-256`, `P-384`); empty = all.
    pub groups: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { oldest: Version::Tls12, newest: Version::Tls13, suites: Vec::new(), groups: Vec::new() }
    }
}

/// What the other side's certificate has to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// Authorities of which one must have signed it; None = nobody is asked, as in Envoy.
    pub trusted_ca: Option<Source>,
    /// Lists of what authorities have revoked (`crl`); with it, every authority in a chain must have one that still holds.
    pub crl: Option<Source>,
    /// Only the last certificate of a chain is looked up in them (`only_verify_leaf_cert_crl`).
    pub crl_leaf_only: bool,
    /// One of these must be among its names; empty = any name.
    pub names: Vec<NameMatch>,
    /// SHA-256 of the certificate must be one of these; empty = any.
    pub certificate_hashes: Vec<[u8; 32]>,
    /// SHA-256 of its public key info must be one of these; empty = any.
    pub key_hashes: Vec<[u8; 32]>,
}

/// A subject alternative name to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameMatch {
    /// Kind of name.
    pub kind: NameKind,
    /// Its text.
    pub text: StringMatch,
}

/// Kinds of subject alternative names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A host name; `*.example.com` in the certificate stands for one label.
    Dns,
    /// A URI, such as a SPIFFE identity.
    Uri,
    /// A mail address.
    Email,
    /// An IP address in its usual form.
    Ip,
}

/// What both sides have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Common {
    /// Own certificates.
    pub identities: Vec<Identity>,
    /// What the other side has to show.
    pub validation: Validation,
    /// Application protocols, best first; empty = not negotiated.
    pub alpn: Vec<String>,
    /// Bounds.
    pub parameters: Parameters,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownstreamTls {
    /// Certificates and what clients have to show.
    pub common: Common,
    /// Clients without a certificate are refused.
    pub require_client_certificate: bool,
    /// Sessions may be resumed (default true).
    pub resumption: bool,
}

/// TLS towards endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Own certificate, if any, and what endpoints have to show.
    pub common: Common,
    /// Name to ask for; None = none.
    pub sni: Option<String>,
    /// The name to ask for is each request's own (`auto_sni`).
    pub auto_sni: Option<AutoSni>,
    /// The certificate must be for the name that is asked for (`auto_sni_san_validation`, `auto_san_validation`).
    pub names_must_fit: bool,
}

/// Where a request's name of its endpoint stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutoSni {
    /// In this header, when the request has it; else it is the host.
    pub header: Option<HeaderName>,
}

impl Common {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.identities.iter().flat_map(|i| [&i.chain, &i.key]);
        own.chain(&self.validation.trusted_ca).chain(&self.validation.crl).filter_map(|s| match s {
            Source::File(path) => Some(path),
            _ => None,
        })
    }
}

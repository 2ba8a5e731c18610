//! Which of a filter chain's certificates a client gets: the one for the name it asked for, of a kind that it can check; else the first that it can
//! check; else the first.

use super::verify::is_host;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// The certificates of a filter chain.
#[derive(Debug)]
pub struct Identities(Vec<Named>);

#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    hosts: Vec<String>,
}

impl Identities {
    /// These, in file order.
    pub fn new(keys: &[Arc<CertifiedKey>]) -> Self {
        Self(keys.iter().map(|key| Named { key: key.clone(), hosts: hosts(key) }).collect())
    }

    fn choose(&self, name: Option<&str>, can_check: impl Fn(&CertifiedKey) -> bool) -> Option<&Named> {
        let fitting = || self.0.iter().filter(|n| can_check(&n.key));
        let exact = |host: &str| fitting().find(|n| n.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)));
        let wild = |host: &str| fitting().find(|n| n.hosts.iter().any(|h| is_host(h, host)));
        let named = name.and_then(|host| exact(host).or_else(|| wild(host)));
        named.or_else(|| fitting().next()).or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |key| key.key.choose_scheme(schemes).is_some()).map(|n| n.key.clone())
    }
}

/// DNS names of a certificate, or its common name when it has none.
fn hosts(key: &CertifiedKey) -> Vec<String> {
    let Some((_, parsed)) = key.cert.first().and_then(|leaf| x509_parser::certificate::X509Certificate::from_der(leaf).ok()) else {
        return Vec::new();
    };
    let names = parsed.subject_alternative_name().ok().flatten().map(|s| &s.value.general_names);
    let dns: Vec<_> = names
        .into_iter()
        .flatten()
        .filter_map(|n| match n {
            GeneralName::DNSName(dns) => Some((*dns).to_owned()),
            _ => None,
        })
        .collect();
    if !dns.is_empty() {
        return dns;
    }
    let common = parsed.subject().iter_common_name().next().and_then(|n| n.as_str().ok());
    common.map(str::to_owned).into_iter().collect()
}

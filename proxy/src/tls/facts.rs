//! What people want to know of a certificate: for whom it is, and until when.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// A certificate in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Serial number in hex.
    pub serial: String,
    /// Names by kind: `dns`, `uri`, `email_address`, `ip_address`.
    pub names: Vec<(&'static str, String)>,
    /// Seconds since the Unix epoch from and until which it holds.
    pub valid: (i64, i64),
}

impl Facts {
    /// None when it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten().map(|s| &s.value.general_names);
        let valid = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let serial = parsed.raw_serial().iter().map(|b| format!("{b:02x}")).collect();
        Some(Self { serial, names: names.into_iter().flatten().filter_map(name).collect(), valid })
    }
}

fn name(name: &GeneralName<'_>) -> Option<(&'static str, String)> {
    match name {
        GeneralName::DNSName(text) => Some(("dns", (*text).to_owned())),
        GeneralName::URI(text) => Some(("uri", (*text).to_owned())),
        GeneralName::RFC822Name(text) => Some(("email_address", (*text).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            Some(("ip_address", ip.to_string()))
        }
        _ => None,
    }
}

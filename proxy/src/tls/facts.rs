//! What people want to know of a certificate: for whom it is, and until when.

use super::verify::sha256;
use crate::peer::Peer;
use rustls::pki_types::CertificateDer;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A certificate in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Serial number in hex.
    pub serial: String,
    /// Names by kind: `dns`, `uri`, `email_address`, `ip_address`.
    pub names: Vec<(&'static str, String)>,
    /// Seconds since the Unix epoch from and until which it holds.
    pub valid: (i64, i64),
    /// Whose it is, as RFC 2253 writes names.
    pub subject: String,
    /// Who signed it, in the same way.
    pub issuer: String,
}

impl Facts {
    /// None when it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten().map(|s| &s.value.general_names);
        let valid = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let serial = parsed.raw_serial().iter().map(|b| format!("{b:02x}")).collect();
        let names = names.into_iter().flatten().filter_map(name).collect();
        Some(Self { serial, names, valid, subject: distinguished(parsed.subject()), issuer: distinguished(parsed.issuer()) })
    }
}

/// A certificate as logs tell it.
pub fn peer(der: &[u8]) -> Peer {
    let fingerprint = sha256(der).iter().map(|b| format!("{b:02x}")).collect();
    let Some(facts) = Facts::of(&CertificateDer::from(der)) else { return Peer { fingerprint, ..Peer::default() } };
    let names = |kind: &str| facts.names.iter().filter(|n| n.0 == kind).map(|n| n.1.as_str()).collect::<Vec<_>>().join(",");
    let (uris, hosts, addresses) = (names("uri"), names("dns"), names("ip_address"));
    let valid = moment(facts.valid.0).zip(moment(facts.valid.1));
    Peer { fingerprint, uris, hosts, addresses, valid, serial: facts.serial, subject: facts.subject, issuer: facts.issuer }
}

fn moment(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(distance) } else { SystemTime::UNIX_EPOCH.checked_add(distance) }
}

/// A name as RFC 2253 writes it: the last part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name.iter().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(it: &AttributeTypeAndValue<'_>) -> String {
    let kind = oid2abbrev(it.attr_type(), oid_registry()).map_or_else(|_| it.attr_type().to_id_string(), str::to_owned);
    match it.as_str() {
        Ok(text) => format!("{kind}={}", escaped(text)),
        // Section 2.4: what is no text is shown in hex.
        Err(_) => it.as_slice().iter().fold(format!("{kind}=#"), |mut hex, b| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{b:02x}");
            hex
        }),
    }
}

/// RFC 2253, section 2.4.
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (nth, c) in text.chars().enumerate() {
        let special =
            matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') || nth == 0 && matches!(c, '#' | ' ') || nth == last && c == ' ';
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn names_are_written_the_last_part_first_and_escaped() {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in [(DnType::CountryName, "DE"), (DnType::OrganizationName, "One, Two + \"Three\""), (DnType::CommonName, " x ")]
        {
            params.distinguished_name.push(kind, value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = peer(certificate.der());
        assert_eq!(peer.subject, r#"CN=\ x\ ,O=One\, Two \+ \"Three\",C=DE"#);
        assert_eq!((peer.issuer, peer.hosts.as_str()), (peer.subject, "a.test"));
        let (from, until) = peer.valid.unwrap();
        assert!(from < until);
        assert_eq!(super::peer(b"no certificate").subject, "");
    }
}

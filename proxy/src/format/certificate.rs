//! The operators of certificates, `DOWNSTREAM_PEER_...` and `UPSTREAM_PEER_...`: what each finds in a record.

use super::record::Record;
use super::time::TimeFormat;
use super::value::{Value, some, text};
use crate::peer::Certificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::SystemTime;

/// Columns of PEM (RFC 7468, section 2).
const COLUMNS: usize = 64;

/// Whose certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client's.
    Client,
    /// The endpoint's.
    Endpoint,
}

/// What of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certified {
    /// `FINGERPRINT_256`
    Fingerprint,
    /// `SERIAL`
    Serial,
    /// `SUBJECT`
    Subject,
    /// `ISSUER`
    Issuer,
    /// `URI_SAN`
    Uris,
    /// `DNS_SAN`
    Hosts,
    /// `IP_SAN`
    Addresses,
    /// `CERT`: the whole in PEM, as it stands in a URL.
    Whole,
    /// `CERT_V_START`
    From(TimeFormat),
    /// `CERT_V_END`
    Until(TimeFormat),
}

/// Those without an argument, by the end of their names.
pub static KINDS: [(&str, Certified); 8] = [
    ("FINGERPRINT_256", Certified::Fingerprint),
    ("SERIAL", Certified::Serial),
    ("SUBJECT", Certified::Subject),
    ("ISSUER", Certified::Issuer),
    ("URI_SAN", Certified::Uris),
    ("DNS_SAN", Certified::Hosts),
    ("IP_SAN", Certified::Addresses),
    ("CERT", Certified::Whole),
];

impl Certified {
    /// Whether Envoy tells it of this end.
    pub fn is_told_of(&self, end: End) -> bool {
        end == End::Client || !matches!(self, Self::Fingerprint | Self::Serial)
    }

    /// What it finds.
    pub fn value<'a>(&'a self, end: End, record: &'a Record) -> Value<'a> {
        let Some(certificate) = certificate(end, record) else { return Value::Unknown };
        let peer = certificate.peer();
        match self {
            Self::Fingerprint => some(&peer.fingerprint),
            Self::Serial => some(&peer.serial),
            Self::Subject => some(&peer.subject),
            Self::Issuer => some(&peer.issuer),
            Self::Uris => some(&peer.uris),
            Self::Hosts => some(&peer.hosts),
            Self::Addresses => some(&peer.addresses),
            Self::Whole => text(pem_in_url(certificate.der())),
            Self::From(format) => time(peer.valid.map(|valid| valid.0), format),
            Self::Until(format) => time(peer.valid.map(|valid| valid.1), format),
        }
    }
}

fn certificate(end: End, record: &Record) -> Option<&Certificate> {
    match end {
        End::Client => record.client.certificate.as_ref(),
        End::Endpoint => record.connected.as_ref()?.certificate.as_ref(),
    }
}

fn time(moment: Option<SystemTime>, format: &TimeFormat) -> Value<'static> {
    moment.map_or(Value::Unknown, |moment| text(format.text(moment)))
}

/// PEM with the characters escaped that mean something in a URL.
fn pem_in_url(der: &[u8]) -> String {
    let mut out = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (nth, c) in STANDARD.encode(der).chars().enumerate() {
        if nth > 0 && nth % COLUMNS == 0 {
            out.push_str("%0A");
        }
        match c {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            c => out.push(c),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}

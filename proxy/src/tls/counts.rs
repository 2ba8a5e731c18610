//! What is counted of handshakes, by Envoy's names below `listener.<address>.` and `cluster.<name>.`.

use crate::stats::Reasons;
use rustls::{CertificateError, CommonState, Error, HandshakeKind, NamedGroup, ProtocolVersion, SupportedCipherSuite};

/// OpenSSL's names of the cipher suites, as counters.
const CIPHERS: [(&str, &str); 9] = [
    ("TLS_AES_128_GCM_SHA256", "ssl.ciphers.TLS_AES_128_GCM_SHA256"),
    ("TLS_AES_256_GCM_SHA384", "ssl.ciphers.TLS_AES_256_GCM_SHA384"),
    ("TLS_CHACHA20_POLY1305_SHA256", "ssl.ciphers.TLS_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "ssl.ciphers.ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "ssl.ciphers.ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "ssl.ciphers.ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "ssl.ciphers.ECDHE-RSA-AES128-GCM-SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "ssl.ciphers.ECDHE-RSA-AES256-GCM-SHA384"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "ssl.ciphers.ECDHE-RSA-CHACHA20-POLY1305"),
];

/// A version by its usual name.
pub fn version(of: Option<ProtocolVersion>) -> &'static str {
    if of == Some(ProtocolVersion::TLSv1_2) { "TLSv1.2" } else { "TLSv1.3" }
}

/// A handshake is over, and well. `without` says that the other side should have had a certificate but had none.
pub fn shaken(counts: &Reasons, tls: &CommonState, suite: Option<SupportedCipherSuite>, without: bool) {
    counts.add("ssl.handshake");
    if tls.handshake_kind() == Some(HandshakeKind::Resumed) {
        counts.add("ssl.session_reused");
    }
    if without {
        counts.add("ssl.no_certificate");
    }
    counts.add(if tls.protocol_version() == Some(ProtocolVersion::TLSv1_2) { "ssl.versions.TLSv1.2" } else { "ssl.versions.TLSv1.3" });
    let name = suite.map(super::material::suite_name);
    if let Some((_, counter)) = CIPHERS.iter().find(|(known, _)| Some(*known) == name) {
        counts.add(counter);
    }
    match tls.negotiated_key_exchange_group().map(|g| g.name()) {
        Some(NamedGroup::X25519) => counts.add("ssl.curves.X25519"),
        Some(NamedGroup::secp256r1) => counts.add("ssl.curves.P-256"),
        Some(NamedGroup::secp384r1) => counts.add("ssl.curves.P-384"),
        _ => {}
    }
}

/// A handshake failed; what it failed of, in words.
pub fn failed(counts: &Reasons, error: &std::io::Error) -> &'static str {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let (counter, words) = match of_tls {
        Some(Error::NoCertificatesPresented) => ("ssl.fail_verify_no_cert", "no certificate was presented"),
        Some(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
            ("ssl.fail_verify_san", "the certificate is for another name")
        }
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            ("ssl.fail_verify_cert_hash", "the certificate is not the one expected")
        }
        Some(Error::InvalidCertificate(_)) => ("ssl.fail_verify_error", "the certificate is not valid or not trusted"),
        _ => ("ssl.connection_error", "the handshake failed"),
    };
    counts.add(counter);
    words
}

//! The other side of a TLS connection by the certificate that it showed: a client, or an endpoint.
//!
//! Kept as it came, and put into words once something wants them: most connections are never asked.

use std::cell::OnceCell;
use std::time::SystemTime;

/// A certificate; verified, if its side of the proxy verifies.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    words: OnceCell<Peer>,
    read: fn(&[u8]) -> Peer,
}

impl Certificate {
    /// A certificate in DER; `read` puts it into words.
    pub fn new(der: &[u8], read: fn(&[u8]) -> Peer) -> Self {
        Self { der: der.to_vec(), words: OnceCell::new(), read }
    }

    /// In DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// In words.
    pub fn peer(&self) -> &Peer {
        self.words.get_or_init(|| (self.read)(&self.der))
    }
}

/// A certificate in words; empty where it says nothing, or cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 in hex.
    pub fingerprint: String,
    /// Serial number in hex.
    pub serial: String,
    /// Its URIs, with commas between.
    pub uris: String,
    /// Its host names, with commas between.
    pub hosts: String,
    /// Its IP addresses, with commas between.
    pub addresses: String,
    /// Whose it is, as RFC 2253 writes names.
    pub subject: String,
    /// Who signed it, in the same way.
    pub issuer: String,
    /// From and until when it holds.
    pub valid: Option<(SystemTime, SystemTime)>,
}

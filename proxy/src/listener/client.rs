//! Who is at the other end of a client connection: addresses and what the handshake said. Made once a connection, shared by its requests.

use std::cell::Cell;
use std::net::SocketAddr;

/// The client's end of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the client is, as the socket tells.
    pub remote: SocketAddr,
    /// Where it reached us; for a redirected connection, where it wanted to go.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The server name that the client asked for in its handshake (SNI).
    pub server_name: Option<String>,
    /// Whether ALPN settled on HTTP/2; None when it settled nothing.
    pub alpn_http2: Option<bool>,
    /// Version of TLS, as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
    /// Cipher suite, by OpenSSL's name.
    pub tls_cipher: Option<&'static str>,
    /// The client's certificate in DER; verified, if the listener verifies.
    pub certificate: Option<Vec<u8>>,
    /// The same in words.
    pub peer: Option<Box<Peer>>,
    /// Bodies of its requests that are on their way up.
    pub uploads: Cell<u32>,
}

/// A client's certificate in words.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// SHA-256 in hex.
    pub fingerprint: String,
    /// Serial number in hex.
    pub serial: String,
    /// Its URIs, with commas between.
    pub uris: String,
    /// Its host names, with commas between.
    pub hosts: String,
}

impl Client {
    /// A client of whom only addresses are known.
    pub fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote,
            local,
            tls: false,
            server_name: None,
            alpn_http2: None,
            tls_version: None,
            tls_cipher: None,
            certificate: None,
            peer: None,
            uploads: Cell::new(0),
        }
    }
}

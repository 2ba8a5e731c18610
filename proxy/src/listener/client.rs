//! Who is at the other end of a client connection: addresses and what the handshake said. Made once a connection, shared by its requests.

use crate::peer::Certificate;
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
    /// The certificate that the client showed.
    pub certificate: Option<Certificate>,
    /// Bodies of its requests that are on their way up.
    pub uploads: Cell<u32>,
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
            uploads: Cell::new(0),
        }
    }
}

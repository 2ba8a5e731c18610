//! Opens a connection to an endpoint: TCP, then TLS when the cluster has it, both within the connect timeout.
//!
//! One for each cluster and worker. The TLS context is replaced whenever its files change; connections that stand stay.

use crate::config::model::{Cluster, Protocol};
use crate::error::ProxyError;
use crate::listener::stream::Stream;
use crate::stats::ClusterStats;
use crate::tls::client::Client;
use crate::tls::counts;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How a cluster's endpoints are reached.
#[derive(Debug)]
pub struct Connector {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Its numbers.
    pub stats: Rc<ClusterStats>,
    tls: RefCell<Option<Arc<Client>>>,
}

/// What a request wants of its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// HTTP/2, where the cluster leaves it to requests.
    pub http2: bool,
    /// This name to be asked for in TLS, where the cluster leaves it to requests.
    pub name: Option<Rc<str>>,
}

/// A connection that was opened.
pub struct Opened {
    /// Its bytes.
    pub stream: Stream,
    /// Whether HTTP/2 is spoken on it.
    pub http2: bool,
}

impl Connector {
    /// For a cluster; its TLS context follows ([`Self::set_tls`]).
    pub fn new(cluster: Arc<Cluster>, stats: Rc<ClusterStats>) -> Self {
        Self { cluster, stats, tls: RefCell::default() }
    }

    /// The TLS context from now on.
    pub fn set_tls(&self, client: Option<Arc<Client>>) {
        self.tls.replace(client);
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When it cannot be established in time.
    pub async fn open(&self, address: SocketAddr, want: &Want) -> Result<Opened, ProxyError> {
        let begun = Instant::now();
        let opening = async {
            let stream = TcpStream::connect(address).await.map_err(|e| ProxyError::Connect(why(&e)))?;
            // Small requests are not to wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            if self.cluster.tls.is_some() { self.secure(stream, address, want).await } else { Ok(self.plain(stream, want)) }
        };
        let opened = tokio::time::timeout(self.cluster.connect_timeout, opening).await;
        let opened = opened.unwrap_or(Err(ProxyError::Connect("connection timeout")))?;
        self.stats.connect.borrow_mut().record_us(begun.elapsed().as_micros() as u64);
        Ok(opened)
    }

    fn plain(&self, stream: TcpStream, want: &Want) -> Opened {
        let protocol = self.cluster.protocol;
        Opened { stream: Stream::Plain(stream), http2: protocol == Protocol::Http2 || protocol == Protocol::Downstream && want.http2 }
    }

    async fn secure(&self, stream: TcpStream, address: SocketAddr, want: &Want) -> Result<Opened, ProxyError> {
        // Never in plain text instead.
        let Some(client) = self.tls.borrow().clone() else { return Err(ProxyError::Connect("TLS is not ready")) };
        let (config, name) = client.towards(address.ip(), want.name.as_deref());
        let asks = config.client_auth_cert_resolver.has_certs();
        let connector = TlsConnector::from(config);
        let connecting = match self.cluster.protocol {
            Protocol::Downstream => {
                let only = if want.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() };
                connector.with_alpn(vec![only]).connect(name, stream)
            }
            _ => connector.connect(name, stream),
        };
        match connecting.await {
            Ok(stream) => {
                let (_, tls) = stream.get_ref();
                counts::shaken(&self.stats.events, tls, tls.negotiated_cipher_suite(), !asks && tls.peer_certificates().is_none());
                let http2 = match self.cluster.protocol {
                    Protocol::Http1 => false,
                    Protocol::Http2 => true,
                    Protocol::Downstream => want.http2,
                    Protocol::Auto => tls.alpn_protocol() == Some(b"h2"),
                };
                Ok(Opened { stream: Stream::Tls(Box::new(stream.into())), http2 })
            }
            Err(error) => {
                let words = counts::failed(&self.stats.events, &error);
                tracing::debug!(cluster = self.cluster.name, %address, %error, "{words}");
                Err(ProxyError::Connect(reason(words)))
            }
        }
    }
}

/// Envoy's words around what went wrong with TLS.
fn reason(words: &'static str) -> &'static str {
    match words {
        "the handshake failed" => "remote connection failure, transport failure reason: TLS_error: the handshake failed",
        "the certificate is for another name" => {
            "remote connection failure, transport failure reason: TLS_error: the certificate is for another name"
        }
        _ => "remote connection failure, transport failure reason: TLS_error: CERTIFICATE_VERIFY_FAILED",
    }
}

fn why(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => "local connection failure, transport failure reason: no local port is free",
        _ => "remote connection failure",
    }
}

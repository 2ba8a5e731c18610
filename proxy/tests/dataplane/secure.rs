//! Certificates made here, and TLS clients and backends that use them.

use super::backend::Backend;
use super::client::{Client, PATIENCE};
use rcgen::{BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod};
use rcgen::{KeyPair, KeyUsagePurpose, RevokedCertParams, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority that signs.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For these host names and URIs.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(None, names)
    }

    /// The same with a serial number.
    pub fn issue_as(&self, serial: Option<u64>, names: &[&str]) -> Identity {
        let mut params = CertificateParams::default();
        let name = |n: &&str| match n.contains("://") {
            true => SanType::URI((*n).try_into().unwrap()),
            false => SanType::DnsName((*n).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = serial.map(Into::into);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list of revoked certificates, of this serial number, that holds until this year.
    pub fn revoke(&self, serial: u64, until: i32) -> String {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    }

    /// How a client that trusts this authority meets servers.
    pub fn client(&self, own: Option<&Identity>, alpn: &[&str]) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(self.roots());
        let mut config = match own {
            Some(own) => builder.with_client_auth_cert(own.chain(), own.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// How a server with this certificate meets clients; `clients` says that they need one of this authority, too.
    pub fn server(&self, own: &Identity, clients: bool, alpn: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            true => builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(self.roots(), provider).build().unwrap()),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(own.chain(), own.key()).unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Identity {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(format!("{name}.pem")), &self.chain).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), &self.key).unwrap();
    }
}

/// A TLS connection to the proxy.
pub async fn connect(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = async { TlsConnector::from(config.clone()).connect(name, TcpStream::connect(address).await?).await };
    tokio::time::timeout(PATIENCE, connecting).await.expect("a handshake in time")
}

/// The same, speaking what ALPN settled.
pub async fn client(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> Client {
    let stream = connect(config, address, name).await.expect("a handshake");
    let mut client =
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Client::h2_on(stream).await } else { Client::h1_on(stream).await };
    client.host = name.into();
    client
}

/// A backend that speaks TLS.
pub async fn backend(name: &'static str, config: Arc<ServerConfig>) -> Backend {
    Backend::start_tls(name, config).await
}

/// A DownstreamTlsContext in a filter chain; `more` stands in its common context.
pub fn downstream(files: &Path, name: &str, more: &str, outer: &str) -> String {
    let dir = files.display();
    format!(
        "      transport_socket:
        name: tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          {outer}
          common_tls_context:
            tls_certificates: [{{ certificate_chain: {{ filename: {dir}/{name}.pem }}, private_key: {{ filename: {dir}/{name}.key }} }}]
            {more}
"
    )
}

/// An UpstreamTlsContext in a cluster.
pub fn upstream(common: &str, outer: &str) -> String {
    format!(
        "    transport_socket:
      name: tls
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        {outer}
        common_tls_context: {{ {common} }}
"
    )
}

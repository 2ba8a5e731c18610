//! The webhook's server: TLS with a certificate that can change while serving.
//!
//! Promises: bounded (connections, bodies, time for a question); a connection that misbehaves hurts nobody else.

use super::review::{self, Verdict};
use super::surroundings::Surroundings;
use super::{certificates::Material, registration::PATH};
use crate::kubernetes::inject::Settings;
use crate::kubernetes::metrics::Metrics;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Most connections at once: API servers keep few.
const MOST_CONNECTIONS: usize = 256;
/// Largest question; a pod has at most 1.5 MB or so.
const MOST_BYTES: usize = 8 << 20;
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for a request's head.
const HEAD: Duration = Duration::from_secs(10);

/// The certificate in use.
#[derive(Debug, Clone, Default)]
pub struct Identity(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl Identity {
    /// Takes a new certificate into use.
    ///
    /// # Errors
    /// Why it cannot be used; the one before stays.
    pub fn set(&self, material: &Material) -> Result<(), String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(material.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(material.key.as_bytes()).map_err(|e| e.to_string())?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|e| e.to_string())?;
        let certified = CertifiedKey::new(chain.map_err(|e| e.to_string())?, key);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a question is answered from.
#[derive(Clone)]
pub struct Webhook {
    /// What is injected.
    pub settings: Arc<Settings>,
    /// What is known around pods.
    pub surroundings: Surroundings,
    /// Counted there.
    pub metrics: Arc<Metrics>,
}

/// Serves until the runtime ends.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(address: SocketAddr, identity: Identity, webhook: Webhook) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "webhook");
    let acceptor = TlsAcceptor::from(Arc::new(tls(identity)?));
    let router = Router::new().route(PATH, post(inject)).layer(DefaultBodyLimit::max(MOST_BYTES)).with_state(webhook);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let (socket, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await else { return };
            let mut server = Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
            // Errors of a connection are its client's to tell.
            let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
            drop(place);
        });
    }
}

fn tls(identity: Identity) -> std::io::Result<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(identity));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn inject(State(webhook): State<Webhook>, Json(question): Json<Value>) -> Json<Value> {
    let begun = Instant::now();
    let (answer, verdict) = review::answer(&question, &webhook.settings, |namespace, pod| webhook.surroundings.around(namespace, pod));
    webhook.metrics.reviewed(verdict.name(), begun.elapsed());
    if verdict != Verdict::Already {
        let request = &question["request"];
        let name = request["object"]["metadata"]["generateName"].as_str().or_else(|| request["name"].as_str()).unwrap_or("?");
        let warnings = answer["response"]["warnings"].as_array().map(|w| w.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "));
        tracing::info!(
            namespace = request["namespace"].as_str().unwrap_or("?"),
            pod = name,
            verdict = verdict.name(),
            warnings,
            "asked about a pod"
        );
    }
    Json(answer)
}

//! The way to another agent: HTTPS to the address and certificate that its Lease names, with our ServiceAccount token.
//!
//! Used by the reporter and when a workload is taken over. Promises: connections are kept and bounded; the token is read anew from its
//! file every minute, because the kubelet rotates it; every call has a deadline and a bound.

use super::pin::{self, PinError};
use super::wire::{Orders, Report};
use crate::http::HttpError;
use crate::kubernetes::lease::Contact;
use bytes::Bytes;
use foreshadow_brain::Sample;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for the answer to a report.
const REPORT: Duration = Duration::from_secs(2);
/// Longest wait for a workload's samples.
const SAMPLES: Duration = Duration::from_secs(10);
/// Largest answer: an hour of samples fits.
const MOST_BYTES: usize = 64 << 20;
/// The token's file is read again after this.
const TOKEN_FOR: Duration = Duration::from_secs(60);

/// Our own ServiceAccount token, read from its file.
#[derive(Debug, Clone)]
pub struct Token {
    path: Arc<PathBuf>,
    last: Arc<Mutex<Option<(Instant, String)>>>,
}

impl Token {
    /// The one in this file.
    pub fn new(path: &Path) -> Self {
        Self { path: Arc::new(path.to_owned()), last: Arc::default() }
    }

    /// The token now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<String, HttpError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = last.as_ref().filter(|(at, _)| at.elapsed() < TOKEN_FOR) {
            return Ok(token.clone());
        }
        let read = std::fs::read_to_string(self.path.as_path());
        let token = read.map_err(|e| HttpError::Transport(format!("{}: {e}", self.path.display())))?.trim().to_owned();
        *last = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

/// A connection to one agent.
#[derive(Debug, Clone)]
pub struct Peer {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    contact: Contact,
    token: Token,
}

impl Peer {
    /// To the agent at `contact`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(contact: Contact, token: Token) -> Result<Self, PinError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(REPORT));
        let connector = HttpsConnectorBuilder::new().with_tls_config(pin::client(&contact.certificate)?).https_only().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .build(connector.wrap_connector(tcp));
        Ok(Self { client, contact, token })
    }

    /// Where it leads.
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Reports, and brings back what is to be told to sidecars.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn report(&self, report: &Report) -> Result<Orders, HttpError> {
        let body = serde_json::to_vec(report).map_err(|e| HttpError::Malformed(e.to_string()))?;
        let answer = self.call(Method::POST, "/v1/report", Bytes::from(body), REPORT).await?;
        serde_json::from_slice(&answer).map_err(|e| HttpError::Malformed(e.to_string()))
    }

    /// Recorded samples of a workload that are newer than `since_ms`, oldest first. Lines that cannot be understood are left out.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn samples(&self, workload: &str, since_ms: u64) -> Result<Vec<Sample>, HttpError> {
        let path = format!("/v1/samples?workload={workload}&since_ms={since_ms}");
        let answer = self.call(Method::GET, &path, Bytes::new(), SAMPLES).await?;
        Ok(answer.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    async fn call(&self, method: Method, path: &str, body: Bytes, deadline: Duration) -> Result<Bytes, HttpError> {
        let malformed = |e: http::Error| HttpError::Malformed(e.to_string());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.contact.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.read()?))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(malformed)?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|e| HttpError::Transport(format!("{e:?}")))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            Ok::<_, HttpError>((status, body.map_err(|e| HttpError::Transport(e.to_string()))?.to_bytes()))
        };
        match tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(HttpError::Timeout(deadline)))? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => Err(HttpError::Status { status, text: String::from_utf8_lossy(&body).chars().take(200).collect() }),
        }
    }
}

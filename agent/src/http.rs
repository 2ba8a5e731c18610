//! A small HTTP/1.1 client: one request, one bounded answer, one deadline. Used for proxies, the orchestrator and a running agent.
//!
//! Promises: never waits longer than its deadline, never holds more of an answer than its limit. Not here: retries, redirects, TLS
//! (everything it talks to is on loopback or in the pod's network).

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// No whole answer before the deadline.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection could not be made or broke.
    #[error("{0}")]
    Transport(String),
    /// An answer larger than allowed.
    #[error("answer larger than {0} bytes")]
    TooLarge(usize),
    /// An answer that says no.
    #[error("status {status}: {text}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// Beginning of its body.
        text: String,
    },
    /// A request or an answer that cannot be understood.
    #[error("{0}")]
    Malformed(String),
}

/// The client; clones share connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .build(connector);
        Self { client }
    }
}

impl Http {
    /// Sends a request and reads the whole answer, of any status.
    pub async fn send(&self, request: Request<Full<Bytes>>, limit: usize, deadline: Duration) -> Result<(StatusCode, Bytes), HttpError> {
        tokio::time::timeout(deadline, self.exchange(request, limit)).await.unwrap_or(Err(HttpError::Timeout(deadline)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<(StatusCode, Bytes), HttpError> {
        let answer = self.client.request(request).await.map_err(|e| HttpError::Transport(whole_story(&e)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limit).collect().await.map_err(|e| {
            if e.is::<http_body_util::LengthLimitError>() { HttpError::TooLarge(limit) } else { HttpError::Transport(e.to_string()) }
        })?;
        Ok((status, body.to_bytes()))
    }

    /// The same, but an answer that is not 2xx is an error.
    pub async fn ok(&self, request: Request<Full<Bytes>>, limit: usize, deadline: Duration) -> Result<Bytes, HttpError> {
        let (status, body) = self.send(request, limit, deadline).await?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(HttpError::Status { status, text })
    }

    /// GET, as JSON.
    pub async fn get_json<T: serde::de::DeserializeOwned>(&self, url: &str, limit: usize, deadline: Duration) -> Result<T, HttpError> {
        let body = self.ok(request(Method::GET, url, Bytes::new())?, limit, deadline).await?;
        serde_json::from_slice(&body).map_err(|e| HttpError::Malformed(format!("{url} answered something else than expected: {e}")))
    }
}

/// A request without headers of its own.
pub fn request(method: Method, url: &str, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    Request::builder().method(method).uri(url).body(Full::new(body)).map_err(|e| HttpError::Malformed(format!("{url}: {e}")))
}

/// An error with its causes: the outermost one alone ("client error") says nothing.
fn whole_story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

//! A small JSON client for the agent and the orchestrator on loopback.
//!
//! Called by everything in the demo that talks to what it started. Promises: every call has a deadline and answers are bounded. Not here: the load
//! (the generator has its own connections).

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest a call may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Largest answer read, in bytes.
const LARGEST: usize = 32 << 20;

/// The client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Json {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for Json {
    fn default() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Json {
    /// Fetches and reads a document; the error says what went wrong, in words.
    pub async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let (status, body) = self.call(Method::GET, url, None, Bytes::new()).await?;
        read(url, status, &body)
    }

    /// Whether a request is answered with a success.
    pub async fn ready(&self, url: &str) -> bool {
        self.call(Method::GET, url, None, Bytes::new()).await.is_ok_and(|(status, _)| status.is_success())
    }

    /// Sends a document with a bearer token and reads the answer.
    pub async fn put<T: DeserializeOwned>(&self, url: &str, token: &str, body: &impl Serialize) -> Result<T, String> {
        let text = serde_json::to_vec(body).map_err(|e| e.to_string())?;
        let (status, body) = self.call(Method::PUT, url, Some(token), text.into()).await?;
        read(url, status, &body)
    }

    /// One call; the answer of any status.
    pub async fn call(&self, method: Method, url: &str, token: Option<&str>, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(url).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).map_err(|e| format!("{url}: {e}"))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|e| format!("{url}: {e}"))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|e| format!("{url}: {e}"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(format!("{url}: no answer within {} s", DEADLINE.as_secs())))
    }
}

fn read<T: DeserializeOwned>(url: &str, status: StatusCode, body: &[u8]) -> Result<T, String> {
    if !status.is_success() {
        return Err(format!("{url}: {status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])));
    }
    serde_json::from_slice(body).map_err(|e| format!("{url}: {e}"))
}

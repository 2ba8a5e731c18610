//! Client of the local orchestrator's API, as the agent uses it. Wire types: `local::api`.
//!
//! Called by `observe::source` (reading) and `act` (changing). Promises: every call has a deadline; none retries by itself, the next
//! tick asks again (every change is idempotent).

use crate::hands::Hands;
use crate::http::{Http, HttpError, request};
use crate::local::api::{Locator, SetFloor, SetShadow, Workload};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, header};
use std::time::Duration;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Largest answer.
const LIMIT: usize = 4 << 20;

/// A running orchestrator.
#[derive(Clone)]
pub struct Orchestrator {
    http: Http,
    locator: Locator,
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orchestrator").field("pid", &self.locator.pid).field("url", &self.locator.url).finish_non_exhaustive()
    }
}

impl Hands for Orchestrator {
    fn set_floor(&self, floor: SetFloor) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Orchestrator::set_floor(self, &floor).await.map_err(|e| e.to_string()) })
    }

    fn clear_floor(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Orchestrator::clear_floor(self).await.map_err(|e| e.to_string()) })
    }

    fn set_shadow(&self, profile: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Orchestrator::set_shadow(self, &profile).await.map_err(|e| e.to_string()) })
    }
}

impl Orchestrator {
    /// One that is found at `locator`.
    pub fn new(http: Http, locator: Locator) -> Self {
        Self { http, locator }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.locator.pid
    }

    /// The workload now.
    pub async fn workload(&self) -> Result<Workload, HttpError> {
        self.http.get_json(&format!("{}/v1/workload", self.locator.url), LIMIT, DEADLINE).await
    }

    /// Sets the floor, or renews it.
    pub async fn set_floor(&self, floor: &SetFloor) -> Result<(), HttpError> {
        self.change(Method::PUT, "/v1/floor", Some(floor)).await
    }

    /// Withdraws the floor.
    pub async fn clear_floor(&self) -> Result<(), HttpError> {
        self.change(Method::DELETE, "/v1/floor", None::<&()>).await
    }

    /// Creates the shadow, or changes its profile.
    pub async fn set_shadow(&self, profile: &str) -> Result<(), HttpError> {
        self.change(Method::PUT, "/v1/shadow", Some(&SetShadow { profile: profile.to_owned() })).await
    }

    /// Removes the shadow.
    pub async fn remove_shadow(&self) -> Result<(), HttpError> {
        self.change(Method::DELETE, "/v1/shadow", None::<&()>).await
    }

    /// Drains and ends everything it started, then itself.
    pub async fn shutdown(&self) -> Result<(), HttpError> {
        self.change(Method::POST, "/v1/shutdown", None::<&()>).await
    }

    async fn change<T: serde::Serialize>(&self, method: Method, path: &str, body: Option<&T>) -> Result<(), HttpError> {
        let body = match body {
            Some(b) => Bytes::from(serde_json::to_vec(b).map_err(|e| HttpError::Malformed(e.to_string()))?),
            None => Bytes::new(),
        };
        let mut request = request(method, &format!("{}{path}", self.locator.url), body)?;
        let bearer = format!("Bearer {}", self.locator.token);
        let mut bearer = header::HeaderValue::from_str(&bearer).map_err(|e| HttpError::Malformed(e.to_string()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        self.http.ok(request, LIMIT, DEADLINE).await.map(|_| ())
    }
}

//! Where reports arrive: the boards of the workloads that this agent holds, and the TLS server in front of them.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/report` | [`Report`] | [`Orders`] |
//! | `GET /v1/samples?workload=NAMESPACE/NAME&since_ms=0` | - | recorded samples, one JSON a line, oldest first |
//!
//! Promises: nobody is answered without a reviewed token (`tokens`); an agent reports only for the node that its token is bound to, where the
//! API server tells; bodies, connections and handshakes are bounded.

use super::board::Board;
use super::tokens::{Caller, Tokens, Turned};
use super::wire::{Orders, Report};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use foreshadow_brain::Sample;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest report: a hundred pods with full histograms fit several times over.
const MOST_BYTES: usize = 64 << 20;
/// Most samples in one answer: an hour.
const MOST_SAMPLES: usize = 3_600;

/// A way to the recorded samples of a workload: since when, at most how many, oldest first.
pub type Samples = Arc<dyn Fn(&str, u64, usize) -> BoxFuture<'static, Vec<Sample>> + Send + Sync>;

/// The boards of the workloads held here.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    boards: Arc<Mutex<BTreeMap<String, Arc<Mutex<Board>>>>>,
}

impl Desk {
    /// Opens the board of a workload that is now held here.
    pub fn open(&self, workload: &str) -> Arc<Mutex<Board>> {
        self.lock().entry(workload.to_owned()).or_default().clone()
    }

    /// Closes it.
    pub fn close(&self, workload: &str) {
        self.lock().remove(workload);
    }

    /// Takes a report in.
    pub fn report(&self, report: Report, now_ms: u64) -> Orders {
        let mut orders = Orders::default();
        for (workload, pods) in report.workloads {
            let Some(board) = self.lock().get(&workload).cloned() else {
                orders.not_held.push(workload);
                continue;
            };
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            orders.fractions.extend(board.report(&report.node, &report.agent, report.sequence, pods, now_ms));
        }
        orders
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Mutex<Board>>>> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server needs.
#[derive(Clone)]
pub struct Counter {
    /// The boards.
    pub desk: Desk,
    /// Lets callers in.
    pub tokens: Arc<Tokens>,
    /// Recorded samples.
    pub samples: Samples,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
}

/// The routes.
pub fn router(counter: Counter) -> Router {
    Router::new()
        .route("/v1/report", post(report))
        .route("/v1/samples", get(samples))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn_with_state(counter.clone(), admit))
        .with_state(counter)
}

async fn admit(State(counter): State<Counter>, mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let Some(token) = token else { return (StatusCode::UNAUTHORIZED, "a ServiceAccount token is needed\n").into_response() };
    match counter.tokens.caller(token).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(e @ Turned::Away(_)) => (StatusCode::FORBIDDEN, format!("{e}\n")).into_response(),
        Err(e @ Turned::Unknown(_)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

async fn report(State(counter): State<Counter>, Extension(caller): Extension<Caller>, Json(report): Json<Report>) -> Response {
    if let Some(node) = caller.node.filter(|node| *node != report.node) {
        let text = format!("the token is bound to node {node}: it may not report for {}\n", report.node);
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    Json(counter.desk.report(report, (counter.clock)())).into_response()
}

#[derive(serde::Deserialize)]
struct Wanted {
    workload: String,
    #[serde(default)]
    since_ms: u64,
}

async fn samples(State(counter): State<Counter>, Query(wanted): Query<Wanted>) -> Response {
    let samples = (counter.samples)(&wanted.workload, wanted.since_ms, MOST_SAMPLES).await;
    let lines: String = samples.iter().filter_map(|s| Some(serde_json::to_string(s).ok()? + "\n")).collect();
    ([(header::CONTENT_TYPE, "application/jsonl")], lines).into_response()
}

//! HTTP of the sample application: `/work`, `/healthz`, `/stats`, `/faults`.
//!
//! Called by `foreshadow-app` and by tests, with a bound listener. Promises: on the caller's signal no new connection is taken, requests
//! under way are finished, then it returns. Not here: the path of a request through the pool ([`crate::app::state`]).

use crate::app::class::Class;
use crate::app::faults::Faults;
use crate::app::settings::Settings;
use crate::app::state::{Instance, Refused};
use crate::app::watch::watch;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Request header that names the class when the query does not.
pub const CLASS_HEADER: &str = "x-request-class";

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As asked, everything finished.
    Finished,
    /// As asked, but requests were still under way when patience ended.
    CutOff,
    /// Out of memory.
    OutOfMemory,
}

#[derive(Clone)]
struct Shared {
    instance: Arc<Instance>,
    body: Bytes,
}

/// Serves until `stop` is ready, then finishes what is under way within `patience`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    settings: Settings,
    faults_file: Option<PathBuf>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
    patience: Duration,
) -> std::io::Result<Ended> {
    let body = Bytes::from("x".repeat(settings.answer_bytes));
    let instance = Arc::new(Instance::new(settings));
    let router = router(Shared { instance: instance.clone(), body });
    // Nagle's algorithm would hold back small answers.
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let ending = instance.clone();
    let signal = async move {
        stop.await;
        ending.end();
        let _ = stopping.send(());
    };
    let cut_off = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(patience).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(signal) => served.map(|()| Ended::Finished),
        () = watch(&instance, faults_file) => Ok(Ended::OutOfMemory),
        () = cut_off => Ok(Ended::CutOff),
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/work", any(work))
        .route("/healthz", get(healthz))
        .route("/stats", get(stats))
        .route("/faults", get(show_faults).post(set_faults).delete(clear_faults))
        .with_state(shared)
}

#[derive(Deserialize)]
struct Params {
    class: Option<String>,
}

async fn work(State(shared): State<Shared>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    let named = params.class.as_deref().or_else(|| headers.get(CLASS_HEADER)?.to_str().ok());
    let Some(class) = named.map_or(Some(Class::default()), Class::parse) else {
        return plain(StatusCode::BAD_REQUEST, "class: expected cheap, normal or costly\n");
    };
    match shared.instance.work(class).await {
        Ok(served) => {
            let ms = |d: Duration| d.as_secs_f64() * 1e3;
            let timing = format!("queue;dur={:.1}, hold;dur={:.1}", ms(served.queued), ms(served.held));
            let mut answer = shared.body.clone().into_response();
            if let Ok(timing) = HeaderValue::from_str(&timing) {
                answer.headers_mut().insert("server-timing", timing);
            }
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        }
        Err(Refused::NotReady) => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Err(Refused::QueueFull) => plain(StatusCode::SERVICE_UNAVAILABLE, "every worker is held and the queue is full\n"),
    }
}

async fn healthz(State(shared): State<Shared>) -> Response {
    match shared.instance.ready() {
        true => plain(StatusCode::OK, "ok\n"),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn stats(State(shared): State<Shared>) -> Response {
    axum::Json(shared.instance.stats()).into_response()
}

async fn show_faults(State(shared): State<Shared>) -> Response {
    axum::Json(shared.instance.faults().clone()).into_response()
}

async fn set_faults(State(shared): State<Shared>, body: Bytes) -> Response {
    match Faults::parse(&body) {
        Ok(faults) => {
            shared.instance.set_faults(faults);
            axum::Json(shared.instance.faults().clone()).into_response()
        }
        Err(e) => {
            shared.instance.refuse_faults();
            plain(StatusCode::BAD_REQUEST, format!("{e}\n"))
        }
    }
}

async fn clear_faults(State(shared): State<Shared>) -> Response {
    shared.instance.set_faults(Faults { release_leaked: true, ..Faults::default() });
    shared.instance.set_faults(Faults::default());
    StatusCode::NO_CONTENT.into_response()
}

fn plain(status: StatusCode, text: impl IntoResponse) -> Response {
    (status, text).into_response()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

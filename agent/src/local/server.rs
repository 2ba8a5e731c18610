//! The orchestrator's HTTP API (see `local::api` for the table): reads requests, checks the token, hands calls to the one loop that decides.
//!
//! Promises: what changes something needs the token, compared in constant time; every refusal is JSON with the reason and what would be right;
//! bodies are bounded. Not here: what a call does.

use super::api::{SetFloor, SetScale, SetShadow, Workload};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Largest body of a call.
const MAX_BODY: usize = 64 << 10;
/// Longest life of a floor between two renewals, in seconds.
const MAX_TTL_S: f64 = 86_400.0;
/// More replicas than any one machine carries: refused as a mistake.
const MAX_REPLICAS: u32 = 10_000;

/// What a caller wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The workload as it is.
    Nothing,
    /// The reactive scaler's number.
    Replicas(u32),
    /// A floor.
    Floor {
        /// Least replicas.
        replicas: u32,
        /// For how long.
        ttl: Duration,
        /// Why.
        reason: String,
    },
    /// No floor.
    NoFloor,
    /// A shadow of this profile.
    Shadow(String),
    /// No shadow.
    NoShadow,
    /// The end of everything.
    Shutdown,
}

/// A call and where its answer goes.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub wanted: Wanted,
    /// Takes the answer.
    pub answer: oneshot::Sender<Result<Workload, Refusal>>,
}

/// A call that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Status.
    pub status: StatusCode,
    /// What was wrong and what would be right.
    pub reason: String,
}

impl Refusal {
    /// One with this status.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self.reason }))).into_response()
    }
}

#[derive(Clone)]
struct Door {
    calls: mpsc::Sender<Call>,
    token: Arc<str>,
}

type Answer = Result<Json<Workload>, Refusal>;

/// The API's routes. Calls go to `calls`.
pub fn router(calls: mpsc::Sender<Call>, token: &str) -> Router {
    let door = Door { calls, token: token.into() };
    Router::new()
        .route("/v1/workload", get(workload))
        .route("/v1/scale", put(set_scale))
        .route("/v1/floor", put(set_floor).delete(drop_floor))
        .route("/v1/shadow", put(set_shadow).delete(drop_shadow))
        .route("/v1/shutdown", post(shutdown))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such call; see /v1/workload, scale, floor, shadow, shutdown"))
        .method_not_allowed_fallback(async |method: Method| {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} does nothing here; the allow header names what does"))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(door.clone(), authorize))
        .with_state(door)
}

async fn authorize(State(door): State<Door>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || given.is_some_and(|given| equal(given, door.token.as_bytes())) {
        return next.run(request).await;
    }
    let reason = "calls that change something need `authorization: Bearer TOKEN`; the token stands in orchestrator.json";
    Refusal::new(StatusCode::UNAUTHORIZED, reason).into_response()
}

/// Compares in a time that depends on the lengths only. The length of the token is no secret.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

impl Door {
    async fn ask(&self, wanted: Wanted) -> Answer {
        let gone = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the orchestrator is ending");
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { wanted, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map(Json)
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("{e}; expected a body like {example}")))
}

fn checked(replicas: u32) -> Result<u32, Refusal> {
    let reason = || Refusal::new(StatusCode::BAD_REQUEST, format!("replicas: {replicas} is more than {MAX_REPLICAS}"));
    if replicas <= MAX_REPLICAS { Ok(replicas) } else { Err(reason()) }
}

async fn workload(State(door): State<Door>) -> Answer {
    door.ask(Wanted::Nothing).await
}

async fn set_scale(State(door): State<Door>, body: Bytes) -> Answer {
    let scale: SetScale = read(&body, r#"{"replicas": 3}"#)?;
    door.ask(Wanted::Replicas(checked(scale.replicas)?)).await
}

async fn set_floor(State(door): State<Door>, body: Bytes) -> Answer {
    let floor: SetFloor = read(&body, r#"{"replicas": 3, "ttl_s": 30, "reason": "..."}"#)?;
    if !(floor.ttl_s > 0.0 && floor.ttl_s <= MAX_TTL_S) {
        let reason = format!("ttl_s: {} must be above 0 and at most {MAX_TTL_S}", floor.ttl_s);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    }
    let (replicas, ttl) = (checked(floor.replicas)?, Duration::from_secs_f64(floor.ttl_s));
    let reason = floor.reason.chars().take(1_000).collect();
    door.ask(Wanted::Floor { replicas, ttl, reason }).await
}

async fn drop_floor(State(door): State<Door>) -> Answer {
    door.ask(Wanted::NoFloor).await
}

async fn set_shadow(State(door): State<Door>, body: Bytes) -> Answer {
    let shadow: SetShadow = read(&body, r#"{"profile": "cpu-half"}"#)?;
    door.ask(Wanted::Shadow(shadow.profile)).await
}

async fn drop_shadow(State(door): State<Door>) -> Answer {
    door.ask(Wanted::NoShadow).await
}

async fn shutdown(State(door): State<Door>) -> Result<(StatusCode, Json<Workload>), Refusal> {
    Ok((StatusCode::ACCEPTED, door.ask(Wanted::Shutdown).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    /// Status, body, and what reached the loop.
    async fn call(method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String, Option<Wanted>) {
        let (calls, mut received) = mpsc::channel::<Call>(1);
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let respond = router(calls, "secret").oneshot(request.body(Body::from(body.to_owned())).unwrap());
        let decide = async {
            let call = received.recv().await?;
            call.answer.send(Ok(Workload::default())).unwrap();
            Some(call.wanted)
        };
        let (response, wanted) = tokio::join!(respond, decide);
        let response = response.unwrap();
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap(), wanted)
    }

    #[tokio::test]
    async fn every_call_reaches_the_loop_as_what_it_means() {
        let floor = Wanted::Floor { replicas: 4, ttl: Duration::from_millis(2_500), reason: "why".into() };
        for (method, path, body, status, wanted) in [
            ("GET", "/v1/workload", "", 200, Wanted::Nothing),
            ("PUT", "/v1/scale", r#"{"replicas":3}"#, 200, Wanted::Replicas(3)),
            ("PUT", "/v1/floor", r#"{"replicas":4,"ttl_s":2.5,"reason":"why"}"#, 200, floor),
            ("DELETE", "/v1/floor", "", 200, Wanted::NoFloor),
            ("PUT", "/v1/shadow", r#"{"profile":"same"}"#, 200, Wanted::Shadow("same".into())),
            ("DELETE", "/v1/shadow", "", 200, Wanted::NoShadow),
            ("POST", "/v1/shutdown", "", 202, Wanted::Shutdown),
        ] {
            let (got, _, reached) = call(method, path, Some("secret"), body).await;
            assert_eq!((got, reached), (status, Some(wanted)), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn changes_need_the_token_and_reading_does_not() {
        for token in [None, Some("secre"), Some("secret2"), Some("")] {
            for (method, path) in [("PUT", "/v1/scale"), ("DELETE", "/v1/floor"), ("POST", "/v1/shutdown"), ("PUT", "/v1/workload")] {
                let (status, text, reached) = call(method, path, token, r#"{"replicas":3}"#).await;
                assert_eq!((status, reached), (401, None), "{method} {path} {token:?}");
                assert!(text.contains("authorization: Bearer"), "{text}");
            }
        }
        assert_eq!(call("GET", "/v1/workload", None, "").await.0, 200);
    }

    #[tokio::test]
    async fn refusals_are_json_with_a_reason() {
        for (method, path, body, status, reason) in [
            ("PUT", "/v1/scale", "{", 400, "expected a body like"),
            ("PUT", "/v1/scale", r#"{"replicas":-1}"#, 400, "invalid value"),
            ("PUT", "/v1/scale", r#"{"replicas":3,"more":1}"#, 400, "unknown field `more`"),
            ("PUT", "/v1/scale", r#"{"replicas":10001}"#, 400, "is more than"),
            ("PUT", "/v1/floor", r#"{"replicas":3,"ttl_s":0,"reason":""}"#, 400, "ttl_s"),
            ("PUT", "/v1/floor", r#"{"replicas":3,"ttl_s":1e99,"reason":""}"#, 400, "ttl_s"),
            ("PUT", "/v1/shadow", "{}", 400, "profile"),
            ("POST", "/v1/scale", "{}", 405, "POST does nothing here"),
            ("GET", "/v2", "", 404, "no such call"),
        ] {
            let (got, text, reached) = call(method, path, Some("secret"), body).await;
            let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}"));
            assert_eq!((got, reached), (status, None), "{method} {path} {body}");
            assert!(json["error"].as_str().unwrap().contains(reason), "{text}");
        }
    }
}

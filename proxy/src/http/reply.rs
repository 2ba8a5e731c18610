//! Answers made here, in Envoy's form: a body only when there is something to say, and then as plain text.

use super::body::AnswerBody;
use crate::error::ProxyError;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// An answer with this body.
pub fn with(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let body = body.into();
    let text = (!body.is_empty()).then_some(HeaderValue::from_static("text/plain"));
    let mut answer = Response::new(AnswerBody::own(body));
    *answer.status_mut() = status;
    if let Some(text) = text {
        answer.headers_mut().insert(CONTENT_TYPE, text);
    }
    answer
}

/// The answer to a request that failed; `quiet` leaves Envoy's own headers out.
pub fn failed(error: ProxyError, quiet: bool) -> Response<AnswerBody> {
    let mut answer = with(error.status(), error.to_string());
    if error.ends_connection() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if error == ProxyError::Overflow && !quiet {
        answer.headers_mut().insert(OVERLOADED, HeaderValue::from_static("true"));
    }
    answer
}

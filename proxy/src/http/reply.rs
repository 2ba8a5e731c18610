//! Answers made here, in Envoy's form: a body only when there is something to say, and then as plain text.

use super::body::AnswerBody;
use crate::error::ProxyError;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
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

/// An answer made here as gRPC clients understand it: no body, the status in a header (a Trailers-Only response of gRPC over HTTP/2).
pub fn for_grpc(answer: Response<AnswerBody>, status: u32, message: &str) -> Response<AnswerBody> {
    let (mut head, _) = answer.into_parts();
    head.status = StatusCode::OK;
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(GRPC_STATUS, HeaderValue::from(status));
    if !message.is_empty()
        && let Ok(message) = HeaderValue::from_str(&percent_encoded(message))
    {
        head.headers.insert(GRPC_MESSAGE, message);
    }
    Response::from_parts(head, AnswerBody::own(Bytes::new()))
}

/// A message as gRPC writes it: printable ASCII but for the percent sign, the rest escaped.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_escaped() {
        assert_eq!(percent_encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
    }
}

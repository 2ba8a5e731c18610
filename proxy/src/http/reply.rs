//! Answers made here, in Envoy's form: a body only when there is something to say, and then as plain text.

use super::body::AnswerBody;
use super::headers;
use crate::access_log::Logged;
use crate::config::model::LocalReply;
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

/// Gives an answer made here the form that the connection manager wants: the first mapper that fits, then the format.
pub fn shape(config: &LocalReply, log: &mut Logged, answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let record = &mut log.record;
    record.status = answer.status().as_u16();
    let (mut head, body) = answer.into_parts();
    record.local_reply = body.text().map_or_else(String::new, |b| String::from_utf8_lossy(b).into_owned());
    let mapper = config.mappers.iter().find(|m| m.filter.passes(record));
    let mut changed = false;
    if let Some(mapper) = mapper {
        if let Some(text) = &mapper.body {
            record.local_reply.clone_from(text);
            changed = true;
        }
        if let Some(status) = mapper.status {
            head.status = status;
            record.status = status.as_u16();
        }
        headers::apply(&mapper.headers, &mut head.headers, Some(record));
    }
    let body = match mapper.and_then(|m| m.format.as_ref()).or(config.format.as_ref()) {
        Some(format) => {
            head.headers.insert(CONTENT_TYPE, format.content_type.clone());
            AnswerBody::own(format.format.text(record))
        }
        None if changed => {
            head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            AnswerBody::own(record.local_reply.clone())
        }
        None => body,
    };
    Response::from_parts(head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_escaped() {
        assert_eq!(percent_encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
    }
}

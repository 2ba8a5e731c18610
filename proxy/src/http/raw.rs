//! An answer as bytes of HTTP/1.1, for connections on which hyper has no request to answer.

use super::body::AnswerBody;
use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http_body_util::BodyExt as _;

/// The bytes of an answer that was made here and ends its connection.
pub async fn bytes(answer: Response<AnswerBody>) -> Bytes {
    let (head, body) = answer.into_parts();
    // Made here, so it neither fails nor waits.
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let reason = head.status.canonical_reason().unwrap_or("Unknown");
    let mut out = format!("HTTP/1.1 {} {reason}\r\n{CONTENT_LENGTH}: {}\r\n", head.status.as_u16(), body.len()).into_bytes();
    for (name, value) in &head.headers {
        if name != CONNECTION && name != CONTENT_LENGTH {
            out.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    let now = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now());
    let date = now.map(|now| format!("{DATE}: {now}\r\n")).unwrap_or_default();
    out.extend(format!("{date}{CONNECTION}: close\r\n\r\n").as_bytes());
    out.extend(&body);
    out.into()
}

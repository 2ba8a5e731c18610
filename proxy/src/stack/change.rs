//! Requests that ask for another protocol (RFC 9110, section 7.8), such as WebSocket: who may, what is sent, what becomes of the answer.
//!
//! Over HTTP/1.1 on both sides. Such a request has no timeout but the idle one, is not tried again, and is not copied: a copy would talk to itself.

use super::Way;
use super::notes::Notes;
use crate::config::model::{HttpManager, Protocol, RouteAction};
use crate::error::ProxyError;
use crate::http::body::AnswerBody;
use crate::state::State;
use crate::upstream::answer::UpstreamBody;
use crate::upstream::changed::Changed;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use std::time::Duration;

/// The protocol that a request asks for. An offer of HTTP/2 over HTTP/1.1 is passed over (RFC 9113, section 3.1).
pub fn wish(head: &Parts) -> Option<HeaderValue> {
    let wanted = if head.version == Version::HTTP_11 { head.headers.get(UPGRADE) } else { None };
    wanted.filter(|u| !u.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned()
}

/// Whether it may: by the route, else by the connection manager, else not.
///
/// # Errors
/// When it may not, or its cluster speaks HTTP/2.
pub fn allow(protocol: &HeaderValue, manager: &HttpManager, action: &RouteAction, state: &State) -> Result<(), ProxyError> {
    let name = protocol.to_str().unwrap_or_default();
    let route = match action {
        RouteAction::Forward(to) => to.upgrades.allows(name),
        _ => None,
    };
    let allowed = route.or_else(|| manager.connection.upgrades.allows(name)).unwrap_or(false);
    let over_h1 = match action {
        RouteAction::Forward(to) => to.clusters().all(|(cluster, _)| state.config.clusters[cluster].protocol == Protocol::Http1),
        _ => true,
    };
    if allowed && over_h1 { Ok(()) } else { Err(ProxyError::Upgrade) }
}

/// Asks the endpoint for it; the client's own words ended with its connection's headers.
pub fn ask(protocol: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The answer: 101 hands the connection over, any other is one like others.
///
/// # Errors
/// When there is no answer, or the connection broke.
pub async fn answered(
    way: Way<'_>,
    sent: Result<Response<UpstreamBody>, ProxyError>,
    idle: Option<Duration>,
    notes: &Notes,
) -> Result<Response<AnswerBody>, ProxyError> {
    let (mut head, body) = match sent {
        Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => answer.into_parts(),
        // It stays what it was, but not for long: who wanted another protocol has no more use for it.
        other => {
            let mut answer = way.answered(other, notes)?;
            answer.headers_mut().remove(super::SERVICE_TIME);
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(answer);
        }
    };
    let changed = Changed::of(body, idle).await?;
    let protocol = head.headers.remove(UPGRADE);
    crate::http::headers::strip_hop_by_hop(&mut head.headers);
    crate::http::headers::apply(way.answer_headers, &mut head.headers, notes.record());
    if let Some(protocol) = protocol {
        ask(protocol, &mut head.headers);
    }
    let mut answer = Response::new(AnswerBody::changed(changed));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = head.headers;
    Ok(answer)
}

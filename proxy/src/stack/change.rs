//! Requests that want their connection to become something else: another protocol, such as WebSocket (RFC 9110, section 7.8; over HTTP/2 RFC 8441), or
//! a tunnel (CONNECT). Who may, what is sent, what becomes of the answer.
//!
//! Each side has its own HTTP: a request for another protocol is `upgrade` over HTTP/1.1 and an extended CONNECT over HTTP/2, and a tunnel may end here,
//! with nothing but bytes towards the endpoint. Such a request has no timeout but the idle one, is not tried again, and is not copied: a copy would talk to itself.

use super::notes::Notes;
use super::{Way, classified};
use crate::config::model::{HttpManager, Protocol, RouteAction};
use crate::error::ProxyError;
use crate::http::body::AnswerBody;
use crate::http::headers;
use crate::state::State;
use crate::upstream::answer::UpstreamBody;
use crate::upstream::changed::Changed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri, Version};
use hyper::upgrade::OnUpgrade;
use std::time::Duration;

/// What a request wants its connection to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Another protocol.
    Protocol(HeaderValue),
    /// A tunnel.
    Tunnel,
}

/// What a request wants; one over HTTP/2 is from here on what it would be over HTTP/1.1. An offer of HTTP/2 over HTTP/1.1 is passed over (RFC 9113,
/// section 3.1).
pub fn wish(head: &mut Parts) -> Option<Wish> {
    if head.method == Method::CONNECT {
        let Some(protocol) = head.extensions.remove::<hyper::ext::Protocol>() else { return Some(Wish::Tunnel) };
        head.method = Method::GET;
        return HeaderValue::from_str(protocol.as_str()).ok().map(Wish::Protocol);
    }
    let wanted = if head.version == Version::HTTP_11 { head.headers.get(UPGRADE) } else { None };
    wanted.filter(|u| !u.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned().map(Wish::Protocol)
}

/// What a route makes of a wish.
#[derive(Debug)]
pub struct Change {
    wish: Wish,
    /// The client speaks HTTP/2.
    shared: bool,
    /// The tunnel ends here.
    ends: bool,
    /// CONNECT is what the endpoint is asked: any success is its consent.
    by_connect: bool,
    /// The client brought no key of WebSocket's, and waits for no proof.
    keyless: bool,
    /// Nothing may move for so long.
    pub idle: Option<Duration>,
}

/// Whether it may: by the route, else by the connection manager, else not.
///
/// # Errors
/// When it may not, or it is not known what its cluster speaks.
pub fn allow(wish: Wish, head: &Parts, manager: &HttpManager, action: &RouteAction, state: &State) -> Result<Change, ProxyError> {
    let name = match &wish {
        Wish::Protocol(protocol) => protocol.to_str().unwrap_or_default(),
        Wish::Tunnel => "connect",
    };
    let route = match action {
        RouteAction::Forward(to) => to.upgrades.allows(name),
        _ => None,
    };
    let ends = wish == Wish::Tunnel && matches!(action, RouteAction::Forward(to) if to.upgrades.ends_connect);
    let allowed = route.or_else(|| manager.connection.upgrades.allows(name)).unwrap_or(false);
    let known = match action {
        RouteAction::Forward(to) => ends || to.clusters().all(|(cluster, _)| state.config.clusters[cluster].protocol != Protocol::Auto),
        _ => true,
    };
    let shared = head.version == Version::HTTP_2;
    let change = Change { wish, shared, ends, by_connect: false, keyless: false, idle: None };
    if allowed && known { Ok(change) } else { Err(ProxyError::Upgrade) }
}

impl Change {
    /// Asks the endpoint, in the words of what is spoken to it; the client's own words ended with its connection's headers.
    pub fn ask(&mut self, head: &mut Parts, upstream: Protocol) {
        let http2 = upstream == Protocol::Http2 || upstream == Protocol::Downstream && self.shared;
        head.headers.remove(CONTENT_LENGTH);
        match &self.wish {
            Wish::Protocol(protocol) if http2 => {
                self.by_connect = true;
                head.method = Method::CONNECT;
                head.extensions.insert(hyper::ext::Protocol::from(protocol.to_str().unwrap_or_default()));
            }
            Wish::Protocol(protocol) => {
                self.keyless = protocol.as_bytes().eq_ignore_ascii_case(b"websocket") && !head.headers.contains_key(SEC_WEBSOCKET_KEY);
                if self.keyless
                    && let Ok(key) = HeaderValue::from_str(&STANDARD.encode(rand::random::<[u8; 16]>()))
                {
                    head.headers.insert(SEC_WEBSOCKET_KEY, key);
                }
                name(protocol.clone(), &mut head.headers);
            }
            Wish::Tunnel => {
                self.by_connect = true;
                let host = head.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
                if let (false, Ok(uri)) = (http2, Uri::builder().authority(host).build()) {
                    head.uri = uri;
                }
            }
        }
    }

    /// Whether the endpoint is asked by CONNECT.
    pub fn by_connect(&self) -> bool {
        self.by_connect
    }

    fn is_granted(&self, status: StatusCode) -> bool {
        if self.by_connect { status.is_success() } else { status == StatusCode::SWITCHING_PROTOCOLS }
    }
}

/// Names the protocol that a connection of HTTP/1.1 changes to.
fn name(protocol: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Sends it; what becomes of the answer.
///
/// # Errors
/// When there is no answer, or the connection broke.
pub async fn send(mut way: Way<'_>, change: Change, notes: &mut Notes) -> Result<Response<AnswerBody>, ProxyError> {
    if change.ends {
        let opened = way.upstream.open(&way.parcel, &way.errand).await;
        notes.opened(way.upstream, opened.as_ref().ok());
        return opened.map(|changed| granted(&way, Response::new(()).into_parts().0, changed, &change, notes));
    }
    let sent = way.upstream.send(&mut way.parcel, &way.errand).await;
    notes.sent(way.upstream, &sent);
    let sent = classified(sent, way.class.take());
    let (mut head, body) = match sent {
        Ok(answer) if change.is_granted(answer.status()) => answer.into_parts(),
        other => return refused(way, other, &change, notes),
    };
    let changed = Changed::of(body, head.extensions.remove::<OnUpgrade>(), change.idle).await?;
    Ok(granted(&way, head, changed, &change, notes))
}

/// An answer that changes nothing stays what it was, but not for long: who wanted another protocol has no more use for the connection.
fn refused(
    way: Way<'_>,
    sent: Result<Response<UpstreamBody>, ProxyError>,
    change: &Change,
    notes: &Notes,
) -> Result<Response<AnswerBody>, ProxyError> {
    let mut answer = way.answered(sent, notes)?;
    answer.headers_mut().remove(super::SERVICE_TIME);
    if !change.shared {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// The answer that hands the connection over.
fn granted(way: &Way<'_>, mut head: http::response::Parts, changed: Changed, change: &Change, notes: &Notes) -> Response<AnswerBody> {
    let told = head.headers.remove(UPGRADE);
    headers::strip_hop_by_hop(&mut head.headers);
    headers::apply(way.answer_headers, &mut head.headers, notes.record());
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        head.headers.remove(framing);
    }
    let mut answer = Response::new(AnswerBody::changed(changed));
    *answer.headers_mut() = head.headers;
    match &change.wish {
        Wish::Protocol(asked) if !change.shared => {
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            name(told.unwrap_or_else(|| asked.clone()), answer.headers_mut());
        }
        Wish::Protocol(_) => {
            if change.keyless {
                answer.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
        Wish::Tunnel => *answer.status_mut() = head.status,
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn what_a_request_wants() {
        let of = |request: Request<()>| {
            let mut head = request.into_parts().0;
            (wish(&mut head), head.method)
        };
        let asks = |version, protocol: &str| Request::get("/").version(version).header(UPGRADE, protocol).body(()).unwrap();
        let protocol = |name| Some(Wish::Protocol(HeaderValue::from_static(name)));
        assert_eq!(of(asks(Version::HTTP_11, "websocket")), (protocol("websocket"), Method::GET));
        assert_eq!(of(asks(Version::HTTP_11, "h2c")).0, None);
        assert_eq!(of(asks(Version::HTTP_2, "websocket")).0, None);
        let connect = || Request::connect("a.test:1").version(Version::HTTP_2);
        assert_eq!(of(connect().body(()).unwrap()), (Some(Wish::Tunnel), Method::CONNECT));
        let extended = connect().extension(hyper::ext::Protocol::from_static("websocket")).body(()).unwrap();
        assert_eq!(of(extended), (protocol("websocket"), Method::GET));
    }
}

//! One request to one endpoint: take or make a connection, send, wait for the head of the answer.
//!
//! A kept connection may close in the very moment it is used. A request that was not touched goes again on a new connection; so does, once, one
//! without a body whose method may be repeated (RFC 9110, section 9.2.2).

use super::connect::{Connector, Want};
use super::connection::{H1, begin_h1, put_back};
use super::endpoint::{EndpointState, Live};
use super::request::{Parcel, RequestBody};
use crate::config::model::Protocol;
use crate::error::ProxyError;
use crate::format::record::Connected;
use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use std::rc::Rc;

/// An answer and the connection it comes from.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response<Incoming>,
    /// Its connection, to be driven while the body is read; None for HTTP/2.
    pub connection: Option<H1>,
    /// What is known of that.
    pub connected: Rc<Connected>,
}

impl Answer {
    fn over(connection: H1, response: Response<Incoming>) -> Self {
        let connected = connection.connected.clone();
        Self { response, connection: Some(connection), connected }
    }
}

/// Sends on a kept or a new connection.
///
/// # Errors
/// When there is no connection or it breaks. The request is still in its place if it may go elsewhere.
pub async fn send(endpoint: &Rc<EndpointState>, connector: &Connector, parcel: &mut Parcel, http2: bool) -> Result<Answer, ProxyError> {
    let want = Want { http2, name: own_name(connector, parcel.as_ref()) };
    let shared = match connector.cluster.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => endpoint.speaks_http2(),
        Protocol::Downstream => http2,
    };
    if shared {
        return Box::pin(send_h2(endpoint, connector, parcel, &want)).await;
    }
    if let Some(mut kept) = endpoint.take_idle(want.name.as_deref()) {
        let mut spare = parcel.as_ref().and_then(spare);
        match kept.send(parcel).await {
            Ok(response) => return Ok(Answer::over(kept, response)),
            Err(ProxyError::Reset("protocol error")) => return Err(ProxyError::Reset("protocol error")),
            Err(why) if parcel.is_none() && spare.is_none() => return Err(why),
            // Closed in this very moment.
            Err(_) => *parcel = parcel.take().or(spare.take()),
        }
    }
    // Rare, and large: not to be part of every request's future.
    Box::pin(send_fresh(endpoint, connector, parcel, want)).await
}

/// The name that a request asks for, where that is left to requests: of a header, else its host, without a port.
fn own_name(connector: &Connector, request: Option<&Request<RequestBody>>) -> Option<Rc<str>> {
    let auto = connector.cluster.tls.as_ref()?.auto_sni.as_ref()?;
    let headers = request?.headers();
    let told = auto.header.as_ref().and_then(|name| headers.get(name)).or_else(|| headers.get(HOST))?;
    let authority = told.to_str().ok()?.parse::<Authority>().ok()?;
    Some(authority.host().trim_matches(['[', ']']).into())
}

async fn send_fresh(endpoint: &EndpointState, connector: &Connector, parcel: &mut Parcel, want: Want) -> Result<Answer, ProxyError> {
    let mut fresh = if connector.cluster.protocol == Protocol::Auto {
        match endpoint.live(connector, &want).await? {
            Live::H1(fresh) => *fresh,
            Live::H2(_) => return send_h2(endpoint, connector, parcel, &want).await,
        }
    } else {
        begin_h1(connector.open(endpoint.address, &want).await?.stream, connector.cluster.buffer_limit).await?
    };
    fresh.name = want.name;
    let response = fresh.send(parcel).await?;
    Ok(Answer::over(fresh, response))
}

/// The same request again, if it may be sent again.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let repeatable =
        matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE);
    if !(repeatable && matches!(request.body(), RequestBody::Empty)) {
        return None;
    }
    let mut spare = Request::new(RequestBody::Empty);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    Some(spare)
}

async fn send_h2(endpoint: &EndpointState, connector: &Connector, parcel: &mut Parcel, want: &Want) -> Result<Answer, ProxyError> {
    if let Some(request) = parcel {
        set_authority(request);
    }
    for _ in 0..2 {
        let mut handle = endpoint.h2(connector, want).await?;
        if handle.send.ready().await.is_err() {
            endpoint.drop_h2(want);
            continue;
        }
        let Some(request) = parcel.take() else { break };
        match handle.send.try_send_request(request).await {
            Ok(response) => return Ok(Answer { response, connection: None, connected: handle.connected }),
            Err(error) => {
                let why = put_back(error, parcel);
                if parcel.is_none() {
                    return Err(why);
                }
            }
        }
    }
    Err(ProxyError::Reset("connection termination"))
}

/// HTTP/2 carries the host in a pseudo header of its own, which hyper takes from the URI.
fn set_authority(request: &mut Request<RequestBody>) {
    if let Some(host) = request.headers_mut().remove(http::header::HOST) {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let authority = host.to_str().unwrap_or_default();
        let scheme = request.headers().get("x-forwarded-proto").filter(|p| *p == "https").map_or("http", |_| "https");
        if let Ok(uri) = http::Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build() {
            *request.uri_mut() = uri;
        }
    }
    *request.version_mut() = http::Version::HTTP_2;
}

//! What is known about one exchange: the material of access logs and of headers made from it.
//!
//! Opened when a request arrives, only where something will read it; filled in on the way; read at the end. Only headers that some template wants
//! are kept.

use super::Wanted;
use crate::listener::client::Client;
use crate::peer::Certificate;
use crate::runtime::Overrides;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version, request};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How gRPC ended.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A client's body on its way up, as far as a record looks at it.
pub trait Upload: std::fmt::Debug {
    /// Bytes so far.
    fn bytes(&self) -> u64;

    /// When it ended.
    fn ended_at(&self) -> Option<Instant>;
}

/// One exchange.
#[derive(Debug)]
pub struct Record {
    /// When the request arrived, by the calendar.
    pub started: SystemTime,
    /// The same, for durations.
    pub arrived: Instant,
    /// The client's connection.
    pub client: Rc<Client>,
    /// The client, as far as hops between are believed; None until that is known.
    pub address: Option<IpAddr>,
    /// Whether the request's head was read. If not, nothing is known of it.
    pub heard: bool,
    /// Method.
    pub method: Method,
    /// Path and query, as they go upstream.
    pub uri: Uri,
    /// Host.
    pub authority: Option<HeaderValue>,
    /// The client's protocol.
    pub protocol: Version,
    /// Wanted headers of the request.
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    /// Wanted headers of the answer.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Wanted trailers of the answer.
    pub trailers: Vec<(HeaderName, HeaderValue)>,
    /// Name of the route.
    pub route: String,
    /// Name of the cluster.
    pub cluster: String,
    /// The endpoint, when one was chosen.
    pub upstream: Option<SocketAddr>,
    /// Protocol towards the endpoint.
    pub upstream_protocol: Option<Version>,
    /// Times the request was sent.
    pub attempts: u32,
    /// The client's body on its way up.
    pub upload: Option<Rc<dyn Upload>>,
    /// Status of the answer; 0 when there was none.
    pub status: u16,
    /// Envoy's response flag; empty when there is none.
    pub flag: &'static str,
    /// Envoy's response code details.
    pub details: Cow<'static, str>,
    /// Body of an answer made here, before it was formatted.
    pub local_reply: String,
    /// From arrival to the head of the answer, when it came from upstream.
    pub first_byte: Option<Duration>,
    /// From arrival to the end.
    pub duration: Option<Duration>,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// One of the kubelet's probes.
    pub probe: bool,
    /// Run-time values in force when it arrived.
    pub runtime: Option<Arc<Overrides>>,
    /// What is known of the connection to the endpoint.
    pub connected: Option<Rc<Connected>>,
}

/// A connection to an endpoint.
#[derive(Debug)]
pub struct Connected {
    /// Its near end.
    pub local: Option<SocketAddr>,
    /// TLS version and cipher suite, when it has TLS.
    pub tls: Option<(&'static str, &'static str)>,
    /// The certificate that the endpoint showed.
    pub certificate: Option<Certificate>,
}

impl Record {
    /// Opens the record of a request, or of what did not become one: then there is no head.
    pub fn open(arrived: Instant, client: Rc<Client>, head: Option<&request::Parts>) -> Self {
        Self {
            started: SystemTime::now(),
            arrived,
            client,
            address: None,
            heard: head.is_some(),
            method: head.map(|h| h.method.clone()).unwrap_or_default(),
            uri: head.map(|h| h.uri.clone()).unwrap_or_default(),
            authority: None,
            protocol: head.map_or(Version::HTTP_11, |h| h.version),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            trailers: Vec::new(),
            route: String::new(),
            cluster: String::new(),
            upstream: None,
            upstream_protocol: None,
            attempts: 0,
            upload: None,
            status: 0,
            flag: "",
            details: Cow::Borrowed(""),
            local_reply: String::new(),
            first_byte: None,
            duration: None,
            bytes_sent: 0,
            probe: false,
            runtime: None,
            connected: None,
        }
    }

    /// Takes the wanted headers of the request as it is now.
    pub fn request(&mut self, head: &request::Parts, host: &HeaderValue, wanted: &Wanted) {
        self.uri = head.uri.clone();
        self.authority = Some(host.clone());
        self.request_headers = keep(&head.headers, &wanted.request);
    }

    /// Takes the wanted headers of the answer.
    pub fn response(&mut self, status: u16, headers: &HeaderMap, wanted: &Wanted) {
        self.status = status;
        self.response_headers = keep(headers, &wanted.response);
    }

    /// Takes the wanted trailers.
    pub fn trailers(&mut self, trailers: &HeaderMap, wanted: &Wanted) {
        self.trailers = keep(trailers, &wanted.trailers);
    }

    /// Body bytes from the client.
    pub fn bytes_received(&self) -> u64 {
        self.upload.as_ref().map_or(0, |u| u.bytes())
    }

    /// From arrival to the end of the request.
    pub fn request_duration(&self) -> Option<Duration> {
        match &self.upload {
            Some(upload) => upload.ended_at().map(|at| at.saturating_duration_since(self.arrived)),
            None => Some(Duration::ZERO),
        }
    }

    /// From arrival until now, or to the end when that has come.
    pub fn duration(&self) -> Duration {
        self.duration.unwrap_or_else(|| self.arrived.elapsed())
    }

    /// A header of the request, or what Envoy calls one; only if it was kept.
    pub fn request_text(&self, name: &str) -> Option<Cow<'_, str>> {
        if !self.heard {
            return None;
        }
        Some(match name {
            ":method" => self.method.as_str().into(),
            ":path" => self.uri.path_and_query().map_or("/", |p| p.as_str()).into(),
            ":authority" | "host" => String::from_utf8_lossy(self.authority.as_ref()?.as_bytes()),
            ":scheme" => self.scheme().into(),
            name => String::from_utf8_lossy(self.request_headers.iter().find(|h| h.0 == name)?.1.as_bytes()),
        })
    }

    /// gRPC's status: of the trailers, of the headers, or what stands for the HTTP status.
    pub fn grpc_status(&self) -> u32 {
        let told = kept(&self.trailers, &GRPC_STATUS).or_else(|| kept(&self.response_headers, &GRPC_STATUS));
        let told = told.and_then(|v| v.to_str().ok()?.parse().ok());
        told.unwrap_or(if self.status == 200 {
            2
        } else {
            crate::error::grpc_status(StatusCode::from_u16(self.status).unwrap_or_default())
        })
    }

    /// The scheme that the client used.
    pub fn scheme(&self) -> &'static str {
        if self.client.tls { "https" } else { "http" }
    }
}

/// A kept header.
pub fn kept<'a>(headers: &'a [(HeaderName, HeaderValue)], name: &HeaderName) -> Option<&'a HeaderValue> {
    headers.iter().find(|h| h.0 == *name).map(|h| &h.1)
}

fn keep(headers: &HeaderMap, wanted: &[HeaderName]) -> Vec<(HeaderName, HeaderValue)> {
    wanted.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

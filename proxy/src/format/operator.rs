//! The operators: what each finds in a record.

use super::Wanted;
use super::certificate::{self, Certified};
use super::record::{Record, kept};
use super::time::TimeFormat;
use super::value::{Value, some, text};
use http::Version;
use http::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

/// A header of the request, or something that Envoy calls one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:authority`
    Authority,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
    /// An ordinary header.
    Header(HeaderName),
}

/// Which part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Address and port.
    Both,
    /// The address.
    Address,
    /// The port.
    Port,
}

/// An operator with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// `START_TIME`
    StartTime(TimeFormat),
    /// `EMIT_TIME`
    EmitTime(TimeFormat),
    /// `REQ`, with an alternative.
    Request(Name, Option<Name>),
    /// `RESP`, with an alternative.
    Response(Name, Option<Name>),
    /// `TRAILER`, with an alternative.
    Trailer(Name, Option<Name>),
    /// `QUERY_PARAM`
    QueryParam(String),
    /// `ENVIRONMENT`, read when the configuration is.
    Environment(Option<String>),
    /// `HOSTNAME`, read when the configuration is.
    Hostname(String),
    /// `DOWNSTREAM_REMOTE_ADDRESS` and its parts.
    Remote(Part),
    /// `DOWNSTREAM_DIRECT_REMOTE_ADDRESS` and its parts.
    DirectRemote(Part),
    /// `DOWNSTREAM_LOCAL_ADDRESS` and its parts.
    Local(Part),
    /// `UPSTREAM_HOST`: the endpoint that was chosen.
    Upstream,
    /// `UPSTREAM_REMOTE_ADDRESS` and its parts: the endpoint that was connected to.
    UpstreamRemote(Part),
    /// `UPSTREAM_LOCAL_ADDRESS` and its parts.
    UpstreamLocal(Part),
    /// `DOWNSTREAM_PEER_...` and `UPSTREAM_PEER_...`
    Peer(certificate::End, Certified),
    /// An operator without arguments.
    Simple(Simple),
}

/// Operators without arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simple {
    /// `PROTOCOL`
    Protocol,
    /// `UPSTREAM_PROTOCOL`
    UpstreamProtocol,
    /// `RESPONSE_CODE`
    ResponseCode,
    /// `RESPONSE_CODE_DETAILS`
    ResponseCodeDetails,
    /// `RESPONSE_FLAGS`
    ResponseFlags,
    /// `RESPONSE_FLAGS_LONG`
    ResponseFlagsLong,
    /// `BYTES_RECEIVED`
    BytesReceived,
    /// `BYTES_SENT`
    BytesSent,
    /// `DURATION`
    Duration,
    /// `REQUEST_DURATION`
    RequestDuration,
    /// `RESPONSE_DURATION`
    ResponseDuration,
    /// `RESPONSE_TX_DURATION`
    ResponseTxDuration,
    /// `ROUTE_NAME`
    RouteName,
    /// `UPSTREAM_CLUSTER`, `UPSTREAM_CLUSTER_RAW`
    UpstreamCluster,
    /// `UPSTREAM_REQUEST_ATTEMPT_COUNT`
    Attempts,
    /// `UPSTREAM_TRANSPORT_FAILURE_REASON`
    TransportFailure,
    /// `CONNECTION_TERMINATION_DETAILS`
    ConnectionTermination,
    /// `REQUESTED_SERVER_NAME`
    RequestedServerName,
    /// `LOCAL_REPLY_BODY`
    LocalReplyBody,
    /// `ACCESS_LOG_TYPE`
    AccessLogType,
    /// `DOWNSTREAM_TLS_VERSION`
    TlsVersion,
    /// `DOWNSTREAM_TLS_CIPHER`
    TlsCipher,
    /// `UPSTREAM_TLS_VERSION`
    UpstreamTlsVersion,
    /// `UPSTREAM_TLS_CIPHER`
    UpstreamTlsCipher,
}

/// Names of operators without arguments.
pub const SIMPLE: [(&str, Simple); 25] = [
    ("PROTOCOL", Simple::Protocol),
    ("UPSTREAM_PROTOCOL", Simple::UpstreamProtocol),
    ("RESPONSE_CODE", Simple::ResponseCode),
    ("RESPONSE_CODE_DETAILS", Simple::ResponseCodeDetails),
    ("RESPONSE_FLAGS", Simple::ResponseFlags),
    ("RESPONSE_FLAGS_LONG", Simple::ResponseFlagsLong),
    ("BYTES_RECEIVED", Simple::BytesReceived),
    ("BYTES_SENT", Simple::BytesSent),
    ("DURATION", Simple::Duration),
    ("REQUEST_DURATION", Simple::RequestDuration),
    ("RESPONSE_DURATION", Simple::ResponseDuration),
    ("RESPONSE_TX_DURATION", Simple::ResponseTxDuration),
    ("ROUTE_NAME", Simple::RouteName),
    ("UPSTREAM_CLUSTER", Simple::UpstreamCluster),
    ("UPSTREAM_CLUSTER_RAW", Simple::UpstreamCluster),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", Simple::Attempts),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", Simple::TransportFailure),
    ("CONNECTION_TERMINATION_DETAILS", Simple::ConnectionTermination),
    ("REQUESTED_SERVER_NAME", Simple::RequestedServerName),
    ("LOCAL_REPLY_BODY", Simple::LocalReplyBody),
    ("ACCESS_LOG_TYPE", Simple::AccessLogType),
    ("DOWNSTREAM_TLS_VERSION", Simple::TlsVersion),
    ("DOWNSTREAM_TLS_CIPHER", Simple::TlsCipher),
    ("UPSTREAM_TLS_VERSION", Simple::UpstreamTlsVersion),
    ("UPSTREAM_TLS_CIPHER", Simple::UpstreamTlsCipher),
];

/// The flag of a connection that did not come to be.
const CONNECT_FAILED: &str = "UF";

/// Response flags with their long names.
pub const FLAGS: [(&str, &str); 27] = [
    ("DC", "DownstreamConnectionTermination"),
    ("LH", "FailedLocalHealthCheck"),
    ("UH", "NoHealthyUpstream"),
    ("UT", "UpstreamRequestTimeout"),
    ("LR", "LocalReset"),
    ("UR", "UpstreamRemoteReset"),
    ("UF", "UpstreamConnectionFailure"),
    ("UC", "UpstreamConnectionTermination"),
    ("UO", "UpstreamOverflow"),
    ("NR", "NoRouteFound"),
    ("DI", "DelayInjected"),
    ("FI", "FaultInjected"),
    ("RL", "RateLimited"),
    ("UAEX", "UnauthorizedExternalService"),
    ("RLSE", "RateLimitServiceError"),
    ("IH", "InvalidEnvoyRequestHeaders"),
    ("SI", "StreamIdleTimeout"),
    ("DPE", "DownstreamProtocolError"),
    ("UPE", "UpstreamProtocolError"),
    ("UMSDR", "UpstreamMaxStreamDurationReached"),
    ("RFCF", "ResponseFromCacheFilter"),
    ("NFCF", "NoFilterConfigFound"),
    ("DT", "DurationTimeout"),
    ("URX", "UpstreamRetryLimitExceeded"),
    ("NC", "NoClusterFound"),
    ("OM", "OverloadManagerTerminated"),
    ("DF", "DnsResolutionFailed"),
];

impl Operator {
    /// What it finds.
    pub fn value<'a>(&'a self, record: &'a Record) -> Value<'a> {
        match self {
            Self::StartTime(format) => text(format.text(record.started)),
            Self::EmitTime(format) => text(format.text(std::time::SystemTime::now())),
            Self::Request(first, second) => of(first, second.as_ref(), |name| request_header(record, name)),
            Self::Response(first, second) => of(first, second.as_ref(), |name| response_header(record, name)),
            Self::Trailer(first, second) => of(first, second.as_ref(), |name| match name {
                Name::Header(name) => kept(&record.trailers, name).map(shown),
                _ => None,
            }),
            Self::QueryParam(name) => query_param(record, name).map_or(Value::Unknown, text),
            Self::Environment(value) => value.as_deref().map_or(Value::Unknown, text),
            Self::Hostname(name) => text(name.as_str()),
            Self::Remote(part) => {
                let direct = record.client.remote;
                // The port of a client behind others is not known.
                let believed = record.address.filter(|a| *a != direct.ip()).map_or(direct, |a| SocketAddr::new(a, 0));
                address(Some(believed), *part)
            }
            Self::DirectRemote(part) => address(Some(record.client.remote), *part),
            Self::Local(part) => address(Some(record.client.local), *part),
            Self::Upstream => address(record.upstream, Part::Both),
            Self::UpstreamRemote(part) => address(record.upstream.filter(|_| record.flag != CONNECT_FAILED), *part),
            Self::UpstreamLocal(part) => address(record.connected.as_ref().and_then(|c| c.local), *part),
            Self::Peer(end, what) => what.value(*end, record),
            Self::Simple(simple) => simple.value(record),
        }
    }

    /// Notes the headers it needs.
    pub fn want(&self, wanted: &mut Wanted) {
        let (list, first, second) = match self {
            Self::Request(first, second) => (&mut wanted.request, first, second),
            Self::Response(first, second) => (&mut wanted.response, first, second),
            Self::Trailer(first, second) => (&mut wanted.trailers, first, second),
            _ => return,
        };
        for name in [Some(first), second.as_ref()].into_iter().flatten() {
            if let Name::Header(name) = name
                && !list.contains(name)
            {
                list.push(name.clone());
            }
        }
    }
}

impl Simple {
    fn value(self, record: &Record) -> Value<'_> {
        match self {
            Self::Protocol => text(protocol(record.protocol)),
            Self::UpstreamProtocol => record.upstream_protocol.map_or(Value::Unknown, |v| text(protocol(v))),
            Self::ResponseCode => Value::Number(record.status.into()),
            Self::ResponseCodeDetails => some(&record.details),
            Self::ResponseFlags => text(if record.flag.is_empty() { "-" } else { record.flag }),
            Self::ResponseFlagsLong => text(FLAGS.iter().find(|f| f.0 == record.flag).map_or("-", |f| f.1)),
            Self::BytesReceived => Value::Number(record.bytes_received()),
            Self::BytesSent => Value::Number(record.bytes_sent),
            Self::Duration => ms(record.duration()),
            Self::RequestDuration => record.request_duration().map_or(Value::Unknown, ms),
            Self::ResponseDuration => record.first_byte.map_or(Value::Unknown, ms),
            Self::ResponseTxDuration => record.first_byte.map_or(Value::Unknown, |first| ms(record.duration().saturating_sub(first))),
            Self::RouteName => some(&record.route),
            Self::UpstreamCluster => some(&record.cluster),
            Self::Attempts => Value::Number(record.attempts.into()),
            Self::TransportFailure => match record.flag {
                CONNECT_FAILED => record.details.split('|').nth(1).map_or(Value::Unknown, |why| text(why.trim_end_matches('}'))),
                _ => Value::Unknown,
            },
            // Nobody ends a connection for a reason that a request would tell.
            Self::ConnectionTermination => Value::Unknown,
            Self::RequestedServerName => record.client.server_name.as_deref().map_or(Value::Unknown, text),
            Self::LocalReplyBody => text(record.local_reply.as_str()),
            Self::AccessLogType => text("DownstreamEnd"),
            Self::TlsVersion => record.client.tls_version.map_or(Value::Unknown, text),
            Self::TlsCipher => record.client.tls_cipher.map_or(Value::Unknown, text),
            Self::UpstreamTlsVersion => upstream_tls(record).map_or(Value::Unknown, |tls| text(tls.0)),
            Self::UpstreamTlsCipher => upstream_tls(record).map_or(Value::Unknown, |tls| text(tls.1)),
        }
    }
}

fn upstream_tls(record: &Record) -> Option<(&'static str, &'static str)> {
    record.connected.as_ref()?.tls
}

fn ms(duration: Duration) -> Value<'static> {
    Value::Number(duration.as_millis() as u64)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_09 => "HTTP/0.9",
        _ => "HTTP/1.1",
    }
}

/// A header's bytes as text; what is not UTF-8 is shown as such.
fn shown(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn of<'a>(first: &'a Name, second: Option<&'a Name>, find: impl Fn(&'a Name) -> Option<Cow<'a, str>>) -> Value<'a> {
    find(first).or_else(|| second.and_then(find)).map_or(Value::Unknown, Value::Text)
}

fn request_header<'a>(record: &'a Record, name: &'a Name) -> Option<Cow<'a, str>> {
    match name {
        Name::Method | Name::Path | Name::Scheme if !record.heard => None,
        Name::Method => Some(record.method.as_str().into()),
        Name::Path => Some(record.uri.path_and_query().map_or("/", |p| p.as_str()).into()),
        Name::Authority => record.authority.as_ref().map(shown),
        Name::Scheme => Some(record.scheme().into()),
        Name::Status => None,
        Name::Header(name) => kept(&record.request_headers, name).map(shown),
    }
}

fn response_header<'a>(record: &'a Record, name: &'a Name) -> Option<Cow<'a, str>> {
    match name {
        Name::Status if record.status > 0 => Some(record.status.to_string().into()),
        Name::Header(name) => kept(&record.response_headers, name).map(shown),
        _ => None,
    }
}

fn query_param(record: &Record, name: &str) -> Option<String> {
    let pairs = record.uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
}

fn address(address: Option<SocketAddr>, part: Part) -> Value<'static> {
    match (address, part) {
        (None, _) => Value::Unknown,
        (Some(address), Part::Both) => text(address.to_string()),
        (Some(address), Part::Address) => text(address.ip().to_string()),
        (Some(address), Part::Port) => Value::Number(address.port().into()),
    }
}

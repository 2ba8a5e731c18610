//! What can go wrong on the way of a request, and the one table that turns it into a status. Wording follows Envoy's, which people search for.

use http::StatusCode;

/// Why a request was not answered by its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// No route matched.
    #[error("")]
    NoRoute,
    /// A header should name the cluster and does not; the route says with which status that is answered.
    #[error("")]
    NoCluster(StatusCode),
    /// The cluster has no endpoint in rotation.
    #[error("no healthy upstream")]
    NoHealthyUpstream,
    /// No connection could be made.
    #[error("upstream connect error or disconnect/reset before headers. reset reason: {0}")]
    Connect(&'static str),
    /// The connection broke before an answer.
    #[error("upstream connect error or disconnect/reset before headers. reset reason: {0}")]
    Reset(&'static str),
    /// No connection could be made, not for the last try either.
    #[error("upstream connect error or disconnect/reset before headers. retried and the latest reset reason: {0}")]
    ConnectAgain(&'static str),
    /// The connection broke before an answer, at the last try as well.
    #[error("upstream connect error or disconnect/reset before headers. retried and the latest reset reason: {0}")]
    ResetAgain(&'static str),
    /// The route's timeout passed.
    #[error("upstream request timeout")]
    Timeout,
    /// The time for one try passed.
    #[error("upstream request timeout")]
    PerTryTimeout,
    /// Nothing of one try moved for its idle timeout.
    #[error("upstream request timeout")]
    PerTryIdle,
    /// The time for the whole stream passed.
    #[error("downstream duration timeout")]
    StreamDuration,
    /// HTTP/2: the endpoint refused the stream before it did anything with it.
    #[error("upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset")]
    RefusedStream,
    /// Nothing moved for the stream's idle timeout.
    #[error("stream timeout")]
    StreamIdle,
    /// The request did not arrive whole in time, or its client stopped sending it.
    #[error("request timeout")]
    RequestTimeout,
    /// The request's head did not arrive in time.
    #[error("request header timeout")]
    HeadTimeout,
    /// What arrived is no request; how the codec answered it.
    #[error("")]
    Codec(StatusCode),
    /// A circuit breaker threshold is reached.
    #[error("upstream connect error or disconnect/reset before headers. reset reason: overflow")]
    Overflow,
    /// The request is not valid; what about it is told in the log only.
    #[error("")]
    Invalid(&'static str),
    /// The request asks for an upgrade that no route allows.
    #[error("")]
    Upgrade,
    /// No route takes this CONNECT.
    #[error("")]
    Connecting,
}

impl ProxyError {
    /// hyper's error in Envoy's words.
    pub fn reset(error: &hyper::Error) -> Self {
        let reset = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
        match reset.filter(|e| e.is_reset() && e.is_remote()).and_then(h2::Error::reason) {
            Some(h2::Reason::REFUSED_STREAM) => Self::RefusedStream,
            Some(_) => Self::Reset("remote reset"),
            None if error.is_parse() => Self::Reset("protocol error"),
            None => Self::Reset("connection termination"),
        }
    }

    /// The same after more than one try.
    #[must_use]
    pub fn again(self) -> Self {
        match self {
            Self::Connect(why) => Self::ConnectAgain(why),
            Self::Reset(why) => Self::ResetAgain(why),
            other => other,
        }
    }

    /// The status that a client sees.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute | Self::Connecting => StatusCode::NOT_FOUND,
            Self::NoCluster(status) => status,
            Self::NoHealthyUpstream | Self::Connect(_) | Self::ConnectAgain(_) | Self::Overflow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reset("protocol error") | Self::ResetAgain("protocol error") => StatusCode::BAD_GATEWAY,
            Self::Reset(_) | Self::ResetAgain(_) | Self::RefusedStream => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout | Self::PerTryTimeout | Self::PerTryIdle | Self::StreamDuration | Self::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout | Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Codec(status) => status,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Upgrade => StatusCode::FORBIDDEN,
        }
    }

    /// The name under which it is counted.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoCluster(_) => "no_cluster",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::Connect(_) | Self::ConnectAgain(_) => "connect",
            Self::Reset(_) | Self::ResetAgain(_) => "reset",
            Self::RefusedStream => "refused_stream",
            Self::Timeout => "timeout",
            Self::PerTryTimeout => "per_try_timeout",
            Self::PerTryIdle => "per_try_idle_timeout",
            Self::StreamDuration => "stream_duration",
            Self::StreamIdle => "idle",
            Self::RequestTimeout => "request_timeout",
            Self::HeadTimeout => "header_timeout",
            Self::Codec(_) => "protocol",
            Self::Overflow => "overflow",
            Self::Invalid(_) => "invalid",
            Self::Upgrade => "upgrade",
            Self::Connecting => "connect_method",
        }
    }

    /// The gRPC status that a gRPC client sees instead of [`Self::status`].
    pub fn grpc_status(self) -> u32 {
        if self == Self::StreamDuration { 4 } else { grpc_status(self.status()) }
    }

    /// Whether the client's connection ends with the answer: what follows on it cannot be trusted to be a request.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Upgrade | Self::Connecting | Self::HeadTimeout | Self::Codec(_))
    }

    /// Envoy's response flag; empty when there is none.
    pub fn flag(self) -> &'static str {
        match self {
            Self::NoRoute | Self::Connecting => "NR",
            Self::NoCluster(_) => "NC",
            Self::NoHealthyUpstream => "UH",
            Self::Connect(_) | Self::ConnectAgain(_) => "UF",
            Self::Reset("protocol error") | Self::ResetAgain("protocol error") => "UPE",
            Self::Reset(_) | Self::ResetAgain(_) => "UC",
            Self::RefusedStream => "UR",
            Self::Timeout | Self::PerTryTimeout | Self::PerTryIdle => "UT",
            Self::StreamDuration => "DT",
            Self::StreamIdle => "SI",
            Self::Overflow => "UO",
            Self::Codec(_) => "DPE",
            Self::RequestTimeout | Self::HeadTimeout | Self::Invalid(_) | Self::Upgrade => "",
        }
    }

    /// Envoy's response code details.
    pub fn details(self) -> std::borrow::Cow<'static, str> {
        let before_answer = |why: &str| format!("upstream_reset_before_response_started{{{}}}", why.replace(' ', "_")).into();
        match self {
            Self::NoRoute | Self::Connecting => "route_not_found".into(),
            Self::NoCluster(_) => "cluster_not_found".into(),
            Self::NoHealthyUpstream => "no_healthy_upstream".into(),
            Self::Connect(why) | Self::ConnectAgain(why) | Self::Reset(why) | Self::ResetAgain(why) => before_answer(why),
            Self::Overflow => before_answer("overflow"),
            Self::RefusedStream => before_answer("remote refused stream reset"),
            Self::Timeout => "response_timeout".into(),
            Self::PerTryTimeout => "upstream_per_try_timeout".into(),
            Self::PerTryIdle => "upstream_per_try_idle_timeout".into(),
            Self::StreamDuration => "max_duration_timeout".into(),
            Self::StreamIdle => "stream_idle_timeout".into(),
            Self::RequestTimeout => "request_overall_timeout".into(),
            Self::HeadTimeout => "request_header_timeout".into(),
            Self::Codec(_) => "http1.codec_error".into(),
            Self::Invalid(why) => why.replace(' ', "_").into(),
            Self::Upgrade => "upgrade_failed".into(),
        }
    }

    /// Whether the request never got as far as a cluster.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::NoRoute | Self::NoCluster(_) | Self::Invalid(_) | Self::Upgrade | Self::Connecting | Self::HeadTimeout | Self::Codec(_)
        )
    }
}

/// The gRPC status for an HTTP status (gRPC's own table, with 400 as internal).
pub fn grpc_status(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

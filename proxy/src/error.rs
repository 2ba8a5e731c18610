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
    /// The route's timeout passed.
    #[error("upstream request timeout")]
    Timeout,
    /// Nothing moved for the stream's idle timeout.
    #[error("stream timeout")]
    StreamIdle,
    /// The request did not arrive whole in time, or its client stopped sending it.
    #[error("request timeout")]
    RequestTimeout,
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
        if error.is_parse() { Self::Reset("protocol error") } else { Self::Reset("connection termination") }
    }

    /// The status that a client sees.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute | Self::Connecting => StatusCode::NOT_FOUND,
            Self::NoCluster(status) => status,
            Self::NoHealthyUpstream | Self::Connect(_) | Self::Overflow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reset("protocol error") => StatusCode::BAD_GATEWAY,
            Self::Reset(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout | Self::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
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
            Self::Connect(_) => "connect",
            Self::Reset(_) => "reset",
            Self::Timeout => "timeout",
            Self::StreamIdle => "idle",
            Self::RequestTimeout => "request_timeout",
            Self::Overflow => "overflow",
            Self::Invalid(_) => "invalid",
            Self::Upgrade => "upgrade",
            Self::Connecting => "connect_method",
        }
    }

    /// Whether the client's connection ends with the answer: what follows on it cannot be trusted to be a request.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Upgrade | Self::Connecting)
    }

    /// Envoy's response flag; empty when there is none.
    pub fn flag(self) -> &'static str {
        match self {
            Self::NoRoute | Self::Connecting => "NR",
            Self::NoCluster(_) => "NC",
            Self::NoHealthyUpstream => "UH",
            Self::Connect(_) => "UF",
            Self::Reset("protocol error") => "UPE",
            Self::Reset(_) => "UC",
            Self::Timeout => "UT",
            Self::StreamIdle => "SI",
            Self::Overflow => "UO",
            Self::RequestTimeout | Self::Invalid(_) | Self::Upgrade => "",
        }
    }

    /// Envoy's response code details.
    pub fn details(self) -> std::borrow::Cow<'static, str> {
        let before_answer = |why: &str| format!("upstream_reset_before_response_started{{{}}}", why.replace(' ', "_")).into();
        match self {
            Self::NoRoute | Self::Connecting => "route_not_found".into(),
            Self::NoCluster(_) => "cluster_not_found".into(),
            Self::NoHealthyUpstream => "no_healthy_upstream".into(),
            Self::Connect(why) | Self::Reset(why) => before_answer(why),
            Self::Overflow => before_answer("overflow"),
            Self::Timeout => "response_timeout".into(),
            Self::StreamIdle => "stream_idle_timeout".into(),
            Self::RequestTimeout => "request_overall_timeout".into(),
            Self::Invalid(why) => why.replace(' ', "_").into(),
            Self::Upgrade => "upgrade_failed".into(),
        }
    }

    /// Whether the request never got as far as a cluster.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::NoRoute | Self::NoCluster(_) | Self::Invalid(_) | Self::Upgrade | Self::Connecting)
    }
}

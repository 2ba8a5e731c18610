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
    /// The request is not valid.
    #[error("{0}")]
    Invalid(&'static str),
    /// The request asks for an upgrade that no route allows.
    #[error("upgrades are not served here")]
    Upgrade,
    /// The request's method is not served.
    #[error("CONNECT is not served here")]
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
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoCluster(status) => status,
            Self::NoHealthyUpstream | Self::Connect(_) | Self::Overflow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reset("protocol error") => StatusCode::BAD_GATEWAY,
            Self::Reset(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout | Self::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Upgrade => StatusCode::FORBIDDEN,
            Self::Connecting => StatusCode::NOT_IMPLEMENTED,
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

    /// Whether the request never got as far as a cluster.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::NoRoute | Self::NoCluster(_) | Self::Invalid(_) | Self::Upgrade | Self::Connecting)
    }
}

//! Route tables as they can be served. Part of [`super`], which re-exports it.

use super::{ClusterId, Domain, Domains, HeaderOps, MirrorPolicy, RetryPolicy, Upgrades};
use std::sync::Arc;
use std::time::Duration;

/// Virtual hosts of a listener.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    /// Name of the route configuration.
    pub name: String,
    /// Virtual hosts, in file order.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Their domains, by number.
    pub domains: Domains,
}

/// A virtual host.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Name.
    pub name: String,
    /// Domains: exact, `*.suffix`, `prefix.*`, `*`.
    pub domains: Vec<Domain>,
    /// Who is sent to `https` first.
    pub require_tls: RequireTls,
    /// Routes: the first match wins.
    pub routes: Vec<Arc<Route>>,
}

/// Which requests have to come over TLS; others are redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequireTls {
    /// None.
    #[default]
    None,
    /// Those from outside.
    ExternalOnly,
    /// All.
    All,
}

/// A route: what it matches, what it does.
#[derive(Debug, Clone)]
pub struct Route {
    /// Name, for statistics and logs; may be empty.
    pub name: String,
    /// Which requests take it.
    pub matching: RouteMatch,
    /// What to do.
    pub action: RouteAction,
    /// Added to or removed from the request before it goes upstream (route, virtual host and table level already merged, in Envoy's order).
    pub request_headers: HeaderOps,
    /// The same for the answer.
    pub response_headers: HeaderOps,
}

/// Which requests take a route: all that stands here must hold.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// Path, without its query.
    pub path: PathMatch,
    /// The path may be written in any letter case.
    pub ignore_case: bool,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// gRPC requests only, by their content type.
    pub grpc: bool,
    /// Only a part of the requests.
    pub fraction: Option<RuntimeFraction>,
}

/// A part of all requests, which a runtime key may change.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeFraction {
    /// 0 to 1, when no runtime value stands.
    pub default: f64,
    /// Runtime key.
    pub key: Option<String>,
}

/// Path matcher.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Path starts with this.
    Prefix(String),
    /// Path equals this.
    Exact(String),
    /// Path equals this or continues with `/`.
    SeparatedPrefix(String),
    /// Whole path matches.
    Regex(regex::Regex),
    /// The request is CONNECT.
    Connect,
}

/// Header matcher.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// Lower-case name; `:method`, `:path`, `:authority`, `:scheme` are the request line's.
    pub name: String,
    /// How its value must look.
    pub value: HeaderValueMatch,
    /// A missing header counts as an empty one.
    pub missing_is_empty: bool,
    /// Negate.
    pub invert: bool,
}

/// How a header's value must look.
#[derive(Debug, Clone)]
pub enum HeaderValueMatch {
    /// Present (true) or absent (false).
    Present(bool),
    /// A whole number from the first to below the second.
    Range(i64, i64),
    /// A text.
    Text(StringMatch),
}

impl HeaderMatch {
    /// Whether it holds for a header of which this is the value.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let missing = self.missing_is_empty.then_some("");
        let known = value.is_some() || self.missing_is_empty || matches!(self.value, HeaderValueMatch::Present(_));
        known && self.value.is_met(value.or(missing)) != self.invert
    }
}

impl HeaderValueMatch {
    /// Whether a value is as it must be.
    pub fn is_met(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Present(wanted), value) => value.is_some() == *wanted,
            (Self::Range(start, end), Some(v)) => v.trim().parse().is_ok_and(|n: i64| *start <= n && n < *end),
            (Self::Text(text), Some(v)) => text.is_match(v),
            (_, None) => false,
        }
    }
}

/// Query parameter matcher; looks at the first of that name, as written.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// Name.
    pub name: String,
    /// How its value must look; None = there must be one.
    pub value: Option<StringMatch>,
}

/// How a text must look. A match in any letter case is held as a regular expression.
#[derive(Debug, Clone)]
pub enum StringMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Ends with.
    Suffix(String),
    /// Contains.
    Contains(String),
    /// Whole text matches.
    Regex(regex::Regex),
}

impl StringMatch {
    /// Whether a text looks so.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Exact(whole) => text == whole,
            Self::Prefix(start) => text.starts_with(start.as_str()),
            Self::Suffix(end) => text.ends_with(end.as_str()),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// What a route does.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "boxing the common case would cost every request a step")]
pub enum RouteAction {
    /// Proxy.
    Forward(Forward),
    /// Answer at once.
    Direct {
        /// Status.
        status: http::StatusCode,
        /// Body.
        body: bytes::Bytes,
    },
    /// Send the client elsewhere.
    Redirect(Redirect),
}

/// Proxying.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Where to.
    pub to: Target,
    /// What becomes of the path.
    pub path_rewrite: Option<PathRewrite>,
    /// What becomes of the host.
    pub host_rewrite: Option<HostRewrite>,
    /// The host as it was goes into `x-forwarded-host` when it is rewritten.
    pub append_forwarded_host: bool,
    /// Whole-request timeout (default 15 s).
    pub timeout: Option<Duration>,
    /// Idle timeout of its streams, instead of the connection manager's; `Some(None)` = off.
    pub idle_timeout: Option<Option<Duration>>,
    /// How long a stream may take at most; takes the place of `timeout`.
    pub max_duration: Option<MaxDuration>,
    /// Protocols that requests may change to here, before what the connection manager says.
    pub upgrades: Upgrades,
    /// Retries.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Counts under the high priority's circuit breakers.
    pub high_priority: bool,
    /// What balancing by hash goes by.
    pub hash: Vec<HashPolicy>,
    /// Most bytes of a body kept for another try.
    pub retry_buffer: usize,
    /// Mirror policies in force here (the most specific non-empty list already chosen).
    pub mirrors: Vec<Arc<MirrorPolicy>>,
}

/// Something of a request that is hashed.
#[derive(Debug, Clone)]
pub struct HashPolicy {
    /// What.
    pub of: HashOf,
    /// When it is there, the policies after it do not count.
    pub terminal: bool,
}

/// What is hashed.
#[derive(Debug, Clone)]
pub enum HashOf {
    /// A header's values.
    Header(http::HeaderName),
    /// A cookie's value.
    Cookie {
        /// Its name.
        name: String,
        /// A client without it gets one for so long (zero: until it ends); None = it does not.
        ttl: Option<Duration>,
        /// Path of the cookie that it gets.
        path: String,
    },
    /// The client's address.
    SourceIp,
    /// The first query parameter of this name.
    Query(String),
}

/// Envoy's `max_stream_duration`. Durations of zero are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaxDuration {
    /// Of any stream; None = the connection manager's.
    pub duration: Option<Duration>,
    /// `grpc-timeout` in a request counts instead, up to this.
    pub grpc_header_max: Option<Duration>,
    /// So much earlier than `grpc-timeout` says.
    pub grpc_header_offset: Duration,
}

/// Where requests of a route go.
#[derive(Debug, Clone)]
pub enum Target {
    /// One cluster.
    One(ClusterId),
    /// One of several, by weight.
    Weighted(Vec<Weighted>),
    /// The cluster that a request header names.
    Header {
        /// The header.
        name: http::HeaderName,
        /// Answered when there is no such cluster (`cluster_not_found_response_code`).
        missing: http::StatusCode,
    },
}

/// One of several clusters.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// The route's header operations merged with its own, when it has any: request and answer.
    pub headers: Option<Box<(HeaderOps, HeaderOps)>>,
    /// Its host, instead of the route's.
    pub host_rewrite: Option<HostRewrite>,
}

impl Forward {
    /// The clusters known beforehand, with their weights.
    pub fn clusters(&self) -> impl Iterator<Item = (ClusterId, u32)> + '_ {
        let (one, several) = match &self.to {
            Target::One(cluster) => (Some((*cluster, 1)), &[][..]),
            Target::Weighted(several) => (None, several.as_slice()),
            Target::Header { .. } => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().map(|w| (w.cluster, w.weight)))
    }
}

/// What becomes of a path. Its query always stays.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// This instead of what matched: the prefix, or the whole path of the other matchers.
    Prefix(String),
    /// Every match of a pattern is replaced (in the notation of the `regex` crate).
    Regex(regex::Regex, String),
}

/// What becomes of a host.
#[derive(Debug, Clone)]
pub enum HostRewrite {
    /// This.
    Literal(http::HeaderValue),
    /// The value of a request header, when it has one.
    Header(http::HeaderName),
    /// The path without its query, every match of a pattern replaced.
    PathRegex(regex::Regex, String),
    /// The name of the endpoint that is chosen, when it has one.
    Auto,
}

/// Where a client is sent; what is None stays as in the request.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: http::StatusCode,
    /// Scheme.
    pub scheme: Option<String>,
    /// Host, without port.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Path.
    pub path: Option<RedirectPath>,
    /// Leave the query out.
    pub strip_query: bool,
}

/// The path of a redirect.
#[derive(Debug, Clone)]
pub enum RedirectPath {
    /// This one; with a query of its own, the request's is left out.
    Whole(String),
    /// The request's, rewritten.
    Rewritten(PathRewrite),
}

impl PartialEq for StringMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b))
            | (Self::Prefix(a), Self::Prefix(b))
            | (Self::Suffix(a), Self::Suffix(b))
            | (Self::Contains(a), Self::Contains(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for StringMatch {}

//! The HTTP connection manager's settings: what a listener does to every request before and after routing.

use super::{AccessLog, ConnectionOptions, LocalReply, RouteTable};
use crate::format::Wanted;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Protocols a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// HTTP/1.1 or HTTP/2 by preface.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// HTTP connection manager.
#[derive(Debug, Clone)]
pub struct HttpManager {
    /// Prefix of its statistics.
    pub stat_prefix: String,
    /// Protocols.
    pub codec: Codec,
    /// Its client connections.
    pub connection: ConnectionOptions,
    /// Routes.
    pub routes: RouteTable,
    /// Make an `x-request-id` when there is none (default true).
    pub generate_request_id: bool,
    /// Keep a client's `x-request-id` (default false: replaced at the edge, i.e. when `use_remote_address` is set).
    pub preserve_external_request_id: bool,
    /// Trust the peer address: append it to `x-forwarded-for` and treat the client as external when it is.
    pub use_remote_address: bool,
    /// Trusted hops in `x-forwarded-for`.
    pub xff_num_trusted_hops: u32,
    /// Tell the client its request's `x-request-id` with every answer.
    pub always_set_request_id_in_response: bool,
    /// Clients that count as internal when nobody stands between (default: none).
    pub internal_addresses: Vec<IpRange>,
    /// Leave `x-forwarded-for` as it is, even with `use_remote_address`.
    pub skip_xff_append: bool,
    /// `server` header of answers made here (default `envoy`'s counterpart: `foreshadow`).
    pub server_name: String,
    /// What becomes of an upstream's `server` header.
    pub server_header: ServerHeader,
    /// Added to `via` of requests and answers.
    pub via: Option<http::HeaderValue>,
    /// Who we are to upstreams (`add_user_agent`): the service cluster's name, told as `x-envoy-downstream-service-cluster`, and as `user-agent` when
    /// a request has none.
    pub add_user_agent: Option<http::HeaderValue>,
    /// Access logs.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// What answers made here look like.
    pub local_reply: Option<LocalReply>,
    /// What has to be kept of exchanges for logs, local replies and header values; None when nothing reads it.
    pub wanted: Option<Arc<Wanted>>,
    /// Leave out `x-envoy-*` headers on requests and answers (the router's `suppress_envoy_headers`).
    pub suppress_envoy_headers: bool,
    /// Resolve `.` and `..` in paths, and percent-encoding of unreserved characters (RFC 3986, section 6).
    pub normalize_path: bool,
    /// Take adjacent slashes in paths as one.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C` in paths.
    pub escaped_slashes: EscapedSlashes,
    /// Take the port off the host when it is the listener's.
    pub strip_matching_host_port: bool,
    /// Take any port off the host.
    pub strip_any_host_port: bool,
    /// Take the dot off a host's end.
    pub strip_trailing_host_dot: bool,
    /// Largest request head in KiB (default 60).
    pub max_request_headers_kb: u32,
    /// Most request headers (default 100).
    pub max_headers_count: u32,
    /// Idle keep-alive connections are closed after this (default 1 h).
    pub idle_timeout: Option<Duration>,
    /// A stream without progress is ended after this (default 5 min).
    pub stream_idle_timeout: Option<Duration>,
    /// The whole request must have arrived within this (default off).
    pub request_timeout: Option<Duration>,
    /// The request head must have arrived within this (default off).
    pub request_headers_timeout: Option<Duration>,
    /// Grace period of a drain (default 5 s).
    pub drain_timeout: Duration,
}

/// What becomes of an upstream's `server` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerHeader {
    /// It is replaced by ours.
    #[default]
    Overwrite,
    /// Ours stands in when there is none.
    AppendIfAbsent,
    /// It passes; none is added.
    PassThrough,
}

/// What becomes of escaped slashes in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    Keep,
    /// The request is refused.
    Reject,
    /// The client is sent to the path with plain slashes.
    Redirect,
    /// They become plain slashes.
    Forward,
}

/// A range of addresses: CIDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    /// An address in it.
    pub address: IpAddr,
    /// How many leading bits all its addresses share.
    pub prefix: u8,
}

impl IpRange {
    /// Whether an address is in the range. An IPv4 address that comes as IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix).min(32);
                shift == 32 || mine.to_bits() >> shift == other.to_bits() >> shift
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix).min(128);
                shift == 128 || mine.to_bits() >> shift == other.to_bits() >> shift
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_compare_leading_bits() {
        let range = |text: &str, prefix| IpRange { address: text.parse().unwrap(), prefix };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(range("10.0.0.0", 8).contains(ip("10.255.0.1")) && !range("10.0.0.0", 8).contains(ip("11.0.0.1")));
        assert!(range("0.0.0.0", 0).contains(ip("203.0.113.9")) && !range("0.0.0.0", 0).contains(ip("::1")));
        assert!(range("10.0.0.0", 8).contains(ip("::ffff:10.1.2.3")));
        assert!(range("fd00::", 8).contains(ip("fd12::1")) && !range("fd00::", 8).contains(ip("fe80::1")));
        assert!(range("192.0.2.7", 32).contains(ip("192.0.2.7")) && !range("192.0.2.7", 32).contains(ip("192.0.2.6")));
    }
}

//! Access logs and local replies: what is written about exchanges, and what answers made here look like.

use super::{HeaderMatch, HeaderOps, RuntimeFraction};
use crate::format::json::Node;
use crate::format::record::{GRPC_STATUS, Record};
use crate::format::{Template, Wanted};
use http::HeaderName;
use rand::RngExt as _;
use std::path::PathBuf;

/// One access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where lines go.
    pub target: LogTarget,
    /// What a line says.
    pub format: Format,
    /// Which exchanges are written; None = all.
    pub filter: Option<Filter>,
}

/// Where lines of a log go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; made when it is not there.
    File(PathBuf),
}

/// A text or JSON made for each exchange.
#[derive(Debug, Clone)]
pub enum Format {
    /// A text; with `true`, what is unknown leaves nothing instead of `-`.
    Text(Template, bool),
    /// JSON on one line; with `true`, what is unknown is left out instead of `null`.
    Json(Node, bool),
}

impl Format {
    /// What it says about an exchange.
    pub fn text(&self, record: &Record) -> String {
        match self {
            Self::Text(template, omit) => template.text(record, if *omit { "" } else { "-" }),
            Self::Json(node, omit) => format!("{}\n", node.value(record, *omit)),
        }
    }

    /// Notes the headers it needs.
    pub fn want(&self, wanted: &mut Wanted) {
        match self {
            Self::Text(template, _) => template.want(wanted),
            Self::Json(node, _) => node.want(wanted),
        }
    }
}

/// Which exchanges.
#[derive(Debug, Clone)]
pub enum Filter {
    /// By status.
    Status(Comparison),
    /// By duration in milliseconds.
    Duration(Comparison),
    /// Those with any of these response flags; with any flag at all when there are none.
    Flags(Vec<String>),
    /// All of these.
    All(Vec<Filter>),
    /// Any of these.
    Any(Vec<Filter>),
    /// Those that are not the kubelet's probes.
    NotHealthCheck,
    /// Those whose request has such a header.
    Header(HeaderMatch),
    /// Those with one of these gRPC statuses, or (`true`) with none of them.
    Grpc(Vec<u32>, bool),
    /// A part of them: by their request id, so that all proxies on the way choose the same ones, or (`true`) by chance.
    Sampled(RuntimeFraction, bool),
}

/// Chooses exchanges for [`Filter::Sampled`].
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Filter {
    /// Whether an exchange passes.
    pub fn passes(&self, record: &Record) -> bool {
        match self {
            Self::Status(compare) => compare.holds(record.status.into()),
            Self::Duration(compare) => compare.holds(record.duration().as_millis() as u64),
            Self::Flags(flags) if flags.is_empty() => !record.flag.is_empty(),
            Self::Flags(flags) => flags.iter().any(|f| f == record.flag),
            Self::All(filters) => filters.iter().all(|f| f.passes(record)),
            Self::Any(filters) => filters.iter().any(|f| f.passes(record)),
            Self::NotHealthCheck => !record.probe,
            Self::Header(matcher) => matcher.holds(record.request_text(&matcher.name).as_deref()),
            Self::Grpc(statuses, exclude) => statuses.contains(&record.grpc_status()) != *exclude,
            Self::Sampled(part, independent) => is_one_of(record, part, *independent),
        }
    }

    /// Notes the headers it needs.
    pub fn want(&self, wanted: &mut Wanted) {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().for_each(|f| f.want(wanted)),
            Self::Sampled(_, false) => wanted.request.push(REQUEST_ID),
            Self::Header(matcher) => wanted.request.extend(matcher.name.parse().ok()),
            Self::Grpc(..) => {
                wanted.response.push(GRPC_STATUS);
                wanted.trailers.push(GRPC_STATUS);
            }
            _ => {}
        }
    }
}

/// Whether an exchange belongs to a part of them. A request id begins with 32 random bits in hex; by Envoy's rule, their remainder is the draw.
fn is_one_of(record: &Record, part: &RuntimeFraction, independent: bool) -> bool {
    let set = part.key.as_ref().and_then(|key| record.runtime.as_ref()?.fraction(key));
    let share = set.map_or(part.default, |(share, _)| share);
    let id = if independent { None } else { record.request_text(REQUEST_ID.as_str()) };
    match id.and_then(|id| u32::from_str_radix(id.get(..8)?, 16).ok()) {
        Some(bits) => f64::from(bits % denominator(share)) < (share * f64::from(denominator(share))).round(),
        None => rand::rng().random_range(0.0..1.0) < share,
    }
}

/// The smallest of a `FractionalPercent`'s denominators in which a share is a whole number.
fn denominator(share: f64) -> u32 {
    let whole = |n: &u32| (share * f64::from(*n) - (share * f64::from(*n)).round()).abs() < 1e-6;
    [100, 10_000, 1_000_000].into_iter().find(whole).unwrap_or(1_000_000)
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// How.
    pub by: By,
    /// With what.
    pub value: u64,
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Equal.
    Equal,
    /// At least.
    AtLeast,
    /// At most.
    AtMost,
    /// Different.
    Different,
}

impl Comparison {
    fn holds(self, number: u64) -> bool {
        match self.by {
            By::Equal => number == self.value,
            By::AtLeast => number >= self.value,
            By::AtMost => number <= self.value,
            By::Different => number != self.value,
        }
    }
}

/// What answers made here look like: `local_reply_config`.
#[derive(Debug, Clone, Default)]
pub struct LocalReply {
    /// The first that fits changes the answer.
    pub mappers: Vec<Mapper>,
    /// The body of answers that no mapper gave another format.
    pub format: Option<ReplyFormat>,
}

/// Changes of answers made here.
#[derive(Debug, Clone)]
pub struct Mapper {
    /// Which answers.
    pub filter: Filter,
    /// Another status.
    pub status: Option<http::StatusCode>,
    /// Another body, before formatting.
    pub body: Option<String>,
    /// Headers.
    pub headers: HeaderOps,
    /// Another format.
    pub format: Option<ReplyFormat>,
}

/// Body of an answer made here.
#[derive(Debug, Clone)]
pub struct ReplyFormat {
    /// What it says.
    pub format: Format,
    /// Its content type.
    pub content_type: http::HeaderValue,
}

#[cfg(test)]
mod tests {
    use super::denominator;

    #[test]
    fn shares_are_drawn_in_the_denominator_that_they_need() {
        let shares = [0.0, 0.5, 0.29, 1.0, 0.0012, 0.9999, 0.000_005, 0.333_333_333];
        assert_eq!(shares.map(denominator), [100, 100, 100, 100, 10_000, 10_000, 1_000_000, 1_000_000]);
    }
}

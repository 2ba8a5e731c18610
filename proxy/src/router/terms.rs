//! The terms on which a request is forwarded: its timeouts and retries, as the route has them and as `x-envoy-*` and `grpc-timeout` headers change
//! them. Envoy's rules; the connection manager has taken `x-envoy-*` from those who may not change anything.

use super::matching::is_grpc;
use crate::config::model::{Forward, HeaderMatch, RetryOn, RetryPolicy};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static NO_POLICY: LazyLock<Arc<RetryPolicy>> = LazyLock::new(|| Arc::new(RetryPolicy::none()));

const RETRY_ON: HeaderName = HeaderName::from_static("x-envoy-retry-on");
const RETRY_GRPC_ON: HeaderName = HeaderName::from_static("x-envoy-retry-grpc-on");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-envoy-max-retries");
const STATUS_CODES: HeaderName = HeaderName::from_static("x-envoy-retriable-status-codes");
const HEADER_NAMES: HeaderName = HeaderName::from_static("x-envoy-retriable-header-names");
const TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");
const PER_TRY: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static OURS: [HeaderName; 7] = [RETRY_ON, RETRY_GRPC_ON, MAX_RETRIES, STATUS_CODES, HEADER_NAMES, TIMEOUT, PER_TRY];

/// Terms of one request.
#[derive(Debug)]
pub struct Terms {
    /// From the end of the request to the end of the answer.
    pub timeout: Option<Duration>,
    /// Of one try.
    pub per_try: Option<Duration>,
    /// Of one try, in which nothing moves.
    pub per_try_idle: Option<Duration>,
    /// Of the stream, from its arrival.
    pub longest: Option<Duration>,
    /// Retries, when there may be any.
    pub retry: Option<Box<Retry>>,
}

/// What of a request may be tried again.
#[derive(Debug)]
pub struct Retry {
    /// The route's policy.
    pub policy: Arc<RetryPolicy>,
    /// Conditions.
    pub on: RetryOn,
    /// Tries left.
    pub left: u32,
    /// Statuses named by the request, too.
    pub statuses: Vec<u16>,
    /// Headers of the answer named by the request, too.
    pub headers: Vec<HeaderName>,
    /// Most bytes of the body that are kept.
    pub buffer: usize,
}

impl Terms {
    /// None at all, for what has no end: a connection that changes its protocol.
    pub const fn without_end() -> Self {
        Self { timeout: None, per_try: None, per_try_idle: None, longest: None, retry: None }
    }

    /// Reads and removes the headers by which a request from inside (`internal`) changes the route's terms.
    pub fn new(to: &Forward, head: &mut Parts, internal: bool) -> Self {
        let policy = to.retry.as_ref();
        let mut it = Self {
            timeout: if to.max_duration.is_some() { None } else { to.timeout },
            per_try: policy.and_then(|p| p.per_try_timeout),
            per_try_idle: policy.and_then(|p| p.per_try_idle_timeout),
            longest: to.max_duration.and_then(|m| m.duration),
            retry: None,
        };
        let (mut asked, mut named) = (Asked::default(), false);
        if internal {
            asked = Asked::read(&head.headers);
            named = asked.on != RetryOn::NOTHING;
            it.timeout = asked.timeout.map_or(it.timeout, |t| Some(t).filter(|t| !t.is_zero()));
            it.per_try = asked.per_try.map_or(it.per_try, |t| Some(t).filter(|t| !t.is_zero()));
            OURS.iter().for_each(|name| drop(head.headers.remove(name)));
        }
        if to.max_duration.is_some_and(|m| m.grpc_header_max.is_some()) {
            it.take_grpc_timeout(to, head);
        }
        it.longest = it.longest.filter(|t| !t.is_zero());
        // A try as long as everything is no bound of its own.
        it.per_try = it.per_try.filter(|t| it.timeout.is_none_or(|all| *t < all));
        if named || policy.is_some_and(|p| p.on != RetryOn::NOTHING) {
            it.retry = asked.retry(policy.unwrap_or(&NO_POLICY), head, to.retry_buffer).map(Box::new);
        }
        it
    }

    /// What a gRPC client allows counts, up to the configured bound; upstream is told what it is now.
    fn take_grpc_timeout(&mut self, to: &Forward, head: &mut Parts) {
        let (Some(bounds), Some(asked)) = (to.max_duration, head.headers.get(GRPC_TIMEOUT).and_then(grpc_timeout)) else { return };
        let cap = bounds.grpc_header_max.filter(|t| !t.is_zero());
        let capped = cap.map_or(asked, |cap| asked.min(cap));
        let now = capped.saturating_sub(bounds.grpc_header_offset);
        self.longest = Some(now);
        if is_grpc(head.headers.get(CONTENT_TYPE))
            && let Ok(value) = HeaderValue::from_str(&written(now))
        {
            head.headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

/// What a request's headers ask for.
#[derive(Default)]
struct Asked {
    on: RetryOn,
    retries: Option<u32>,
    statuses: Vec<u16>,
    headers: Vec<HeaderName>,
    timeout: Option<Duration>,
    per_try: Option<Duration>,
}

impl Asked {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        fn words<T>(text: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
            text.into_iter().flat_map(|t| t.split(',')).filter_map(|w| read(w.trim())).collect()
        }
        let milliseconds = |name: &HeaderName| text(name).and_then(|t| t.trim().parse().ok()).map(Duration::from_millis);
        let on = words(text(&RETRY_ON), RetryOn::word).into_iter().chain(words(text(&RETRY_GRPC_ON), RetryOn::grpc_word));
        Self {
            on: on.fold(RetryOn::NOTHING, RetryOn::or),
            retries: text(&MAX_RETRIES).and_then(|t| t.trim().parse().ok()),
            statuses: words(text(&STATUS_CODES), |w| w.parse().ok()),
            headers: words(text(&HEADER_NAMES), |w| w.parse().ok()),
            timeout: milliseconds(&TIMEOUT),
            per_try: milliseconds(&PER_TRY),
        }
    }

    /// None when the policy is for other requests.
    fn retry(self, policy: &Arc<RetryPolicy>, head: &Parts, buffer: usize) -> Option<Retry> {
        let holds = |m: &HeaderMatch| super::matching::header_matches(m, head, "");
        if !policy.request_headers.is_empty() && !policy.request_headers.iter().any(holds) {
            return None;
        }
        Some(Retry {
            policy: policy.clone(),
            on: policy.on.or(self.on),
            left: self.retries.unwrap_or(policy.retries),
            statuses: self.statuses,
            headers: self.headers,
            buffer,
        })
    }
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2).
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

/// The same the other way round: the finest unit in which eight digits are enough, not finer than milliseconds.
fn written(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let units = [(1, 'm'), (1000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let fits = units.iter().find(|(ms, _)| time.as_millis() / ms <= MOST);
    fits.map_or_else(|| format!("{MOST}H"), |(ms, unit)| format!("{}{unit}", time.as_millis() / ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{MaxDuration, Target, Upgrades};
    use http::Request;

    fn route(retry: Option<RetryPolicy>, max_duration: Option<MaxDuration>) -> Forward {
        Forward {
            upgrades: Upgrades::default(),
            to: Target::One(0),
            path_rewrite: None,
            host_rewrite: None,
            append_forwarded_host: false,
            timeout: Some(Duration::from_secs(15)),
            idle_timeout: None,
            max_duration,
            retry: retry.map(Arc::new),
            high_priority: false,
            hash: Vec::new(),
            retry_buffer: 100,
            mirrors: Vec::new(),
        }
    }

    fn terms(to: &Forward, headers: &[(&str, &str)], internal: bool) -> (Terms, HeaderMap) {
        let mut head = headers.iter().fold(Request::builder(), |r, (n, v)| r.header(*n, *v)).body(()).unwrap().into_parts().0;
        let it = Terms::new(to, &mut head, internal);
        (it, head.headers)
    }

    #[test]
    fn headers_change_the_terms_and_are_removed() {
        let asked: &[_] = &[
            ("x-envoy-retry-on", "5xx, connect-failure,nonsense"),
            ("x-envoy-retry-grpc-on", "unavailable"),
            ("x-envoy-max-retries", "4"),
            ("x-envoy-retriable-status-codes", "418, x"),
            ("x-envoy-upstream-rq-timeout-ms", "500"),
            ("x-envoy-upstream-rq-per-try-timeout-ms", "100"),
            ("x-kept", "1"),
        ];
        let (it, headers) = terms(&route(None, None), asked, true);
        let retry = it.retry.unwrap();
        assert!(retry.on.has(RetryOn::SERVER_ERROR) && retry.on.has(RetryOn::grpc(14)) && !retry.on.has(RetryOn::RESET));
        assert_eq!((retry.left, retry.statuses.as_slice()), (4, &[418][..]));
        assert_eq!((it.timeout, it.per_try), (Some(Duration::from_millis(500)), Some(Duration::from_millis(100))));
        assert_eq!(headers.len(), 1);
        let (it, headers) = terms(&route(None, None), asked, false);
        assert!(it.retry.is_none() && it.timeout == Some(Duration::from_secs(15)) && headers.len() == 7, "none of that from outside");
    }

    #[test]
    fn a_try_is_shorter_than_the_whole() {
        let policy = RetryPolicy { on: RetryOn::RESET, per_try_timeout: Some(Duration::from_secs(15)), ..RetryPolicy::none() };
        assert_eq!(terms(&route(Some(policy), None), &[], false).0.per_try, None);
    }

    #[test]
    fn grpc_clients_may_say_how_long() {
        let bounds = MaxDuration {
            duration: Some(Duration::from_secs(60)),
            grpc_header_max: Some(Duration::from_secs(10)),
            grpc_header_offset: Duration::from_secs(1),
        };
        let of = |timeout: &str| {
            let (it, headers) =
                terms(&route(None, Some(bounds)), &[("content-type", "application/grpc"), ("grpc-timeout", timeout)], false);
            (it.longest.unwrap().as_millis(), headers["grpc-timeout"].to_str().unwrap().to_owned())
        };
        assert_eq!(of("5S"), (4000, "4000m".into()));
        assert_eq!(of("1H"), (9000, "9000m".into()));
        assert_eq!(of("bad"), (60_000, "bad".into()));
        assert_eq!(terms(&route(None, Some(bounds)), &[], false).0.timeout, None, "the route's timeout gives way");
        assert_eq!(written(Duration::from_secs(200_000)), "200000S");
    }
}

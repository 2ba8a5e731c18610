//! Whether what a try ended with is worth another one. Pure.

use crate::config::model::{HeaderMatch, RetryOn};
use crate::error::ProxyError;
use crate::router::matching;
use crate::router::terms::Retry;
use http::{HeaderMap, Response};

/// By the conditions of the request's terms.
pub fn is_worth_another<B>(retry: &Retry, sent: &Result<Response<B>, ProxyError>) -> bool {
    match sent {
        Ok(answer) => answer_is(retry, answer.status().as_u16(), answer.headers()),
        Err(why) => failure_is(retry.on, *why),
    }
}

fn answer_is(retry: &Retry, status: u16, headers: &HeaderMap) -> bool {
    let on = retry.on;
    // Whoever limits rates does not want more of them, unless told otherwise.
    if headers.contains_key("x-envoy-ratelimited") {
        return on.has(RetryOn::RATE_LIMITED);
    }
    let named = retry.policy.statuses.contains(&status) || retry.statuses.contains(&status);
    let holds = |m: &HeaderMatch| matching::holds(m, headers);
    (on.has(RetryOn::SERVER_ERROR) && (500..600).contains(&status))
        || (on.has(RetryOn::GATEWAY_ERROR) && (502..=504).contains(&status))
        || (on.has(RetryOn::CONFLICT) && status == 409)
        || (on.has(RetryOn::STATUS_CODES) && named)
        || (on.has(RetryOn::HEADERS) && (retry.policy.headers.iter().any(holds) || retry.headers.iter().any(|n| headers.contains_key(n))))
        || grpc_status(headers).is_some_and(|status| on.has(RetryOn::grpc(status)))
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn failure_is(on: RetryOn, why: ProxyError) -> bool {
    let any = RetryOn::SERVER_ERROR.or(RetryOn::GATEWAY_ERROR).or(RetryOn::RESET);
    match why {
        ProxyError::Connect(_) => on.has(any.or(RetryOn::CONNECT_FAILURE).or(RetryOn::RESET_BEFORE_REQUEST)),
        ProxyError::RefusedStream => on.has(any.or(RetryOn::REFUSED_STREAM)),
        ProxyError::Reset(_) | ProxyError::PerTryTimeout | ProxyError::PerTryIdle => on.has(any),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::RetryPolicy;
    use std::sync::Arc;

    fn worth(words: &str, sent: Result<u16, ProxyError>, headers: &[(&'static str, &str)]) -> bool {
        let on = words.split(',').map(|w| RetryOn::word(w).or(RetryOn::grpc_word(w)).unwrap()).fold(RetryOn::NOTHING, RetryOn::or);
        let policy = RetryPolicy { statuses: vec![418], ..RetryPolicy::none() };
        let retry =
            Retry { policy: Arc::new(policy), on, left: 1, statuses: vec![204], headers: vec!["x-again".parse().unwrap()], buffer: 0 };
        let answer = |status| headers.iter().fold(Response::builder().status(status), |r, (n, v)| r.header(*n, *v)).body(()).unwrap();
        is_worth_another(&retry, &sent.map(answer))
    }

    #[test]
    fn answers() {
        assert!(worth("5xx", Ok(500), &[]) && worth("5xx", Ok(599), &[]) && !worth("5xx", Ok(499), &[]));
        assert!(worth("gateway-error", Ok(503), &[]) && !worth("gateway-error", Ok(500), &[]));
        assert!(worth("retriable-4xx", Ok(409), &[]) && !worth("retriable-4xx", Ok(404), &[]));
        assert!(worth("retriable-status-codes", Ok(418), &[]) && worth("retriable-status-codes", Ok(204), &[]));
        assert!(!worth("5xx", Ok(418), &[]) && worth("retriable-headers", Ok(200), &[("x-again", "")]));
        assert!(worth("unavailable", Ok(200), &[("grpc-status", "14")]) && !worth("unavailable", Ok(200), &[("grpc-status", "13")]));
        let limited: &[_] = &[("x-envoy-ratelimited", "true")];
        assert!(!worth("5xx", Ok(503), limited) && worth("envoy-ratelimited", Ok(503), limited));
    }

    #[test]
    fn failures() {
        let connect = || Err(ProxyError::Connect(""));
        assert!(worth("connect-failure", connect(), &[]) && worth("reset-before-request", connect(), &[]) && worth("5xx", connect(), &[]));
        assert!(worth("reset", Err(ProxyError::Reset("")), &[]) && !worth("connect-failure", Err(ProxyError::Reset("")), &[]));
        assert!(worth("refused-stream", Err(ProxyError::RefusedStream), &[]) && !worth("refused-stream", Err(ProxyError::Reset("")), &[]));
        assert!(worth("gateway-error", Err(ProxyError::PerTryTimeout), &[]) && !worth("5xx", Err(ProxyError::Timeout), &[]));
        assert!(!worth("5xx", Err(ProxyError::Overflow), &[]) && !worth("5xx", Err(ProxyError::NoHealthyUpstream), &[]));
    }
}

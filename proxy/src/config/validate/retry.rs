//! Retry policies of routes and virtual hosts.

use std::time::Duration;

use super::matching;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{RetryOn, RetryPolicy};
use crate::nearest::nearest;

const POLICY: Schema = Schema {
    name: "envoy.config.route.v3.RetryPolicy",
    fields: "retry_on num_retries per_try_timeout retriable_status_codes retry_back_off retriable_headers retriable_request_headers \
        retry_host_predicate host_selection_retry_max_attempts per_try_idle_timeout",
    unsupported: "retry_priority retry_options_predicates rate_limited_retry_back_off",
};

const BACK_OFF: Schema =
    Schema { name: "envoy.config.route.v3.RetryPolicy.RetryBackOff", fields: "base_interval max_interval", unsupported: "" };

const PREDICATE: Schema =
    Schema { name: "envoy.config.route.v3.RetryPolicy.RetryHostPredicate", fields: "name typed_config", unsupported: "" };

const PREVIOUS: Schema =
    Schema { name: "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", fields: "", unsupported: "" };

/// The predicate's name, by which it is known also without its type.
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";

/// Reads a `RetryPolicy`.
pub fn policy(value: &Value<'_>) -> Option<RetryPolicy> {
    let fields = value.message(&POLICY)?;
    let default = RetryPolicy::none();
    let on = fields.get("retry_on").map_or(Some(RetryOn::NOTHING), |v| conditions(&v));
    let back_off = fields.get("retry_back_off").map_or(Some((default.base_interval, default.max_interval)), |v| back_off(&v));
    let time = |name: &str| fields.get(name).and_then(|v| v.duration()).filter(|t| !t.is_zero());
    let (per_try, per_try_idle) = (time("per_try_timeout"), time("per_try_idle_timeout"));
    let statuses = fields.list("retriable_status_codes");
    let statuses = statuses.iter().filter_map(|v| v.integer(100, 599)).filter_map(|n| u16::try_from(n).ok()).collect();
    let matchers = |name: &str| fields.list(name).iter().filter_map(matching::header).collect();
    let (headers, request_headers) = (matchers("retriable_headers"), matchers("retriable_request_headers"));
    let avoid = avoid(&fields);
    let (base_interval, max_interval) = back_off?;
    Some(RetryPolicy {
        on: on?,
        retries: fields.get("num_retries").and_then(|v| v.wrapper().integer(0, u32::MAX)).unwrap_or(default.retries),
        per_try_timeout: per_try,
        per_try_idle_timeout: per_try_idle,
        statuses,
        headers,
        request_headers,
        base_interval,
        max_interval,
        avoid_tried: avoid,
    })
}

fn conditions(value: &Value<'_>) -> Option<RetryOn> {
    let text = value.string()?;
    let mut all = RetryOn::NOTHING;
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let Some(found) = RetryOn::word(word).or_else(|| RetryOn::grpc_word(word)) else {
            let right = match nearest(word, RetryOn::words()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected some of {}, separated by commas", RetryOn::words().collect::<Vec<_>>().join(", ")),
            };
            value.problem(format!("`{word}` is no condition to retry on"), right);
            return None;
        };
        all = all.or(found);
    }
    Some(all)
}

fn back_off(value: &Value<'_>) -> Option<(Duration, Duration)> {
    let fields = value.message(&BACK_OFF)?;
    let base = fields.need("base_interval").and_then(|v| v.positive_duration());
    let max = fields.get("max_interval").map(|v| v.positive_duration());
    let base = base?;
    let max = max.map_or(Some(base * 10), |m| m)?;
    if max < base {
        value.problem("max_interval is shorter than base_interval", "expected at least base_interval");
        return None;
    }
    Some((base, max))
}

/// How often another endpoint is looked for.
fn avoid(fields: &Fields<'_>) -> u32 {
    let attempts = fields.get("host_selection_retry_max_attempts").and_then(|v| v.integer(0, 1000)).unwrap_or(1);
    let mut asked = false;
    for predicate in fields.list("retry_host_predicate") {
        let Some(fields) = predicate.message(&PREDICATE) else { continue };
        let name = fields.need("name").and_then(|v| v.name()).unwrap_or_default();
        match fields.get("typed_config") {
            Some(config) => asked |= config.any_of(&PREVIOUS).is_some(),
            None if name == PREVIOUS_HOSTS => asked = true,
            None => {
                predicate.problem(format!("the predicate `{name}` is unknown or not supported here"), format!("expected {PREVIOUS_HOSTS}"))
            }
        }
    }
    if asked { attempts.max(1) } else { 0 }
}

//! What the API server said no to, and what is done about it: one table, so that every refusal has a defined answer and an Event.
//!
//! Used by every actuator. Promises: nothing is forced, nothing is retried in a loop; what may succeed later is asked again by a later
//! tick, what cannot is not asked again until its cause has changed.
//!
//! | refusal | from | answer |
//! |---|---|---|
//! | `OwnedByOther` | 409 with field manager conflicts | only observe on this axis until ownership changes |
//! | `Changed` | 409: the object changed since it was read | read again, next tick |
//! | `Fenced` | a mark of a later holder | this holder has lost the Lease: stop |
//! | `NotAllowed` | 401, 403 | only observe, look again in minutes: permissions can be granted |
//! | `Infeasible` | 403 or 422 of a resize that no node has room for | this value is not asked for again |
//! | `Denied` | an admission webhook or policy | this value is not asked for again for a while |
//! | `Invalid` | 400, 422 | this value is not asked for again |
//! | `Gone` | 404 | wait until it is there |
//! | `Unsupported` | 404 of a subresource, 405, 415 | the axis is off |
//! | `Throttled` | 429 | wait as long as told |
//! | `Unavailable` | 5xx, no answer | next tick, with growing pauses |

use std::time::Duration;

/// What a 403 says when it is about room and not about permissions.
const NO_ROOM: [&str; 3] = ["node capacity", "enough allocatable resources", "exceeded quota"];

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Other managers own the field.
    #[error("{0}")]
    OwnedByOther(String),
    /// The object changed meanwhile.
    #[error("the object changed while it was being written: {0}")]
    Changed(String),
    /// A later holder has written.
    #[error("a later holder of the workload's Lease has written (its term is {theirs}, ours {ours})")]
    Fenced {
        /// Ours.
        ours: i64,
        /// Theirs.
        theirs: i64,
    },
    /// Permissions.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// No room for it.
    #[error("cannot be had here: {0}")]
    Infeasible(String),
    /// An admission webhook or policy.
    #[error("denied by admission: {0}")]
    Denied(String),
    /// The value.
    #[error("refused as invalid: {0}")]
    Invalid(String),
    /// Not there.
    #[error("not there: {0}")]
    Gone(String),
    /// The server does not know the call.
    #[error("not supported by this API server: {0}")]
    Unsupported(String),
    /// Too many requests.
    #[error("throttled by the API server for {0:?}")]
    Throttled(Duration),
    /// No answer, or a server error.
    #[error("the API server does not answer: {0}")]
    Unavailable(String),
    /// The situation itself forbids it (two scalers, a resize under way, ...).
    #[error("{0}")]
    Situation(String),
}

/// What to do next about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Only observe on this axis, and look again after this.
    Observe(Duration),
    /// Do not ask for this value again before this has passed; others may be asked for.
    HoldValue(Duration),
    /// Ask again with the next tick, or after this pause.
    Again(Duration),
    /// Stop acting for this workload at once.
    Stop,
}

impl Refusal {
    /// The defined answer.
    pub fn answer(&self) -> Answer {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        match self {
            Self::OwnedByOther(_) | Self::Situation(_) => Answer::Observe(minutes(1)),
            Self::NotAllowed(_) => Answer::Observe(minutes(2)),
            Self::Unsupported(_) => Answer::Observe(minutes(30)),
            Self::Invalid(_) | Self::Infeasible(_) => Answer::HoldValue(minutes(10)),
            Self::Denied(_) => Answer::HoldValue(minutes(5)),
            Self::Changed(_) => Answer::Again(Duration::ZERO),
            Self::Gone(_) => Answer::Again(Duration::from_secs(15)),
            Self::Throttled(pause) => Answer::Again((*pause).clamp(Duration::from_secs(1), minutes(5))),
            Self::Unavailable(_) => Answer::Again(Duration::from_secs(2)),
            Self::Fenced { .. } => Answer::Stop,
        }
    }

    /// Reason of its Event, in the form that Kubernetes uses.
    pub fn event_reason(&self) -> &'static str {
        match self {
            Self::OwnedByOther(_) => "FieldOwnedByOther",
            Self::Changed(_) => "ObjectChanged",
            Self::Fenced { .. } => "LeaseLost",
            Self::NotAllowed(_) => "NotAllowed",
            Self::Infeasible(_) => "Infeasible",
            Self::Denied(_) => "DeniedByAdmission",
            Self::Invalid(_) => "RefusedAsInvalid",
            Self::Gone(_) => "TargetNotFound",
            Self::Unsupported(_) => "NotSupported",
            Self::Throttled(_) => "Throttled",
            Self::Unavailable(_) => "ApiUnavailable",
            Self::Situation(_) => "CannotAct",
        }
    }

    /// Reads an error of the client.
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            other => Self::Unavailable(whole_story(other)),
        }
    }

    fn of_status(status: &kube::core::Status) -> Self {
        let text = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
        let causes = || status.details.iter().flat_map(|d| &d.causes);
        match status.code {
            409 if causes().any(|c| c.reason == "FieldManagerConflict") => {
                let said: Vec<String> = causes().map(|c| format!("{} ({})", c.message, c.field.trim_start_matches('.'))).collect();
                Self::OwnedByOther(format!("Foreshadow never takes a field from its owner: {}", said.join("; ")))
            }
            409 => Self::Changed(text),
            _ if text.contains("admission webhook") || text.contains("ValidatingAdmissionPolicy") => Self::Denied(text),
            403 if NO_ROOM.iter().any(|words| text.contains(words)) => Self::Infeasible(text),
            401 | 403 => Self::NotAllowed(text),
            404 if status.details.as_ref().is_none_or(|d| d.name.is_empty()) => Self::Unsupported(text),
            404 | 410 => Self::Gone(text),
            405 | 415 => Self::Unsupported(text),
            400 | 422 => Self::Invalid(text),
            429 => {
                let told = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
                Self::Throttled(Duration::from_secs(u64::from(told).max(1)))
            }
            _ => Self::Unavailable(format!("{} {text}", status.code)),
        }
    }
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        Self::of(&error)
    }
}

fn whole_story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let said = e.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use kube::core::response::{StatusCause, StatusDetails};

    fn status(code: u16, message: &str, details: StatusDetails) -> Refusal {
        Refusal::of(&kube::Error::Api(Status::failure(message, "").with_code(code).with_details(details).boxed()))
    }

    fn named() -> StatusDetails {
        details("shop")
    }

    fn details(name: &str) -> StatusDetails {
        serde_json::from_value(serde_json::json!({ "name": name })).unwrap()
    }

    #[test]
    fn every_status_has_its_refusal() {
        let table = [
            (409, "the object has been modified", "ObjectChanged"),
            (401, "Unauthorized", "NotAllowed"),
            (403, "pods is forbidden: User cannot patch", "NotAllowed"),
            (403, "pods \"a\" is forbidden: resize request exceeds node capacity", "Infeasible"),
            (403, "pods \"a\" is forbidden: node didn't have enough allocatable resources: cpu", "Infeasible"),
            (403, "pods \"a\" is forbidden: exceeded quota: q", "Infeasible"),
            (403, "admission webhook \"x\" denied the request: no", "DeniedByAdmission"),
            (400, "admission webhook \"x\" denied the request: no", "DeniedByAdmission"),
            (422, "HorizontalPodAutoscaler is invalid", "RefusedAsInvalid"),
            (400, "bad", "RefusedAsInvalid"),
            (404, "horizontalpodautoscalers \"shop\" not found", "TargetNotFound"),
            (405, "method not allowed", "NotSupported"),
            (429, "too many", "Throttled"),
            (500, "internal", "ApiUnavailable"),
            (503, "apiserver not ready", "ApiUnavailable"),
            (504, "timeout", "ApiUnavailable"),
        ];
        for (code, message, reason) in table {
            assert_eq!(status(code, message, named()).event_reason(), reason, "{code} {message}");
        }
        assert_eq!(status(404, "the server could not find the requested resource", details("")).event_reason(), "NotSupported");
    }

    #[test]
    fn a_field_manager_conflict_names_owner_and_field() {
        let cause = StatusCause {
            reason: "FieldManagerConflict".into(),
            message: "conflict with \"kubectl\" using autoscaling/v2".into(),
            field: ".spec.minReplicas".into(),
        };
        let refusal = status(409, "Apply failed with 1 conflict", StatusDetails { causes: vec![cause], ..named() });
        assert_eq!(refusal.answer(), Answer::Observe(Duration::from_secs(60)));
        let text = refusal.to_string();
        assert!(text.contains("kubectl") && text.contains("spec.minReplicas") && text.contains("never takes"), "{text}");
    }

    #[test]
    fn throttling_waits_as_long_as_told_and_fencing_stops() {
        let refusal = status(429, "slow down", StatusDetails { retry_after_seconds: 7, ..named() });
        assert_eq!(refusal.answer(), Answer::Again(Duration::from_secs(7)));
        assert_eq!(Refusal::Fenced { ours: 1, theirs: 2 }.answer(), Answer::Stop);
    }
}

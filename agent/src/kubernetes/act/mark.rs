//! What stands on an object that we changed: annotations that say until when, on whose behalf, and what stood there before.
//!
//! Written together with the change itself, in one request, so that neither is ever there alone. Read by every actuator and by
//! `expire`: any agent or controller that sees an overdue mark puts back what it says, whoever wrote it. The format only grows.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Our field manager: all agents and controllers write as this one, so that each can renew and put back what another wrote.
pub const MANAGER: &str = "foreshadow";
/// Label of every object that carries a mark; what `expire` asks for.
pub const LABEL: &str = "foreshadow.dev/marked";
/// The mark itself, JSON.
pub const ANNOTATION: &str = "foreshadow.dev/mark";

/// One change of ours to one field (or group of fields) of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark<T> {
    /// What we wrote.
    pub value: T,
    /// What stood there before us.
    pub original: T,
    /// The change is put back after this unless renewed.
    #[serde(with = "moment")]
    pub expires: Timestamp,
    /// `namespace/name` of the ShadowScaler on whose behalf it was made.
    pub scaler: String,
    /// Transitions of the workload's Lease when it was written: a holder with fewer has lost the Lease and must not write.
    pub term: i64,
    /// Why, in words and numbers.
    #[serde(default)]
    pub reason: String,
}

/// The mark of an object could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {0} cannot be understood ({1}); remove it by hand if nothing else here is ours")]
pub struct MarkError(&'static str, String);

impl<T: Serialize + serde::de::DeserializeOwned> Mark<T> {
    /// The mark among an object's annotations, when there is one.
    pub fn find(annotations: Option<&BTreeMap<String, String>>) -> Result<Option<Self>, MarkError> {
        Self::find_as(annotations, ANNOTATION)
    }

    /// The same under another annotation.
    pub fn find_as(annotations: Option<&BTreeMap<String, String>>, annotation: &'static str) -> Result<Option<Self>, MarkError> {
        let Some(text) = annotations.and_then(|a| a.get(annotation)) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|e| MarkError(annotation, e.to_string()))
    }

    /// As the annotation's value.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Seconds left, below zero when overdue.
    pub fn left_s(&self, now: Timestamp) -> f64 {
        self.expires.duration_since(now).as_secs_f64()
    }

    /// Whether its time is over.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.left_s(now) <= 0.0
    }
}

/// RFC 3339, as everywhere in Kubernetes.
mod moment {
    use k8s_openapi::jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A moment `ttl_s` after `now`, in whole milliseconds: what is written must read back the same.
pub fn expiry(now: Timestamp, ttl_s: f64) -> Timestamp {
    Timestamp::from_millisecond(now.as_millisecond() + (ttl_s * 1_000.0) as i64).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn survives_the_way_through_an_annotation() {
        let mark = Mark { value: 7_u32, original: 2, expires: expiry(at(100), 1.5), scaler: "a/b".into(), term: 3, reason: "why".into() };
        let annotations = [(ANNOTATION.to_owned(), mark.to_text())].into();
        assert_eq!(Mark::find(Some(&annotations)), Ok(Some(mark.clone())));
        assert_eq!((mark.left_s(at(101)), mark.is_overdue(at(101)), mark.is_overdue(at(102))), (0.5, false, true));
    }

    #[test]
    fn the_annotation_is_readable_for_people() {
        let mark = Mark { value: 7_u32, original: 2, expires: at(0), scaler: "a/b".into(), term: 3, reason: String::new() };
        let text = r#"{"value":7,"original":2,"expires":"1970-01-01T00:00:00Z","scaler":"a/b","term":3,"reason":""}"#;
        assert_eq!(mark.to_text(), text);
    }

    #[test]
    fn absence_is_no_mark_and_nonsense_is_an_error() {
        assert_eq!(Mark::<u32>::find(None), Ok(None));
        assert_eq!(Mark::<u32>::find(Some(&BTreeMap::new())), Ok(None));
        let text = Mark::<u32>::find(Some(&[(ANNOTATION.to_owned(), "{".to_owned())].into())).unwrap_err().to_string();
        assert!(text.contains("foreshadow.dev/mark") && text.contains("by hand"), "{text}");
    }
}

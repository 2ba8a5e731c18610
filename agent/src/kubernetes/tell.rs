//! Events about a ShadowScaler, for `kubectl describe` and whoever watches.
//!
//! Used by whatever acts. Promises: the same thing is told once and then at most every few minutes (the API server merges the repetitions
//! into a series); an Event that cannot be written is logged, and stops nothing.

use super::act::refusal::Refusal;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same thing is told again after this.
const AGAIN: Duration = Duration::from_secs(300);
/// Longest wait for the API server.
const DEADLINE: Duration = Duration::from_secs(2);
/// An Event's note has this many bytes at most.
const LONGEST: usize = 1_000;

/// Tells about one object.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
    about: ObjectReference,
    told: Arc<Mutex<BTreeMap<String, (String, Instant)>>>,
}

impl Teller {
    /// About `about`, as `component` on `instance` (a pod's name).
    pub fn new(client: Client, component: &str, instance: &str, about: ObjectReference) -> Self {
        let reporter = Reporter { controller: component.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), about, told: Arc::default() }
    }

    /// Something happened as it should.
    pub async fn normal(&self, reason: &str, note: &str) {
        self.tell(EventType::Normal, reason, note).await;
    }

    /// Something a person should look at.
    pub async fn warning(&self, reason: &str, note: &str) {
        self.tell(EventType::Warning, reason, note).await;
    }

    /// A refusal. One that the next tick may get over is told only when it stays.
    pub async fn refused(&self, refusal: &Refusal) {
        match refusal {
            Refusal::Changed(_) => {}
            // There is nobody to write an Event to.
            Refusal::Unavailable(why) => tracing::warn!(about = ?self.about.name, error = %why, "the API server does not answer"),
            other => self.warning(other.event_reason(), &other.to_string()).await,
        }
    }

    async fn tell(&self, type_: EventType, reason: &str, note: &str) {
        if !self.is_news(reason, note) {
            return;
        }
        let mut end = note.len().min(LONGEST);
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        let event = Event { type_, reason: reason.to_owned(), note: Some(note[..end].to_owned()), action: "Scale".into(), secondary: None };
        match tokio::time::timeout(DEADLINE, self.recorder.publish(&event, &self.about)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, reason, note, "an Event could not be written"),
            Err(_) => tracing::warn!(reason, note, "an Event could not be written in time"),
        }
    }

    fn is_news(&self, reason: &str, note: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.get(reason).is_some_and(|(last, at)| last == note && at.elapsed() < AGAIN);
        if !known {
            told.insert(reason.to_owned(), (note.to_owned(), Instant::now()));
        }
        !known
    }
}

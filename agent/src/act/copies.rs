//! Steers how much is copied: which sidecars need to be told a fraction now, and telling them.
//!
//! Called by `act::Actor`. Stateless: what is in force is read from the snapshots, so a new or restarted sidecar is told at its first
//! snapshot, and one that lost its value is told again. Promises: every value carries a time to live of ten intervals, so that it
//! falls back to the file's when the agent dies; a sidecar is told at most once a tick.

use crate::http::{Http, HttpError, request};
use crate::observe::look::Look;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Method;
use std::time::Duration;
use tokio::task::JoinSet;

/// Values closer than this to what is wished (relative) are left alone until they need renewing.
const TOLERANCE: f64 = 0.02;
/// Longest answer of a sidecar.
const LIMIT: usize = 64 << 10;

/// One sidecar to be told.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Telling {
    /// Its admin address.
    pub admin: String,
    /// Runtime keys of its mirror policies.
    pub keys: Vec<String>,
    /// Whether the value itself is new to it.
    pub changed: bool,
}

/// A way to tell sidecars.
pub trait Tells: Send + Sync + std::fmt::Debug {
    /// Tells them; returns what failed, by admin address.
    fn tell(&self, tellings: Vec<Telling>, fraction: f64, ttl: Duration, deadline: Duration) -> BoxFuture<'_, Vec<(String, String)>>;
}

impl Tells for Http {
    fn tell(&self, tellings: Vec<Telling>, fraction: f64, ttl: Duration, deadline: Duration) -> BoxFuture<'_, Vec<(String, String)>> {
        Box::pin(async move {
            let failed = tell(self, &tellings, fraction, ttl, deadline).await;
            failed.into_iter().map(|(admin, e)| (admin, e.to_string())).collect()
        })
    }
}

/// Which sidecars need to hear `fraction` now. `only` narrows to one runtime key.
pub fn to_tell(look: &Look, fraction: f64, now_ms: u64, ttl: Duration, only: Option<&str>) -> Vec<Telling> {
    let renew_before = now_ms + ttl.as_millis() as u64 / 2;
    let mut all = Vec::new();
    for (admin, snapshot) in &look.snapshots {
        let Ok(snapshot) = snapshot else { continue };
        let steered = || snapshot.mirrors.iter().filter(|m| !m.runtime_key.is_empty() && only.is_none_or(|key| key == m.runtime_key));
        let changed = steered().any(|m| m.fraction_source != "runtime" || (m.fraction - fraction).abs() > TOLERANCE * fraction.max(0.001));
        let ending = steered().any(|m| m.fraction_expires_unix_ms != 0 && m.fraction_expires_unix_ms < renew_before);
        if changed || ending {
            let mut keys: Vec<String> = steered().map(|m| m.runtime_key.clone()).collect();
            keys.sort();
            keys.dedup();
            all.push(Telling { admin: admin.clone(), keys, changed });
        }
    }
    all
}

/// Tells them, all at once; returns what failed, by admin address.
pub async fn tell(http: &Http, tellings: &[Telling], fraction: f64, ttl: Duration, deadline: Duration) -> Vec<(String, HttpError)> {
    let mut calls = JoinSet::new();
    for telling in tellings {
        let url = url(telling, fraction, ttl);
        let (http, admin) = (http.clone(), telling.admin.clone());
        calls.spawn(async move {
            let outcome = match request(Method::POST, &url, Bytes::new()) {
                Ok(request) => http.ok(request, LIMIT, deadline).await,
                Err(e) => Err(e),
            };
            (admin, outcome)
        });
    }
    let mut failed = Vec::new();
    while let Some(done) = calls.join_next().await {
        if let Ok((admin, Err(e))) = done {
            failed.push((admin, e));
        }
    }
    failed
}

/// The call that tells one sidecar.
pub fn url(telling: &Telling, fraction: f64, ttl: Duration) -> String {
    let percent = format!("{:.4}", fraction * 100.0);
    let pairs: String = telling.keys.iter().map(|key| format!("{}={percent}&", escape(key))).collect();
    format!("{}/runtime_modify?{pairs}foreshadow.ttl_s={}", telling.admin.trim_end_matches('/'), ttl.as_secs().max(1))
}

/// Percent-encodes whatever may not stand in a query.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"._-~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshadow_snapshot::{MirrorSnapshot, Snapshot};
    use std::sync::Arc;

    fn look(mirrors: &[(&str, f64, &str, u64)]) -> Look {
        let mut look = Look::default();
        for (i, (key, fraction, source, expires)) in mirrors.iter().enumerate() {
            let mirror = MirrorSnapshot {
                runtime_key: (*key).into(),
                fraction: *fraction,
                fraction_source: (*source).into(),
                fraction_expires_unix_ms: *expires,
                ..MirrorSnapshot::default()
            };
            let snapshot = Snapshot { mirrors: vec![mirror], ..Snapshot::default() };
            look.snapshots.insert(format!("http://127.0.0.1:{i}"), Ok(Arc::new(snapshot)));
        }
        look
    }

    #[test]
    fn tells_those_that_do_not_have_it_and_those_that_will_lose_it() {
        let ttl = Duration::from_secs(10);
        let look = look(&[("k", 0.5, "runtime", 9_000), ("k", 0.5, "runtime", 4_000), ("k", 0.1, "file", 0), ("", 1.0, "file", 0)]);
        let told: Vec<(String, bool)> = to_tell(&look, 0.5, 0, ttl, None).into_iter().map(|t| (t.admin, t.changed)).collect();
        assert_eq!(told, [("http://127.0.0.1:1".to_owned(), false), ("http://127.0.0.1:2".to_owned(), true)]);
        assert!(to_tell(&look, 0.5, 0, ttl, Some("other")).is_empty());
    }

    #[test]
    fn the_call_names_key_percent_and_time_to_live() {
        let telling = Telling { admin: "http://127.0.0.1:9/".into(), keys: vec!["mirror.a b".into()], changed: true };
        let url = url(&telling, 0.255, Duration::from_secs(10));
        assert_eq!(url, "http://127.0.0.1:9/runtime_modify?mirror.a%20b=25.5000&foreshadow.ttl_s=10");
    }
}

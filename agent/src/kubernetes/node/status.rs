//! What the holder tells people in the ShadowScaler's status: numbers, the last decision, whether it sees and whether it may act.
//!
//! Run by the node role for every workload held here. Only our own fields are applied, under our own field manager; the controller's stay
//! untouched. Promises: written when something that a person cares about changed, at most every few seconds, and at least every minute: a
//! status costs every watcher of ShadowScalers, so numbers are rounded and trembling is not news.

use super::holding::Holding;
use crate::config::model::Mode;
use crate::kubernetes::act::refusal::Refusal;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::crd::status::{ACTING, OBSERVING};
use crate::live::Latest;
use foreshadow_brain::decision::Band;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Our field manager on the status.
const MANAGER: &str = "foreshadow-holder";
/// Not more often than this.
const LEAST: Duration = Duration::from_secs(10);
/// And not less often, while something changes.
const MOST: Duration = Duration::from_secs(60);

/// Keeps one status.
#[derive(Debug, Default)]
pub struct StatusKeeper {
    written: Option<(Instant, Value)>,
    conditions: Vec<(String, bool, String)>,
}

impl StatusKeeper {
    /// Writes the status if it is time.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn keep(
        &mut self,
        client: &Client,
        workload: &str,
        generation: Option<i64>,
        holding: &Holding,
        me: &str,
    ) -> Result<(), kube::Error> {
        let (namespace, name) = workload.split_once('/').unwrap_or_default();
        let latest = holding.live.latest();
        let mut status = numbers(&latest, me, holding.hand.through());
        let told = [observing(&latest), acting(holding.mode, holding.hand.refusal().as_ref())];
        status["conditions"] = Value::Array(told.into_iter().map(|c| self.condition(c, generation)).collect());
        let due = match &self.written {
            None => true,
            Some((at, old)) => *old != status && (at.elapsed() >= MOST || at.elapsed() >= LEAST && news(old, &status)),
        };
        if !due {
            return Ok(());
        }
        let body =
            json!({ "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": name }, "status": status });
        let api: Api<ShadowScaler> = Api::namespaced(client.clone(), namespace);
        // Force takes these fields from an older agent of ours only: nobody else writes them.
        api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)).await?;
        self.written = Some((Instant::now(), status));
        Ok(())
    }

    fn condition(&mut self, (kind, holds, reason, message): (&str, bool, &str, String), generation: Option<i64>) -> Value {
        let same = self.conditions.iter().find(|(k, h, _)| k == kind && *h == holds).map(|(_, _, since)| since.clone());
        let since = same.unwrap_or_else(|| Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string());
        self.conditions.retain(|(k, _, _)| k != kind);
        self.conditions.push((kind.to_owned(), holds, since.clone()));
        let status = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since, "observedGeneration": generation })
    }
}

/// What changed is worth a write: anything but the words and numbers of the last decision.
fn news(old: &Value, new: &Value) -> bool {
    let words = ["lastDecision", "capacityRps", "margin"];
    let differs = |key: &str| old[key] != new[key];
    let keys = new.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
    keys.filter(|k| !words.contains(k)).any(differs) || old["lastDecision"]["floor"] != new["lastDecision"]["floor"]
}

fn numbers(latest: &Latest, me: &str, through: Option<String>) -> Value {
    let mut status = json!({ "holder": me });
    let Some((sample, decision)) = latest.sample.as_ref().zip(latest.decision.as_ref()) else { return status };
    let scale = &latest.workload.scale;
    status["replicas"] = json!(sample.scale.ready);
    if scale.floor > 0 {
        let expires = Timestamp::from_second(scale.floor_expires_unix_ms as i64 / 1_000).unwrap_or_default().to_string();
        status["floor"] = json!({ "replicas": scale.floor, "through": through.unwrap_or_default(), "expiresAt": expires });
    }
    if let Some(band) = decision.capacity_rps {
        status["capacityRps"] = json!(quantiles(band));
    }
    if let Some(margin) = decision.margin {
        status["margin"] = json!(round(margin));
    }
    if !decision.champion.is_empty() {
        status["champion"] = json!(decision.champion);
    }
    let applied = latest.session.as_ref().is_some_and(|s| s.mode == Mode::Act);
    let at = Timestamp::from_second(decision.at_ms as i64 / 1_000).unwrap_or_default().to_string();
    let mut last = json!({ "at": at, "reason": decision.plan.reason, "wouldChange": decision.plan.would_change, "applied": applied });
    if let Some(floor) = decision.plan.floor {
        last["floor"] = json!(floor);
    }
    status["lastDecision"] = last;
    status
}

fn quantiles(band: Band) -> Value {
    json!({ "p10": round(band.p10), "p50": round(band.p50), "p90": round(band.p90) })
}

/// Three digits that count.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let unit = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * unit).round() / unit
}

fn observing(latest: &Latest) -> (&'static str, bool, &'static str, String) {
    let fresh = latest.sample.as_ref().is_some_and(|s| s.production.is_some());
    match (&latest.source_error, fresh) {
        (Some(why), _) => (OBSERVING, false, "NoReports", why.clone()),
        (None, true) => (OBSERVING, true, "SamplesArrive", "production is seen".into()),
        (None, false) if latest.ticks == 0 => (OBSERVING, false, "Starting", "no sample yet".into()),
        (None, false) => {
            let (all, missing) = latest.proxies;
            (OBSERVING, false, "SidecarsSilent", format!("{missing} of {all} sidecars do not answer"))
        }
    }
}

fn acting(mode: Mode, refusal: Option<&Refusal>) -> (&'static str, bool, &'static str, String) {
    match (mode, refusal) {
        (Mode::Observe, _) => (ACTING, false, "ObserveOnly", "mode Observe: nothing is changed".into()),
        (Mode::Recommend, _) => (ACTING, false, "RecommendOnly", "mode Recommend: see lastDecision for what would be done".into()),
        (Mode::Act, Some(refusal)) => (ACTING, false, refusal.event_reason(), refusal.to_string()),
        (Mode::Act, None) => (ACTING, true, "Able", "nothing stands in the way".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::api::{Scale, Workload};
    use foreshadow_brain::decision::Plan;
    use foreshadow_brain::{Decision, Sample};
    use std::sync::Arc;

    fn latest(capacity: f64, floor: u32) -> Latest {
        let plan = Plan { floor: Some(floor), reason: format!("needs {capacity}"), ..Plan::default() };
        let band = Band { p10: capacity, p50: capacity, p90: capacity };
        let decision = Decision { at_ms: 61_000, capacity_rps: Some(band), plan, champion: "tracker".into(), ..Decision::default() };
        let scale = Scale { floor, floor_expires_unix_ms: 100_000, ..Scale::default() };
        Latest {
            sample: Some(Arc::new(Sample::default())),
            decision: Some(Arc::new(decision)),
            workload: Arc::new(Workload { scale, ..Workload::default() }),
            ..Latest::default()
        }
    }

    #[test]
    fn numbers_are_rounded_and_fit_the_type() {
        let status = numbers(&latest(123.456, 6), "agent-1", Some("HorizontalPodAutoscaler/web".into()));
        let typed: crate::kubernetes::crd::status::ShadowScalerStatus = serde_json::from_value(status).unwrap();
        assert_eq!(typed.capacity_rps.unwrap().p50, 123.0);
        assert_eq!(typed.floor.unwrap().through, "HorizontalPodAutoscaler/web");
        assert_eq!(typed.last_decision.unwrap().floor, Some(6));
        assert_eq!((round(0.012_345), round(98_765.0), round(f64::NAN)), (0.0123, 98_800.0, 0.0));
    }

    #[test]
    fn trembling_is_not_news_and_a_floor_is() {
        let of = |capacity, floor| numbers(&latest(capacity, floor), "a", None);
        assert!(!news(&of(100.0, 6), &of(120.0, 6)));
        assert!(news(&of(100.0, 6), &of(100.0, 7)));
    }

    #[test]
    fn what_stands_in_the_way_is_a_condition() {
        let (_, holds, reason, message) = acting(Mode::Act, Some(&Refusal::OwnedByOther("owned by kubectl".into())));
        assert_eq!((holds, reason, message.as_str()), (false, "FieldOwnedByOther", "owned by kubectl"));
        assert!(acting(Mode::Act, None).1 && !acting(Mode::Observe, None).1);
    }
}

//! Changes of a template that stand: begun, renewed, taken back. The class and the bandwidth axis.
//!
//! What to do is pure ([`step`]); `mover` carries it out under the workload's Lease; [`sweep`] takes back what nobody renews. Promises: one axis
//! at a time; a rollout that fails is taken back; what the template asked for itself is reached by taking ours back, never by writing it.

use super::axis::{Choice, within};
use super::carrier::{Outcome, resource};
use super::mark::Mark;
use super::refusal::Refusal;
use super::swept::Swept;
use super::template::{self, Change, LABEL, Rollout};
use crate::kubernetes::crd::{Mode, ShadowScalerSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a round comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Nothing of ours stands, and nothing is to be begun.
    Nothing,
    /// What stands goes on standing.
    Renew,
    /// The template is to be changed, and why.
    Begin(Change, String),
    /// The template is to be as it was before us, and why.
    TakeBack(String),
}

/// Decides between what the optimizer would have and what stands. `own` are the nodes that the template asks for without us.
///
/// # Errors
/// A later holder's mark.
pub fn step(
    mark: Option<&Mark<Option<Change>>>,
    choice: &Choice,
    own: &BTreeMap<String, String>,
    spec: &ShadowScalerSpec,
    (term, rollout): (i64, &Rollout),
) -> Result<Move, Refusal> {
    if let Some(mark) = mark.filter(|m| m.term > term) {
        return Err(Refusal::Fenced { ours: term, theirs: mark.term });
    }
    let wanted = match choice {
        Choice::Change(change, why) => cooldown(spec, change).map(|_| (change, why.clone())),
        Choice::Stay(_) => None,
    };
    let Some(standing) = mark.and_then(|m| m.value.as_ref()) else {
        return Ok(wanted.map_or(Move::Nothing, |(change, why)| Move::Begin(change.clone(), why)));
    };
    if cooldown(spec, standing).is_none() {
        return Ok(Move::TakeBack(format!("{standing}: not to be acted on any more")));
    }
    if let Rollout::Failed(why) = rollout {
        return Ok(Move::TakeBack(format!("its rollout failed: {why}")));
    }
    Ok(match wanted {
        Some((Change::Class(labels), why)) if within(labels, own) => Move::TakeBack(why),
        Some((change, why)) if change != standing && std::mem::discriminant(change) == std::mem::discriminant(standing) => {
            Move::Begin(change.clone(), why)
        }
        _ => Move::Renew,
    })
}

/// Least time between two changes on a change's axis; None when the axis is not acted on.
pub fn cooldown(spec: &ShadowScalerSpec, change: &Change) -> Option<Duration> {
    let axes = &spec.actuation;
    let (enabled, seconds) = match change {
        Change::Class(_) => (axes.class.enabled, axes.class.cooldown_seconds),
        Change::Bandwidth { .. } => (axes.bandwidth.enabled, axes.bandwidth.cooldown_seconds),
        Change::Size(_) => return None,
    };
    (enabled && spec.mode == Mode::Act).then(|| Duration::from_secs(seconds.into()))
}

/// The nodes that a template asks for without what we put there.
pub fn own_nodes(all: &BTreeMap<String, String>, mark: Option<&Mark<Option<Change>>>) -> BTreeMap<String, String> {
    let ours = |key: &String| matches!(mark.and_then(|m| m.value.as_ref()), Some(Change::Class(labels)) if labels.contains_key(key));
    all.iter().filter(|(k, _)| !ours(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Takes back changes whose time is over; with `every` all of them; of one ShadowScaler, `namespace/name`, or all.
///
/// # Errors
/// When Deployments cannot be listed.
pub async fn sweep(client: &Client, now: Timestamp, every: bool, of: Option<&str>) -> Result<Vec<Swept>, Refusal> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource("apps/v1", "Deployment"));
    let mut swept = Vec::new();
    for deployment in api.list(&ListParams::default().labels(LABEL)).await?.items {
        let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
        let title = format!("template of Deployment/{name}");
        let mark = match template::mark_of(&deployment) {
            Ok(mark) => mark,
            Err(e) => {
                swept.push(Swept { namespace, title, scaler: String::new(), outcome: Err(Refusal::Situation(e.to_string())) });
                continue;
            }
        };
        let Some(mark) = mark.filter(|m| (every || m.is_overdue(now)) && of.is_none_or(|one| one == m.scaler)) else { continue };
        let outcome = template::apply(client, &namespace, &name, None, false).await.map(|_| Outcome::Restored);
        swept.push(Swept { namespace, title, scaler: mark.scaler, outcome });
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(mode: &str) -> ShadowScalerSpec {
        let bounds = json!({ "min": "10M", "max": "1G" });
        serde_json::from_value(json!({
            "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 }, "mode": mode,
            "actuation": { "class": { "enabled": true }, "bandwidth": { "enabled": true, "bounds": bounds } },
        }))
        .unwrap()
    }

    fn class(pool: &str) -> Change {
        Change::Class([("pool".to_owned(), pool.to_owned())].into())
    }

    fn narrow() -> Change {
        Change::Bandwidth { ingress: "50M".into(), egress: "50M".into() }
    }

    fn mark(change: Change) -> Mark<Option<Change>> {
        let expires = Timestamp::from_second(0).unwrap();
        Mark { value: Some(change), original: None, expires, scaler: "a/b".into(), term: 3, reason: "cheaper".into() }
    }

    fn decided(standing: Option<Change>, wanted: Option<Change>, mode: &str, rollout: &Rollout) -> Move {
        let choice = wanted.map_or_else(|| Choice::Stay("nothing saves".into()), |c| Choice::Change(c, "why".into()));
        let own = [("zone".to_owned(), "a".to_owned())].into();
        step(standing.map(mark).as_ref(), &choice, &own, &spec(mode), (3, rollout)).unwrap()
    }

    #[test]
    fn a_cheaper_class_is_begun_kept_and_exchanged() {
        let complete = Rollout::Complete;
        assert_eq!(decided(None, None, "Act", &complete), Move::Nothing);
        assert_eq!(decided(None, Some(class("spot")), "Act", &complete), Move::Begin(class("spot"), "why".into()));
        assert_eq!(decided(None, Some(class("spot")), "Recommend", &complete), Move::Nothing);
        assert_eq!(decided(Some(class("spot")), None, "Act", &complete), Move::Renew);
        assert_eq!(decided(Some(class("spot")), Some(class("fast")), "Act", &complete), Move::Begin(class("fast"), "why".into()));
        assert_eq!(decided(Some(class("spot")), Some(narrow()), "Act", &complete), Move::Renew, "one axis at a time");
    }

    #[test]
    fn what_may_not_stand_is_taken_back() {
        let back = |m: Move| matches!(m, Move::TakeBack(_));
        let failed = Rollout::Failed("no node has room".into());
        assert!(back(decided(Some(class("spot")), None, "Act", &failed)));
        assert!(back(decided(Some(narrow()), Some(narrow()), "Observe", &Rollout::Complete)));
        let home = Change::Class([("zone".to_owned(), "a".to_owned())].into());
        assert!(back(decided(Some(class("spot")), Some(home), "Act", &Rollout::Complete)), "the template's own nodes");
        let later = step(Some(&mark(narrow())), &Choice::Stay(String::new()), &BTreeMap::new(), &spec("Act"), (2, &Rollout::Complete));
        assert_eq!(later, Err(Refusal::Fenced { ours: 2, theirs: 3 }));
    }

    #[test]
    fn our_nodes_are_not_the_template_s_own() {
        let all = [("pool".to_owned(), "spot".to_owned()), ("zone".to_owned(), "a".to_owned())].into();
        assert_eq!(own_nodes(&all, Some(&mark(class("spot")))), [("zone".to_owned(), "a".to_owned())].into());
        assert_eq!(own_nodes(&all, None), all);
    }
}

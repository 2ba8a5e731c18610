//! Changes of a template that stand: begun, renewed, taken back. The class and the bandwidth axis, and sizes that are written back.
//!
//! What to do is pure ([`step`]); `mover` carries it out under the workload's Lease; [`sweep`] takes back what nobody renews. Promises: one axis
//! at a time; a rollout that fails is taken back; what the template asked for itself is reached by taking ours back, never by writing it.

use super::axis::{Choice, within};
use super::carrier::{Outcome, resource};
use super::mark::Mark;
use super::refusal::Refusal;
use super::resize::Sizing;
use super::swept::Swept;
use super::template::{self, Change, LABEL, Rollout};
use super::write_back;
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

/// What the situation is apart from what stands on the template and what is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is asked for.
    pub spec: &'a ShadowScalerSpec,
    /// The nodes that the template asks for without us.
    pub own: &'a BTreeMap<String, String>,
    /// The size that stands on the pods, when there is one of ours.
    pub sizing: Option<&'a Sizing>,
    /// Term of the workload's Lease.
    pub term: i64,
    /// How far the last rollout is.
    pub rollout: &'a Rollout,
}

/// Decides between what the optimizer would have and what stands.
///
/// # Errors
/// A later holder's mark.
pub fn step(mark: Option<&Mark<Option<Change>>>, choice: &Choice, situation: Situation<'_>) -> Result<Move, Refusal> {
    let Situation { spec, own, sizing, term, rollout } = situation;
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
    if matches!(standing, Change::Size(_)) && sizing.is_none() {
        return Ok(Move::TakeBack(format!("{standing}: no pod is to have this size any more")));
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

/// After a size was written to the template, or taken back from it, nothing further is begun for this long.
const AFTER_A_SIZE: Duration = Duration::from_secs(600);

/// Least time between two changes on a change's axis; None when the axis is not acted on.
pub fn cooldown(spec: &ShadowScalerSpec, change: &Change) -> Option<Duration> {
    let axes = &spec.actuation;
    let (enabled, seconds) = match change {
        Change::Class(_) => (axes.class.enabled, axes.class.cooldown_seconds),
        Change::Bandwidth { .. } => (axes.bandwidth.enabled, axes.bandwidth.cooldown_seconds),
        Change::Size(_) => return write_back::is_wanted(spec).then_some(AFTER_A_SIZE),
    };
    (enabled && spec.mode == Mode::Act).then(|| Duration::from_secs(seconds.into()))
}

/// The nodes that a template asks for without what we put there.
pub fn own_nodes(all: &BTreeMap<String, String>, mark: Option<&Mark<Option<Change>>>) -> BTreeMap<String, String> {
    let ours = |key: &String| matches!(mark.and_then(|m| m.value.as_ref()), Some(Change::Class(labels)) if labels.contains_key(key));
    all.iter().filter(|(k, _)| !ours(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Makes a change together with its mark. With `dry_run` the API server checks everything and stores nothing.
///
/// # Errors
/// What the API server said: 409 when somebody else owns a field of it.
pub async fn put(
    client: &Client,
    deployment: &DynamicObject,
    change: &Change,
    mark: &Mark<Option<Change>>,
    dry_run: bool,
) -> Result<DynamicObject, Refusal> {
    let namespace = deployment.namespace().unwrap_or_default();
    match change {
        Change::Size(_) => write_back::write(client, deployment, change, mark, dry_run).await,
        Change::Class(_) | Change::Bandwidth { .. } => {
            template::apply(client, &namespace, &deployment.name_any(), Some((change, mark)), dry_run).await
        }
    }
}

/// Takes back what its mark says.
///
/// # Errors
/// What the API server said.
pub async fn take_back(client: &Client, deployment: &DynamicObject, mark: &Mark<Option<Change>>) -> Result<DynamicObject, Refusal> {
    let namespace = deployment.namespace().unwrap_or_default();
    match &mark.value {
        Some(Change::Size(_)) => write_back::undo(client, deployment, mark).await,
        _ => template::apply(client, &namespace, &deployment.name_any(), None, false).await,
    }
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
        let outcome = take_back(client, &deployment, &mark).await.map(|_| Outcome::Restored);
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
        sized(standing, &choice, (&spec(mode), rollout), None)
    }

    fn sized(standing: Option<Change>, choice: &Choice, (spec, rollout): (&ShadowScalerSpec, &Rollout), sizing: Option<&Sizing>) -> Move {
        let own = [("zone".to_owned(), "a".to_owned())].into();
        step(standing.map(mark).as_ref(), choice, Situation { spec, own: &own, sizing, term: 3, rollout }).unwrap()
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
        let (spec, own) = (spec("Act"), BTreeMap::new());
        let earlier = Situation { spec: &spec, own: &own, sizing: None, term: 2, rollout: &Rollout::Complete };
        let later = step(Some(&mark(narrow())), &Choice::Stay(String::new()), earlier);
        assert_eq!(later, Err(Refusal::Fenced { ours: 2, theirs: 3 }));
    }

    #[test]
    fn a_written_size_stays_as_long_as_one_of_ours_stands_on_the_pods() {
        let size =
            |cpu: &str| Sizing { container: "app".into(), size: serde_json::from_value(json!({ "requests": { "cpu": cpu } })).unwrap() };
        let (two, stay) = (size("2"), Choice::Stay(String::new()));
        let mut spec = spec("Act");
        let written = Some(Change::Size(two.clone()));
        assert!(matches!(sized(written.clone(), &stay, (&spec, &Rollout::Complete), Some(&two)), Move::TakeBack(_)), "writeBack is Never");
        spec.actuation.resources = serde_json::from_value(json!({ "enabled": true, "writeBack": "Template" })).unwrap();
        assert_eq!(sized(written.clone(), &stay, (&spec, &Rollout::Complete), Some(&two)), Move::Renew);
        assert_eq!(sized(written.clone(), &stay, (&spec, &Rollout::Complete), Some(&size("4"))), Move::Renew, "until that has stood too");
        let four = Choice::Change(Change::Size(size("4")), "stood".into());
        assert_eq!(
            sized(written.clone(), &four, (&spec, &Rollout::Complete), Some(&size("4"))),
            Move::Begin(Change::Size(size("4")), "stood".into())
        );
        assert!(matches!(sized(written, &stay, (&spec, &Rollout::Complete), None), Move::TakeBack(_)));
    }

    #[test]
    fn our_nodes_are_not_the_template_s_own() {
        let all = [("pool".to_owned(), "spot".to_owned()), ("zone".to_owned(), "a".to_owned())].into();
        assert_eq!(own_nodes(&all, Some(&mark(class("spot")))), [("zone".to_owned(), "a".to_owned())].into());
        assert_eq!(own_nodes(&all, None), all);
    }
}

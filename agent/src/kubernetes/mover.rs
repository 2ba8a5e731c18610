//! Changes of one workload's template: the class and the bandwidth axis, and sizes written back; each a rollout with surge, seen through or
//! taken back.
//!
//! Called by `sizer` with what the optimizer chose; what to do is pure (`act::moves`). Promises: checked and tried dry before, recorded, then
//! done together with its mark; renewed without another rollout; a rollout that fails is taken back, and so is what nobody renews.

use super::act::axis::Choice;
use super::act::mark::{Mark, expiry};
use super::act::moves::{self, Move, Situation, cooldown, own_nodes};
use super::act::refusal::Refusal;
use super::act::resize::Sizing;
use super::act::scaler::Target;
use super::act::sizes::Production;
use super::act::template::{self, Change, Rollout};
use super::act::write_back;
use super::crd::ShadowScaler;
use super::tell::Teller;
use super::watched;
use crate::live::Live;
use crate::notes::Notes;
use crate::record::{Action, ActionKind};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use std::time::{Duration, Instant};

/// A change falls away after this unless renewed, seconds: longer than a size's, because going back is a rollout.
const TTL_S: f64 = 3_600.0;
/// It is renewed when less than this share of its time is left.
const RENEW_BELOW: f64 = 0.6;

/// What somebody has written over, or whose rollout failed, is not begun again for this long.
const DECLINED: Duration = Duration::from_secs(6 * 3_600);

/// Changes the template of one workload.
pub struct Mover {
    client: Client,
    target: Target,
    teller: Teller,
    notes: Notes,
    live: Live,
    under_way: bool,
    /// A change that somebody has written over or whose rollout failed, and since when.
    declined: Option<(Change, Instant)>,
}

/// A round of a workload that is held.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// Its ShadowScaler.
    pub scaler: &'a ShadowScaler,
    /// It.
    pub production: &'a Production,
    /// What the template is to be.
    pub choice: &'a Choice,
    /// The size that stands on the pods, when there is one of ours.
    pub sizing: Option<&'a Sizing>,
    /// Term of its Lease.
    pub term: i64,
    /// Whether nothing else was changed lately.
    pub settled: bool,
}

impl Mover {
    /// For the workload `target`; its control loop shows in `live` and records `notes`.
    pub fn new(client: Client, target: Target, teller: Teller, notes: Notes, live: Live) -> Self {
        Self { client, target, teller, notes, live, under_way: false, declined: None }
    }

    /// One decision, carried out; how long nothing further is to be begun, when the template was changed.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn round(&mut self, round: Round<'_>) -> Result<Option<Duration>, Refusal> {
        let deployment = &round.production.object;
        let mark = template::mark_of(deployment).map_err(|e| Refusal::Situation(e.to_string()))?;
        let rollout = template::rollout(deployment);
        let own = own_nodes(&round.production.template.node_selector.clone().unwrap_or_default(), mark.as_ref());
        let situation = Situation { spec: &round.scaler.spec, own: &own, sizing: round.sizing, term: round.term, rollout: &rollout };
        let step = moves::step(mark.as_ref(), round.choice, situation)?;
        if let Some(written) = written_over(deployment, mark.as_ref()) {
            return self.leave(&round, mark, written).await;
        }
        if self.under_way && mark.is_some() && rollout == Rollout::Complete {
            self.under_way = false;
            self.teller.normal("TemplateRolledOut", "every replica runs the changed template").await;
        }
        match step {
            Move::Begin(change, _) if self.is_declined(&change) => Ok(None),
            Move::Begin(change, reason) if round.settled => self.begin(&round, mark, &change, &reason).await.map(Some),
            Move::TakeBack(why) => self.take_back(&round, mark, &why).await.map(Some),
            Move::Renew => self.renew(&round, mark).await.map(|()| None),
            Move::Nothing | Move::Begin(..) => Ok(None),
        }
    }

    async fn begin(
        &mut self,
        round: &Round<'_>,
        mark: Option<Mark<Option<Change>>>,
        change: &Change,
        reason: &str,
    ) -> Result<Duration, Refusal> {
        if self.target.kind != "Deployment" {
            let why = "only a Deployment's template is changed: other kinds replace a replica before the new one is ready";
            return Err(Refusal::Situation(why.to_owned()));
        }
        template::check(&round.production.object, change)?;
        let original = mark.map_or_else(|| before(round.production, change), |m| m.original);
        let what = (change, original, reason);
        self.apply(round, what.clone(), true).await?;
        self.record("the template's own".into(), change.to_string(), reason).await?;
        self.apply(round, what, false).await?;
        self.under_way = true;
        self.teller.normal("TemplateChanged", &format!("{change}: {reason}")).await;
        Ok(cooldown(&round.scaler.spec, change).unwrap_or_default())
    }

    async fn renew(&self, round: &Round<'_>, mark: Option<Mark<Option<Change>>>) -> Result<(), Refusal> {
        let due = mark.filter(|m| m.left_s(Timestamp::now()) < TTL_S * RENEW_BELOW || m.term != round.term);
        let Some((change, original, reason)) = due.and_then(|m| Some((m.value?, m.original, m.reason))) else { return Ok(()) };
        self.apply(round, (&change, original, &reason), false).await
    }

    async fn apply(&self, round: &Round<'_>, what: (&Change, Option<Change>, &str), dry_run: bool) -> Result<(), Refusal> {
        let ((change, original, reason), scaler) = (what, watched::key(round.scaler));
        let expires = expiry(Timestamp::now(), TTL_S);
        let mark = Mark { value: Some(change.clone()), original, expires, scaler, term: round.term, reason: reason.to_owned() };
        moves::put(&self.client, &round.production.object, change, &mark, dry_run).await.map(|_| ())
    }

    async fn take_back(&mut self, round: &Round<'_>, mark: Option<Mark<Option<Change>>>, reason: &str) -> Result<Duration, Refusal> {
        let Some(mark) = mark else { return Ok(Duration::ZERO) };
        let from = mark.value.as_ref().map_or_else(String::new, Change::to_string);
        self.record(from, "the template's own".into(), reason).await?;
        moves::take_back(&self.client, &round.production.object, &mark).await?;
        self.under_way = false;
        if matches!(template::rollout(&round.production.object), Rollout::Failed(_)) {
            self.declined = mark.value.clone().map(|change| (change, Instant::now()));
        }
        self.teller.normal("TemplateTakenBack", &format!("as before Foreshadow: {reason}")).await;
        Ok(mark.value.and_then(|c| cooldown(&round.scaler.spec, &c)).unwrap_or_default())
    }

    /// Gives up a written size that somebody has written over: the template is theirs, and there is to be no fight about it.
    async fn leave(&mut self, round: &Round<'_>, mark: Option<Mark<Option<Change>>>, written: Sizing) -> Result<Option<Duration>, Refusal> {
        let Some(mark) = mark else { return Ok(None) };
        moves::take_back(&self.client, &round.production.object, &mark).await?;
        let why = format!("somebody has written over {} in the template: it is left to them", written.size);
        self.teller.normal("TemplateIsTheirs", &why).await;
        (self.under_way, self.declined) = (false, Some((Change::Size(written), Instant::now())));
        Ok(None)
    }

    fn is_declined(&self, change: &Change) -> bool {
        self.declined.as_ref().is_some_and(|(declined, at)| declined == change && at.elapsed() < DECLINED)
    }

    async fn record(&self, from: String, to: String, reason: &str) -> Result<(), Refusal> {
        let at_ms = self.live.latest().sample.map_or(0, |s| s.at_ms);
        let kind = ActionKind::ChangeTemplate { from, to };
        let recorded = self.notes.record(Action { at_ms, kind, reason: reason.to_owned(), applied: true }).await;
        recorded
            .then_some(())
            .ok_or_else(|| Refusal::Situation("the change of the template could not be recorded, so it is not made".into()))
    }
}

/// What the template says of a change's fields before us, where taking back has to write it.
fn before(production: &Production, change: &Change) -> Option<Change> {
    let Change::Size(Sizing { container, .. }) = change else { return None };
    production.size(container).map(|size| Change::Size(Sizing { container: container.clone(), size }))
}

/// The size that we wrote, when the template has another by now.
fn written_over(deployment: &DynamicObject, mark: Option<&Mark<Option<Change>>>) -> Option<Sizing> {
    match mark.and_then(|m| m.value.as_ref()) {
        Some(Change::Size(written)) if write_back::is_theirs(deployment, written) => Some(written.clone()),
        _ => None,
    }
}

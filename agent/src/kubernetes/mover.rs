//! The class and the bandwidth axis of one workload: changes of its template, each a rollout with surge, seen through or taken back.
//!
//! Called by `sizer` with what the optimizer chose; what to do is pure (`act::moves`). Promises: checked and tried dry before, recorded, then
//! done together with its mark; renewed without another rollout; a rollout that fails is taken back, and so is what nobody renews.

use super::act::axis::Choice;
use super::act::mark::{Mark, expiry};
use super::act::moves::{self, Move, cooldown, own_nodes};
use super::act::refusal::Refusal;
use super::act::scaler::Target;
use super::act::sizes::Production;
use super::act::template::{self, Change, Rollout};
use super::crd::ShadowScaler;
use super::tell::Teller;
use super::watched;
use crate::live::Live;
use crate::notes::Notes;
use crate::record::{Action, ActionKind};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use std::time::Duration;

/// A change falls away after this unless renewed, seconds: longer than a size's, because going back is a rollout.
const TTL_S: f64 = 3_600.0;
/// It is renewed when less than this share of its time is left.
const RENEW_BELOW: f64 = 0.6;

/// Changes the template of one workload.
pub struct Mover {
    client: Client,
    target: Target,
    teller: Teller,
    notes: Notes,
    live: Live,
    under_way: bool,
}

/// A round of a workload that is held.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// Its ShadowScaler.
    pub scaler: &'a ShadowScaler,
    /// It.
    pub production: &'a Production,
    /// What the optimizer would have.
    pub choice: &'a Choice,
    /// Term of its Lease.
    pub term: i64,
    /// Whether nothing else was changed lately.
    pub settled: bool,
}

impl Mover {
    /// For the workload `target`; its control loop shows in `live` and records `notes`.
    pub fn new(client: Client, target: Target, teller: Teller, notes: Notes, live: Live) -> Self {
        Self { client, target, teller, notes, live, under_way: false }
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
        let step = moves::step(mark.as_ref(), round.choice, &own, &round.scaler.spec, (round.term, &rollout))?;
        if self.under_way && mark.is_some() && rollout == Rollout::Complete {
            self.under_way = false;
            self.teller.normal("TemplateRolledOut", "every replica runs the changed template").await;
        }
        match step {
            Move::Begin(change, reason) if round.settled => self.begin(&round, &change, &reason).await.map(Some),
            Move::TakeBack(why) => self.take_back(&round, mark.and_then(|m| m.value), &why).await.map(Some),
            Move::Renew => self.renew(&round, mark).await.map(|()| None),
            Move::Nothing | Move::Begin(..) => Ok(None),
        }
    }

    async fn begin(&mut self, round: &Round<'_>, change: &Change, reason: &str) -> Result<Duration, Refusal> {
        if self.target.kind != "Deployment" {
            let why = "only a Deployment's template is changed: other kinds replace a replica before the new one is ready";
            return Err(Refusal::Situation(why.to_owned()));
        }
        template::check(&round.production.object, change)?;
        self.apply(round, change, reason, true).await?;
        self.record("the template's own".into(), change.to_string(), reason).await?;
        self.apply(round, change, reason, false).await?;
        self.under_way = true;
        self.teller.normal("TemplateChanged", &format!("{change}: {reason}")).await;
        Ok(cooldown(&round.scaler.spec, change).unwrap_or_default())
    }

    async fn renew(&self, round: &Round<'_>, mark: Option<Mark<Option<Change>>>) -> Result<(), Refusal> {
        let due = mark.filter(|m| m.left_s(Timestamp::now()) < TTL_S * RENEW_BELOW || m.term != round.term);
        let Some((change, reason)) = due.and_then(|m| Some((m.value?, m.reason))) else { return Ok(()) };
        self.apply(round, &change, &reason, false).await
    }

    async fn apply(&self, round: &Round<'_>, change: &Change, reason: &str, dry_run: bool) -> Result<(), Refusal> {
        let (namespace, scaler) = (round.scaler.namespace().unwrap_or_default(), watched::key(round.scaler));
        let expires = expiry(Timestamp::now(), TTL_S);
        let mark = Mark { value: Some(change.clone()), original: None, expires, scaler, term: round.term, reason: reason.to_owned() };
        template::apply(&self.client, &namespace, &self.target.name, Some((change, &mark)), dry_run).await.map(|_| ())
    }

    async fn take_back(&mut self, round: &Round<'_>, change: Option<Change>, reason: &str) -> Result<Duration, Refusal> {
        let from = change.as_ref().map_or_else(String::new, Change::to_string);
        self.record(from, "the template's own".into(), reason).await?;
        let namespace = round.scaler.namespace().unwrap_or_default();
        template::apply(&self.client, &namespace, &self.target.name, None, false).await?;
        self.under_way = false;
        self.teller.normal("TemplateTakenBack", &format!("as before Foreshadow: {reason}")).await;
        Ok(change.and_then(|c| cooldown(&round.scaler.spec, &c)).unwrap_or_default())
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

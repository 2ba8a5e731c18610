//! The size of one workload's replicas: learns what each profile takes, asks the optimizer, resizes pods in place, sees it through.
//!
//! Run for each workload that is held, beside its control loop. What to do is pure ([`step`], `act::axis`). Promises: nothing without the
//! Lease; recorded, then marked with what stood before and a time to live, then done; new pods get the size as well while it stands; a size
//! that a node has no room for is taken back from all; when nobody renews it, `act::sizes` puts it back. Class and bandwidth are `mover`'s.

use super::act::axis::{self, Choice, Seen};
use super::act::carrier;
use super::act::mark::{Mark, expiry};
use super::act::measured::Measured;
use super::act::refusal::{Answer, Refusal};
use super::act::resize::{self, Progress, Size, Sizing, progress};
use super::act::scaler::{self, Target};
use super::act::sizes::{self, Production};
use super::act::template::{self, Change, Rollout};
use super::act::write_back::{self, Standing};
use super::crd::{Mode, ShadowScaler};
use super::hand::Fence;
use super::mover::{Mover, Round};
use super::node::settings;
use super::tell::Teller;
use super::watched;
use crate::live::Live;
use crate::notes::Notes;
use crate::record::{Action, ActionKind};
use foreshadow_brain::Settings;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use std::time::{Duration, Instant};

/// Between two looks at the last tick.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two decisions: sizes are no matter of seconds.
const EVERY: u64 = 15;
/// A size falls away after this unless renewed, seconds.
const TTL_S: f64 = 600.0;
/// It is renewed when less than this share of its time is left.
const RENEW_BELOW: f64 = 0.6;
/// After a change, and after a refusal that says no better, nothing is begun for this long.
const PAUSE: Duration = Duration::from_secs(600);
const WHICH: &str = "it is not clear which container is to be resized: actuation.resources.container names it";

/// Looks after the size of one workload's replicas.
pub struct Sizer {
    client: Client,
    namespace: String,
    name: String,
    target: Target,
    settings: Settings,
    fence: Fence,
    teller: Teller,
    notes: Notes,
    live: Live,
    measured: Measured,
    seen_ms: u64,
    quiet_until: Option<Instant>,
    mover: Mover,
    standing: Standing,
    said: Option<Choice>,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing, in words.
    Keep(String),
    /// Every pod is to have this size.
    Give {
        /// It.
        sizing: Sizing,
        /// The size before ours.
        original: Sizing,
        /// Why.
        reason: String,
    },
    /// Every pod is to have the size before ours, and why.
    PutBack(String),
    /// The template was changed, or what we changed was taken back.
    Moved,
}

/// Decides between what the optimizer would have and what stands.
///
/// # Errors
/// A later holder's mark.
pub fn step(
    mark: Option<&Mark<Sizing>>,
    choice: Choice,
    running: &Sizing,
    may: bool,
    term: i64,
    stuck: Option<String>,
) -> Result<Step, Refusal> {
    if let Some(mark) = mark.filter(|m| m.term > term) {
        return Err(Refusal::Fenced { ours: term, theirs: mark.term });
    }
    let Some(mark) = mark else {
        return Ok(match choice {
            Choice::Change(Change::Size(sizing), reason) if may => Step::Give { sizing, original: running.clone(), reason },
            Choice::Change(_, why) | Choice::Stay(why) => Step::Keep(why),
        });
    };
    if !may {
        return Ok(Step::PutBack("the size is not to be acted on any more".into()));
    }
    if let Some(why) = stuck {
        return Ok(Step::PutBack(format!("a node has no room for it: {why}")));
    }
    Ok(match choice {
        Choice::Change(Change::Size(sizing), reason) if sizing.size.is(&mark.original.size) => Step::PutBack(reason),
        Choice::Change(Change::Size(sizing), reason) => Step::Give { sizing, original: mark.original.clone(), reason },
        _ => Step::Give { sizing: mark.value.clone(), original: mark.original.clone(), reason: mark.reason.clone() },
    })
}

impl Sizer {
    /// For a workload that is held under `fence`; its control loop shows in `live` and records `notes`.
    pub fn new(client: Client, scaler: &ShadowScaler, fence: Fence, teller: Teller, notes: Notes, live: Live) -> Self {
        let target = settings::target(&scaler.spec);
        Self {
            mover: Mover::new(client.clone(), target.clone(), teller.clone(), notes.clone(), live.clone()),
            client,
            namespace: scaler.namespace().unwrap_or_default(),
            name: scaler.name_any(),
            target,
            settings: settings::settings(&scaler.spec),
            fence,
            teller,
            notes,
            live,
            measured: Measured::default(),
            seen_ms: 0,
            quiet_until: None,
            standing: Standing::new(write_back::STANDS),
            said: None,
        }
    }

    /// Writes sizes to the template, where that is asked for, once they have stood for this long.
    #[must_use]
    pub fn written_back_after(self, stood: Duration) -> Self {
        Self { standing: Standing::new(stood), ..self }
    }

    /// Whether a spec gives it anything to do; with a mark that stands, it has to be put back at least.
    pub fn is_wanted(scaler: &ShadowScaler) -> bool {
        let actuation = &scaler.spec.actuation;
        let enabled = actuation.resources.enabled || actuation.class.enabled || actuation.bandwidth.enabled;
        enabled || scaler.annotations().contains_key(resize::ANNOTATION)
    }

    /// Looks after it until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 1_u64.. {
            ticks.tick().await;
            self.learn();
            if count.is_multiple_of(EVERY)
                && let Err(refusal) = self.round().await
            {
                if let Answer::Observe(pause) | Answer::HoldValue(pause) = refusal.answer() {
                    self.quiet_until = Some(Instant::now() + pause);
                }
                self.teller.refused(&refusal).await;
            }
        }
    }

    /// Takes note of the last tick, once.
    pub fn learn(&mut self) {
        let latest = self.live.latest();
        let Some((sample, decision)) = latest.sample.zip(latest.decision).filter(|(s, _)| s.at_ms != self.seen_ms) else { return };
        self.seen_ms = sample.at_ms;
        self.measured.learn(&sample, &decision);
    }

    /// One decision, carried out.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn round(&mut self) -> Result<Step, Refusal> {
        let keep = |why: &str| Ok(Step::Keep(why.to_owned()));
        let Some(term) = (self.fence)() else { return keep("the workload's Lease is not held") };
        let scaler = Api::<ShadowScaler>::namespaced(self.client.clone(), &self.namespace).get(&self.name).await?;
        let mark = resize::mark_of(&scaler).map_err(|e| Refusal::Situation(e.to_string()))?;
        let production = Production::read(&self.client, &self.namespace, &self.target).await?;
        let axis = &scaler.spec.actuation.resources;
        let container = mark.as_ref().map(|m| m.value.container.clone()).or_else(|| production.container(axis.container.as_deref()));
        let sized = container.and_then(|c| Some((c.clone(), production.size(&c)?)));
        let running = match (&mark, &sized) {
            (Some(mark), _) => Some(mark.value.clone()),
            (None, Some((container, size))) => Some(Sizing { container: container.clone(), size: size.clone() }),
            (None, None) => None,
        };
        let choice = match (&sized, &running) {
            (Some((_, template)), Some(running)) => self.choice(&scaler, &production, template, running),
            _ => Choice::Stay(WHICH.into()),
        };
        let settled =
            template::rollout(&production.object) == Rollout::Complete && self.quiet_until.is_none_or(|until| until <= Instant::now());
        let template = self.template(&scaler, &production, &choice, mark.as_ref());
        let sizing = mark.as_ref().map(|m| &m.value);
        let round = Round { scaler: &scaler, production: &production, choice: &template, sizing, term, settled };
        let refused = match self.mover.round(round).await {
            Ok(Some(pause)) => {
                self.quiet_until = Some(Instant::now() + pause);
                // Shares of replicas that are on their way out.
                self.measured = Measured::default();
                return Ok(Step::Moved);
            }
            Ok(None) => None,
            Err(refusal @ Refusal::Fenced { .. }) => return Err(refusal),
            Err(refusal) => Some(refusal),
        };
        let step = self.size(&scaler, &production, mark, (choice, running.filter(|_| sized.is_some())), (term, settled)).await?;
        refused.map_or(Ok(step), Err)
    }

    /// What the template is to be: what the optimizer chose of class and bandwidth, else a size that has stood for long enough.
    fn template(&mut self, scaler: &ShadowScaler, production: &Production, choice: &Choice, mark: Option<&Mark<Sizing>>) -> Choice {
        let due = self.standing.is_due(mark.map(|m| &m.value), production, Instant::now()) && write_back::is_wanted(&scaler.spec);
        match (choice, mark.filter(|_| due)) {
            (Choice::Change(Change::Class(_) | Change::Bandwidth { .. }, _), _) => choice.clone(),
            (_, Some(mark)) => {
                Choice::Change(Change::Size(mark.value.clone()), format!("every pod has had it for a while: {}", mark.reason))
            }
            (_, None) => Choice::Stay("no other template".into()),
        }
    }

    /// The resources axis of a round.
    async fn size(
        &mut self,
        scaler: &ShadowScaler,
        production: &Production,
        mark: Option<Mark<Sizing>>,
        (choice, running): (Choice, Option<Sizing>),
        (term, settled): (i64, bool),
    ) -> Result<Step, Refusal> {
        let keep = |why: &str| Ok(Step::Keep(why.to_owned()));
        let Some(running) = running else { return keep(WHICH) };
        if mark.is_none() {
            self.say(scaler, &choice, &running.size).await;
        }
        let may = scaler.spec.mode == Mode::Act && scaler.spec.actuation.resources.enabled;
        let step = step(mark.as_ref(), choice, &running, may, term, stuck(production, mark.as_ref()))?;
        match &step {
            Step::Give { .. } if mark.is_none() && !settled => {
                return keep("a change of size waits: a rollout or another change was lately");
            }
            Step::Give { sizing, original, reason } => self.give(production, mark, (sizing, original, reason), term).await?,
            Step::PutBack(reason) => self.put_back(scaler, &running, reason).await?,
            Step::Keep(_) | Step::Moved => {}
        }
        Ok(step)
    }

    fn choice(&self, scaler: &ShadowScaler, production: &Production, template: &Size, running: &Sizing) -> Choice {
        let latest = self.live.latest();
        let Some((sample, decision)) = latest.sample.zip(latest.decision) else { return Choice::Stay("no sample yet".into()) };
        let nodes = production.template.node_selector.clone().unwrap_or_default();
        let annotations = serde_json::from_value(production.object.data["spec"]["template"]["metadata"]["annotations"].clone());
        let annotations = annotations.unwrap_or_default();
        axis::choose(Seen {
            spec: &scaler.spec,
            settings: &self.settings,
            template,
            running,
            nodes: &nodes,
            annotations: &annotations,
            measured: &self.measured,
            sample: &sample,
            decision: &decision,
        })
    }

    /// Tells what would be done, with a mode that only recommends.
    async fn say(&mut self, scaler: &ShadowScaler, choice: &Choice, running: &Size) {
        let Choice::Change(change, reason) = choice else { return };
        if scaler.spec.mode != Mode::Recommend || self.said.as_ref() == Some(choice) {
            return;
        }
        let to = change.to_string();
        self.teller.normal("OtherConfiguration", &format!("{to} would be cheaper: {reason}")).await;
        let kind = match change {
            Change::Size(_) => ActionKind::Resize { from: running.to_string(), to },
            Change::Class(_) | Change::Bandwidth { .. } => ActionKind::ChangeTemplate { from: "the template's own".into(), to },
        };
        self.note(kind, reason, false).await;
        self.said = Some(choice.clone());
    }

    async fn note(&self, kind: ActionKind, reason: &str, applied: bool) -> bool {
        let at_ms = self.live.latest().sample.map_or(0, |s| s.at_ms);
        self.notes.record(Action { at_ms, kind, reason: reason.to_owned(), applied }).await
    }

    async fn give(
        &mut self,
        production: &Production,
        mark: Option<Mark<Sizing>>,
        what: (&Sizing, &Sizing, &str),
        term: i64,
    ) -> Result<(), Refusal> {
        let (sizing, original, reason) = what;
        let now = Timestamp::now();
        let new = mark.as_ref().is_none_or(|m| m.value != *sizing);
        if new {
            self.may_begin(production, sizing).await?;
            let from = mark.as_ref().map_or(original, |m| &m.value).size.to_string();
            if !self.note(ActionKind::Resize { from, to: sizing.size.to_string() }, reason, true).await {
                return Err(Refusal::Situation("the change of size could not be recorded, so it is not made".into()));
            }
        }
        if new || mark.as_ref().is_none_or(|m| m.left_s(now) < TTL_S * RENEW_BELOW || m.term != term) {
            let (scaler, reason) = (format!("{}/{}", self.namespace, self.name), reason.to_owned());
            let mark = Mark { value: sizing.clone(), original: original.clone(), expires: expiry(now, TTL_S), scaler, term, reason };
            resize::put_mark(&self.client, &self.namespace, &self.name, Some(&mark)).await?;
        }
        let (asked, refused) = sizes::give(&self.client, &production.pods, sizing).await;
        if new {
            self.quiet_until = Some(Instant::now() + PAUSE);
            self.teller.normal("Resized", &format!("{asked} pods: {}. {reason}", sizing.size)).await;
        }
        refused.map_or(Ok(()), Err)
    }

    /// What can be known before anything is touched: another scaler of sizes, and the API server's own word on one pod.
    async fn may_begin(&self, production: &Production, sizing: &Sizing) -> Result<(), Refusal> {
        let near = carrier::neighbours(&self.client, &self.namespace).await?;
        if let Some(vpa) = scaler::vertical(&self.target, &near) {
            return Err(Refusal::Situation(format!("VerticalPodAutoscaler {vpa} acts on the size of this workload: the axis is its")));
        }
        match production.pods.first() {
            Some(pod) => resize::resize(&self.client, pod, sizing, true).await.map(|_| ()),
            None => Err(Refusal::Situation("no pod runs that could be resized".into())),
        }
    }

    async fn put_back(&mut self, scaler: &ShadowScaler, running: &Sizing, reason: &str) -> Result<(), Refusal> {
        let to = "the template's size".to_owned();
        if !self.note(ActionKind::Resize { from: running.size.to_string(), to }, reason, true).await {
            return Err(Refusal::Situation("putting the size back could not be recorded; its time to live ends it".into()));
        }
        sizes::put_back(&self.client, scaler).await?;
        self.quiet_until = Some(Instant::now() + PAUSE);
        self.teller.normal("SizePutBack", &format!("{}: {reason}", watched::key(scaler))).await;
        Ok(())
    }
}

/// What the kubelet says of a size that no node has room for.
fn stuck(production: &Production, mark: Option<&Mark<Sizing>>) -> Option<String> {
    let sizing = &mark?.value;
    production.pods.iter().find_map(|pod| match progress(pod, sizing) {
        Progress::Infeasible(why) => Some(format!("{}: {why}", pod.name_any())),
        Progress::Done | Progress::Underway | Progress::Deferred(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizing(cpu: &str) -> Sizing {
        let requests = [("cpu".to_owned(), cpu.to_owned())].into();
        Sizing { container: "app".into(), size: Size { requests, limits: std::collections::BTreeMap::new() } }
    }

    fn mark(cpu: &str) -> Mark<Sizing> {
        let expires = Timestamp::from_second(0).unwrap();
        Mark { value: sizing(cpu), original: sizing("1"), expires, scaler: "a/b".into(), term: 3, reason: "cheaper".into() }
    }

    fn change(cpu: &str) -> Choice {
        Choice::Change(Change::Size(sizing(cpu)), "because".into())
    }

    #[test]
    fn what_stands_is_kept_until_another_size_is_cheaper() {
        let stay = || Choice::Stay("nothing saves".into());
        let on = |mark: Option<&Mark<Sizing>>, choice| step(mark, choice, &sizing("1"), true, 3, None).unwrap();
        assert_eq!(on(None, stay()), Step::Keep("nothing saves".into()));
        let given = |to: &str, reason: &str| Step::Give { sizing: sizing(to), original: sizing("1"), reason: reason.into() };
        assert_eq!(on(None, change("2")), given("2", "because"));
        assert_eq!(on(Some(&mark("2")), stay()), given("2", "cheaper"), "renewed, and new pods get it");
        assert_eq!(on(Some(&mark("2")), change("4")), given("4", "because"));
        assert_eq!(on(Some(&mark("2")), change("1000m")), Step::PutBack("because".into()), "the size before ours");
    }

    #[test]
    fn what_may_not_stand_goes() {
        let stuck = step(Some(&mark("2")), change("4"), &sizing("2"), true, 3, Some("web-1: node is full".into())).unwrap();
        assert!(matches!(&stuck, Step::PutBack(why) if why.contains("node is full")), "{stuck:?}");
        assert!(matches!(step(Some(&mark("2")), change("4"), &sizing("2"), false, 3, None), Ok(Step::PutBack(_))));
        assert!(matches!(step(None, change("4"), &sizing("1"), false, 3, None), Ok(Step::Keep(_))));
        assert_eq!(step(Some(&mark("2")), change("4"), &sizing("2"), true, 2, None), Err(Refusal::Fenced { ours: 2, theirs: 3 }));
    }
}

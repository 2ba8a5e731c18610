//! Acting: from a decision to actions, and carrying them out after they have been recorded.
//!
//! Called by the control loop: [`Actor::plan`] is pure, [`Actor::apply`] does what was planned. Promises: whatever mode forbids is
//! only said (`applied: false`); a tick in which the decision core failed changes neither floor nor copies; every action is idempotent and expires by itself when the agent dies; a failure is told and tried
//! again by the next tick, never in a loop.

pub mod copies;
pub mod floor;

use crate::config::model::{Config, Discovery, Mode};
use crate::hands::Hands;
use crate::http::Http;
use crate::local::api::SetFloor;
use crate::mind;
use crate::observe::look::Look;
use crate::orchestrator::Orchestrator;
use crate::record::{Action, ActionKind};
use crate::synthetic::Synthetic;
use copies::{Telling, Tells};
use floor::FloorKeeper;
use foreshadow_brain::{Decision, Settings};
use std::time::Duration;

/// The shadow is asked for again only after this.
const SHADOW_RETRY_MS: u64 = 5_000;
/// The synthetic stream's rate is set anew when it differs by more than this (relative).
const RATE_TOLERANCE: f64 = 0.05;

/// Acts for one workload.
#[derive(Debug)]
pub struct Actor {
    mode: Mode,
    profiles: Vec<String>,
    fraction_ttl: Duration,
    deadline: Duration,
    runtime_key: Option<String>,
    teller: Box<dyn Tells>,
    hands: Option<Box<dyn Hands>>,
    synthetic: Option<Synthetic>,
    floor: FloorKeeper,
    shadow_asked_ms: u64,
    synthetic_rps: f64,
}

/// What an actor may do, and with what.
#[derive(Debug)]
pub struct Powers {
    /// How much it may do.
    pub mode: Mode,
    /// Profiles of the shadow; none when there is no shadow.
    pub profiles: Vec<String>,
    /// Time to live of the copied fraction.
    pub fraction_ttl: Duration,
    /// Longest wait for a sidecar.
    pub deadline: Duration,
    /// Only mirror policies with this runtime key are steered; `None` = all that have one.
    pub runtime_key: Option<String>,
    /// Tells sidecars.
    pub teller: Box<dyn Tells>,
    /// Scales; `None`: nothing can.
    pub hands: Option<Box<dyn Hands>>,
    /// Makes up what live traffic cannot give.
    pub synthetic: Option<Synthetic>,
}

/// What one tick does.
#[derive(Debug, Default)]
pub struct Planned {
    /// To be recorded first.
    pub actions: Vec<Action>,
    tellings: Vec<Telling>,
    shadow_url: Option<String>,
}

impl Actor {
    /// For a configuration, through an orchestrator when there is one.
    pub fn new(config: &Config, http: Http, orchestrator: Option<Orchestrator>, synthetic: Option<Synthetic>) -> Self {
        let shadow = &config.workload.shadow;
        let powers = Powers {
            mode: config.workload.mode,
            profiles: if shadow.enabled { shadow.profiles.clone() } else { Vec::new() },
            fraction_ttl: (config.collect.interval * 10).max(Duration::from_secs(1)),
            deadline: config.collect.timeout,
            runtime_key: match &config.discovery {
                Discovery::Static(list) => list.runtime_key.clone(),
                Discovery::Local(_) => None,
            },
            teller: Box::new(http),
            hands: orchestrator.map(|o| Box::new(o) as Box<dyn Hands>),
            synthetic: synthetic.filter(|_| shadow.enabled && shadow.synthetic),
        };
        Self::with(powers, &config.workload.settings)
    }

    /// With these powers.
    pub fn with(powers: Powers, settings: &Settings) -> Self {
        let Powers { mode, profiles, fraction_ttl, deadline, runtime_key, teller, hands, synthetic } = powers;
        let floor = FloorKeeper::new(mode, settings);
        Self {
            mode,
            profiles,
            fraction_ttl,
            deadline,
            runtime_key,
            teller,
            hands,
            synthetic,
            floor,
            shadow_asked_ms: 0,
            synthetic_rps: 0.0,
        }
    }

    /// Adopts a floor that an earlier run recorded setting and that still stands.
    pub fn adopt(&mut self, look: &Look, recorded: Option<u32>) -> Option<ActionKind> {
        self.floor.adopt(&look.workload.scale, recorded).map(|replicas| ActionKind::AdoptFloor { replicas })
    }

    /// Changes of the floor that the rate limit held back.
    pub fn held_back(&self) -> u64 {
        self.floor.held_back()
    }

    /// What to do about a decision. Nothing has happened yet when this returns.
    pub fn plan(&mut self, decision: &Decision, look: &Look) -> Planned {
        let now_ms = decision.at_ms;
        let mut planned = Planned { shadow_url: look.workload.shadow.as_ref().map(|s| s.app_url.clone()), ..Planned::default() };
        let fresh = look.source_error.is_none();
        self.plan_shadow(now_ms, look, fresh, &mut planned);
        if mind::has_failed(decision) {
            return planned;
        }
        if let Some(kind) = self.floor.decide(now_ms, &decision.plan, &look.workload.scale, fresh) {
            let applied = self.mode == Mode::Act;
            planned.actions.push(Action { at_ms: now_ms, kind, reason: decision.plan.reason.clone(), applied });
        }
        self.plan_copies(decision, look, &mut planned);
        self.plan_synthetic(decision, look, &mut planned);
        planned
    }

    /// The shadow exists and runs one of its profiles.
    fn plan_shadow(&mut self, now_ms: u64, look: &Look, fresh: bool, planned: &mut Planned) {
        let Some(profile) = self.profiles.first().filter(|_| fresh && self.hands.as_ref().is_some_and(|h| h.makes_the_shadow())) else {
            return;
        };
        let reason = match &look.workload.shadow {
            Some(shadow) if self.profiles.contains(&shadow.profile) => return,
            Some(shadow) => format!("the shadow runs profile {}, which is not among the configured ones", shadow.profile),
            None => "there is no shadow yet".to_owned(),
        };
        if self.shadow_asked_ms != 0 && now_ms < self.shadow_asked_ms + SHADOW_RETRY_MS {
            return;
        }
        self.shadow_asked_ms = now_ms;
        planned.actions.push(Action { at_ms: now_ms, kind: ActionKind::SetShadow { profile: profile.clone() }, reason, applied: true });
    }

    fn plan_copies(&self, decision: &Decision, look: &Look, planned: &mut Planned) {
        if self.profiles.is_empty() {
            return;
        }
        let fraction = if look.workload.shadow.is_some() { decision.copies.fraction.max(0.0) } else { 0.0 };
        planned.tellings = copies::to_tell(look, fraction, decision.at_ms, self.fraction_ttl, self.runtime_key.as_deref());
        if planned.tellings.is_empty() {
            return;
        }
        let renewal = planned.tellings.iter().all(|t| !t.changed);
        let proxies = planned.tellings.len() as u32;
        let kind = ActionKind::SetFraction { fraction, ttl_s: self.fraction_ttl.as_secs_f64(), proxies, renewal };
        planned.actions.push(Action { at_ms: decision.at_ms, kind, reason: decision.copies.reason.clone(), applied: true });
    }

    fn plan_synthetic(&mut self, decision: &Decision, look: &Look, planned: &mut Planned) {
        let reachable = look.workload.shadow.as_ref().is_some_and(|s| !s.app_url.is_empty());
        let wished = if reachable && self.synthetic.is_some() { decision.copies.synthetic_rps.max(0.0) } else { 0.0 };
        let same =
            (wished - self.synthetic_rps).abs() <= RATE_TOLERANCE * self.synthetic_rps && (wished > 0.0) == (self.synthetic_rps > 0.0);
        if same {
            return;
        }
        self.synthetic_rps = wished;
        let kind = ActionKind::SetSynthetic { rps: wished };
        planned.actions.push(Action { at_ms: decision.at_ms, kind, reason: decision.copies.reason.clone(), applied: true });
    }

    /// Carries out what was planned (and recorded); returns what failed, to be recorded with the next tick.
    pub async fn apply(&mut self, planned: &Planned) -> Vec<Action> {
        if let Some(synthetic) = &self.synthetic {
            synthetic.aim(self.synthetic_rps, planned.shadow_url.as_deref());
        }
        let mut failed = Vec::new();
        for action in planned.actions.iter().filter(|a| a.applied) {
            match self.carry_out(action, planned).await {
                Ok(()) => self.floor.done(&action.kind),
                Err(why) => {
                    let what = format!("{:?}", action.kind);
                    tracing::warn!(action = %what, error = %why, "action failed; the next tick tries again");
                    failed.push(Action { at_ms: action.at_ms, kind: ActionKind::Failed { what }, reason: why, applied: false });
                }
            }
        }
        failed
    }

    async fn carry_out(&self, action: &Action, planned: &Planned) -> Result<(), String> {
        let scaler = || self.hands.as_ref().ok_or_else(|| "there is no scaler".to_owned());
        match &action.kind {
            ActionKind::SetFloor { replicas, ttl_s, .. } => {
                let floor = SetFloor { replicas: *replicas, ttl_s: *ttl_s, reason: action.reason.clone() };
                scaler()?.set_floor(floor).await
            }
            ActionKind::WithdrawFloor { .. } => scaler()?.clear_floor().await,
            ActionKind::SetShadow { profile } => scaler()?.set_shadow(profile.clone()).await,
            ActionKind::SetFraction { fraction, .. } => {
                let failed = self.teller.tell(planned.tellings.clone(), *fraction, self.fraction_ttl, self.deadline).await;
                match failed.first() {
                    None => Ok(()),
                    Some((admin, e)) => Err(format!("{} of {} sidecars, e.g. {admin}: {e}", failed.len(), planned.tellings.len())),
                }
            }
            // Sizes are changed beside the loop, which only records them.
            ActionKind::SetSynthetic { .. }
            | ActionKind::AdoptFloor { .. }
            | ActionKind::Resize { .. }
            | ActionKind::ChangeTemplate { .. }
            | ActionKind::Failed { .. } => Ok(()),
        }
    }

    /// Withdraws our floor on a clean shutdown: nobody is left to judge whether it is still needed. (After a crash its time to live ends it.)
    pub async fn withdraw(&mut self) -> Result<(), String> {
        let (Some(hands), Some(_)) = (&self.hands, self.floor.ours()) else { return Ok(()) };
        hands.clear_floor().await
    }
}

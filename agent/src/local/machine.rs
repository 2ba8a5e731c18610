//! The orchestrator's state machine: what is wanted and what was seen go in, things to do come out. Pure: no process, no clock, no IO.
//!
//! Called by `local::run`, which carries the acts out and feeds what it saw back in. Promises: never more production instances than the
//! most allowed, those still ending included; at most one shadow; a crash of the shadow changes nothing for production; a floor falls away
//! on this machine's clock. Not here: ports, files, control groups.

pub mod clock;
pub mod scale;
pub mod slot;
pub mod vocabulary;

use crate::local::api::{Front, Workload};
use clock::Now;
use scale::{Bounds, Wish};
use slot::{Act, Event, Limits, Role, Slot};
use std::time::Duration;

/// Profile of production instances.
pub const PRODUCTION: &str = "production";
/// Name of the front balancer's instance.
pub const FRONT: &str = "front";

/// What the machine is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Replicas.
    pub bounds: Bounds,
    /// Time limits of an instance.
    pub limits: Limits,
}

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    /// Who asked for how many replicas.
    pub wish: Wish,
    front: Slot,
    production: Vec<Slot>,
    shadow: Option<Slot>,
    shadow_wanted: Option<(String, f64)>,
    replicas_made: u64,
    shadows_made: u64,
    stopping: bool,
    counted_until: Duration,
    replica_seconds: f64,
    shadow_seconds: f64,
}

impl Machine {
    /// Nothing runs yet.
    pub fn new(settings: Settings, now: Now) -> Self {
        Self {
            wish: Wish::new(settings.bounds),
            settings,
            front: Slot::new(FRONT.into(), Role::Front, FRONT.into(), 0.0, now),
            production: Vec::new(),
            shadow: None,
            shadow_wanted: None,
            replicas_made: 0,
            shadows_made: 0,
            stopping: false,
            counted_until: now.mono,
            replica_seconds: 0.0,
            shadow_seconds: 0.0,
        }
    }

    /// A shadow of this profile and cost is wanted, or none.
    pub fn want_shadow(&mut self, profile: Option<(String, f64)>) {
        self.shadow_wanted = profile;
    }

    /// Everything is to end, in order: the front, then production.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Everything is to end now.
    pub fn abort(&mut self, now: Now) {
        self.stopping = true;
        self.slots_mut().for_each(|slot| slot.abort(now));
    }

    /// Whether the end has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether everything has ended.
    pub fn is_finished(&self) -> bool {
        self.stopping && self.front.is_gone() && self.production.is_empty() && self.shadow.is_none()
    }

    /// Takes note of what was seen of an instance.
    pub fn observe(&mut self, name: &str, event: Event, now: Now) {
        self.count(now);
        if let Some(slot) = self.slots_mut().find(|slot| slot.name == name) {
            slot.observe(event, now);
        }
    }

    /// What is to be done now.
    pub fn step(&mut self, now: Now) -> Vec<(String, Act)> {
        self.count(now);
        self.wish.expire(now);
        if self.stopping {
            self.stop_in_order();
        } else {
            self.fit_production(now);
            self.fit_shadow(now);
        }
        let limits = self.settings.limits;
        let mut acts = Vec::new();
        for slot in self.slots_mut() {
            while let Some(act) = slot.step(now, limits) {
                acts.push((slot.name.clone(), act));
            }
        }
        self.production.retain(|slot| !slot.is_gone());
        self.shadow.take_if(|slot| slot.is_gone());
        acts
    }

    /// Clients lose nothing: the front finishes what it has while production is still there.
    fn stop_in_order(&mut self) {
        self.front.finish();
        self.shadow.iter_mut().for_each(Slot::finish);
        if self.front.is_gone() {
            self.production.iter_mut().for_each(Slot::finish);
        }
    }

    fn fit_production(&mut self, now: Now) {
        let desired = self.wish.desired() as usize;
        let mut staying = self.production.iter().filter(|slot| !slot.is_leaving()).count();
        // One that only drains is back at once, before a new one could start.
        for slot in self.production.iter_mut().rev() {
            staying += usize::from(staying < desired && slot.recall(now));
        }
        while staying < desired && self.production.len() < self.settings.bounds.max as usize {
            self.replicas_made += 1;
            let name = format!("replica-{}", self.replicas_made);
            self.production.push(Slot::new(name, Role::Production, PRODUCTION.into(), 1.0, now));
            staying += 1;
        }
        while staying > desired {
            self.retire_one(now);
            staying -= 1;
        }
    }

    /// What takes no traffic goes first, then the newest.
    fn retire_one(&mut self, now: Now) {
        let staying = || self.production.iter().enumerate().filter(|(_, slot)| !slot.is_leaving());
        let chosen = staying().rfind(|(_, slot)| !slot.is_ready()).or_else(|| staying().next_back()).map(|(i, _)| i);
        if let Some(slot) = chosen.and_then(|i| self.production.get_mut(i)) {
            slot.retire(now, self.settings.limits);
        }
    }

    fn fit_shadow(&mut self, now: Now) {
        if let Some(slot) = &mut self.shadow {
            // Copies are thrown away, so there is nothing to drain.
            if self.shadow_wanted.as_ref().is_none_or(|(profile, _)| *profile != slot.profile) {
                slot.finish();
            }
        } else if let Some((profile, size)) = &self.shadow_wanted {
            self.shadows_made += 1;
            let name = format!("shadow-{}", self.shadows_made);
            self.shadow = Some(Slot::new(name, Role::Shadow, profile.clone(), *size, now));
        }
    }

    /// Replica-seconds: every application's process from its start to its end.
    fn count(&mut self, now: Now) {
        let seconds = now.mono.saturating_sub(self.counted_until).as_secs_f64();
        self.counted_until = now.mono;
        self.replica_seconds += seconds * self.production.iter().filter(|slot| slot.app_runs()).count() as f64;
        self.shadow_seconds += seconds * self.shadow.iter().filter(|slot| slot.app_runs()).map(|slot| slot.size).sum::<f64>();
    }

    /// Ports of the sidecars that take traffic.
    pub fn production_endpoints(&self) -> Vec<u16> {
        self.production.iter().filter(|slot| slot.is_ready()).map(Slot::proxy_port).collect()
    }

    /// Port of the shadow when it takes copies.
    pub fn shadow_endpoint(&self) -> Option<u16> {
        self.shadow.as_ref().filter(|slot| slot.is_ready()).map(Slot::app_port)
    }

    /// The front balancer.
    pub fn front(&self) -> &Slot {
        &self.front
    }

    /// All instances, the front first.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        std::iter::once(&self.front).chain(&self.production).chain(&self.shadow)
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        std::iter::once(&mut self.front).chain(&mut self.production).chain(&mut self.shadow)
    }

    /// As told to readers of the API; the shell adds names, limits and its own notes.
    pub fn report(&mut self, now: Now) -> Workload {
        self.count(now);
        Workload {
            scale: self.wish.report(),
            front: Front {
                url: format!("http://127.0.0.1:{}", self.front.proxy_port()),
                admin: self.front.admin_url().unwrap_or_default().to_owned(),
                pid: self.front.proxy_pid(),
            },
            replicas: self.production.iter().map(Slot::report).collect(),
            shadow: self.shadow.as_ref().map(Slot::report),
            notes: self.slots().filter_map(Slot::note).collect(),
            replica_seconds: self.replica_seconds,
            shadow_replica_seconds: self.shadow_seconds,
            ..Workload::default()
        }
    }
}

#[cfg(test)]
mod slot_tests;
#[cfg(test)]
mod tests;

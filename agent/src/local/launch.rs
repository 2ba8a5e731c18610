//! Carries out what the state machine asks for one instance: ports, configuration, control group, processes, probes, signals, removal.
//!
//! Called by `local::run` only. Promises: whatever is started carries the run's mark and is watched until its end, which is always reported; a start
//! that fails is reported as an end. Not here: when any of this happens.

mod limits;
mod live;

use super::cgroup::{self, Groups};
use super::files;
use super::machine::slot::{Act, Event, Part, Role, Slot};
use super::mark;
use super::notes::Notes;
use super::probe::{self, Target};
use super::process::{Child, Process, application, free_port, resolve};
use super::proxy_config;
use super::rotation::Rotation;
use super::spec::Spec;
use crate::http::Http;
use crate::local::api;
use live::Live;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::process::Command;
use tokio::sync::mpsc;

/// Time a sidecar gives requests under way when it is asked to end; the drain before that has already waited for them.
const SIDECAR_DRAIN_S: u32 = 1;
/// Logs of ended instances that are kept for reading.
const OLD_LOGS: usize = 16;

/// Where things stand and what they are made from.
#[derive(Debug)]
pub struct Workshop {
    /// The spec.
    pub spec: Spec,
    /// Generated configuration.
    pub run: PathBuf,
    /// The instances' output.
    pub logs: PathBuf,
    /// Beginning of every mark of this run.
    pub mark: String,
    /// Endpoint files.
    pub rotation: Rotation,
}

/// The instances' processes.
#[derive(Debug)]
pub struct Launcher {
    shop: Workshop,
    groups: Option<Groups>,
    live: BTreeMap<String, Live>,
    old_logs: VecDeque<PathBuf>,
    front_port: Option<u16>,
    events: mpsc::Sender<(String, Event)>,
    http: Http,
    /// What a person should know.
    pub notes: Notes,
}

impl Launcher {
    /// Nothing runs yet. `groups`: None = limits are off.
    pub fn new(shop: Workshop, groups: Option<Groups>, events: mpsc::Sender<(String, Event)>, notes: Notes) -> Self {
        let front_port = Some(shop.spec.front_port).filter(|port| *port != 0);
        let (live, old_logs) = (BTreeMap::new(), VecDeque::new());
        Self { shop, groups, live, old_logs, front_port, events, http: Http::default(), notes }
    }

    /// Puts those that are ready into rotation, and takes others out.
    pub fn publish(&mut self, production: Vec<u16>, shadow: Option<u16>) {
        if let Err(e) = self.shop.rotation.publish(production, shadow) {
            self.notes.add(format!("endpoints cannot be written, traffic goes where it went before: {e}"));
        }
    }

    /// Does one thing; what can be said of it at once.
    pub fn perform(&mut self, slot: &Slot, act: Act, front_admin: Option<String>) -> Vec<Event> {
        tracing::info!(instance = %slot.name, ?act);
        match act {
            Act::Start { attempt, app, proxy } => return self.start(slot, attempt, app, proxy),
            Act::WatchIdle { drain } => self.watch_idle(slot, drain, front_admin),
            Act::Terminate => self.signal(&slot.name, Signal::TERM),
            Act::Kill => self.signal(&slot.name, Signal::KILL),
            Act::Remove => self.remove(&slot.name),
        }
        Vec::new()
    }

    fn start(&mut self, slot: &Slot, attempt: u32, app: bool, proxy: bool) -> Vec<Event> {
        let mut live = self.live.remove(&slot.name).unwrap_or_else(|| self.prepare(slot));
        let mut seen = Vec::new();
        let parts = [(Part::App, app), (Part::Proxy, proxy)];
        for part in parts.into_iter().filter(|(_, wanted)| *wanted).map(|(part, _)| part) {
            let started = match part {
                Part::App => self.start_app(slot, &mut live),
                Part::Proxy => self.start_proxy(slot, &mut live),
            };
            match started {
                Ok((process, port, child)) => {
                    seen.push(Event::Started { part, pid: process.pid, port });
                    live.put(part, process, port);
                    self.report_end(slot.name.clone(), part, child);
                }
                Err(e) => seen.push(Event::Exited { part, how: format!("could not be started: {e}") }),
            }
        }
        self.watch_ready(slot, attempt, &mut live);
        self.live.insert(slot.name.clone(), live);
        seen
    }

    /// Control group and limits stay the same over restarts.
    fn prepare(&mut self, slot: &Slot) -> Live {
        let resources = limits::of(&self.shop.spec, slot, &mut self.notes);
        let group = self.groups.as_mut().filter(|_| slot.role != Role::Front).and_then(|groups| {
            let made = groups.create(&slot.name, &resources);
            made.map_err(|e| self.notes.add(format!("limits of some instances are off: {e}"))).ok()
        });
        Live::new(slot.role, resources, group)
    }

    fn start_app(&self, slot: &Slot, live: &mut Live) -> io::Result<(Process, u16, Child)> {
        let port = free_port()?;
        let mut env = self.shop.spec.app.env.clone();
        env.extend(limits::environment(slot.role, port, &live.resources));
        env.insert(mark::VARIABLE.to_owned(), format!("{}{}", self.shop.mark, slot.name));
        let entrances = live.group.iter().flat_map(cgroup::entrances);
        let command = application(&self.shop.spec.app.command, &env, entrances);
        let (process, child) = Process::start(command, &self.log(&slot.name))?;
        Ok((process, port, child))
    }

    fn start_proxy(&mut self, slot: &Slot, live: &mut Live) -> io::Result<(Process, u16, Child)> {
        let (port, text, drain_s) = match slot.role {
            Role::Front => {
                // Clients know the front's address, so it stays once it has worked.
                let port = self.front_port.map_or_else(free_port, Ok)?;
                let drain_s = self.shop.spec.app.drain_s.ceil().clamp(1.0, 3_600.0) as u32;
                (port, proxy_config::front(port, self.shop.rotation.front_file()), drain_s)
            }
            Role::Production | Role::Shadow => {
                let (port, spec) = (free_port()?, &self.shop.spec);
                let shadow = self.shop.rotation.shadow_file();
                (port, proxy_config::sidecar(port, live.app_port, shadow, &spec.runtime_key, &spec.mirror), SIDECAR_DRAIN_S)
            }
        };
        let (config, admin) = (self.config_file(&slot.name), self.admin_file(&slot.name));
        files::replace(&config, &text, 0o600)?;
        match std::fs::remove_file(&admin) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let (program, arguments) = self.shop.spec.proxy_command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(resolve(program));
        command.args(arguments).arg("--config-path").arg(config).arg("--admin-address-path").arg(admin);
        command.args(["--service-node", &slot.name, "--concurrency", "1", "--drain-time-s", &drain_s.to_string()]);
        command.env(mark::VARIABLE, format!("{}{}", self.shop.mark, slot.name));
        let (process, child) = Process::start(command, &self.log(&format!("{}-proxy", slot.name)))?;
        Ok((process, port, child))
    }

    fn report_end(&self, name: String, part: Part, child: Child) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let how = child.end().await;
            // Nobody listens any more when the orchestrator itself is at its end.
            let _ = events.send((name, Event::Exited { part, how })).await;
        });
    }

    fn watch_ready(&self, slot: &Slot, attempt: u32, live: &mut Live) {
        let target = Target {
            app: (slot.role != Role::Front).then_some(live.app_port),
            proxy: (slot.role != Role::Shadow).then(|| (live.proxy_port, self.admin_file(&slot.name))),
            path: self.shop.spec.app.ready_path.clone(),
        };
        let (http, events, name) = (self.http.clone(), self.events.clone(), slot.name.clone());
        live.watch(tokio::spawn(async move {
            let admin_url = probe::until_ready(&http, &target).await;
            let _ = events.send((name, Event::Ready { attempt, admin_url })).await;
        }));
    }

    fn watch_idle(&mut self, slot: &Slot, drain: u32, front_admin: Option<String>) {
        let (Some(live), Some(admin)) = (self.live.get_mut(&slot.name), slot.admin_url()) else { return };
        let (http, events, name) = (self.http.clone(), self.events.clone(), slot.name.clone());
        let (admin, port) = (admin.to_owned(), slot.proxy_port());
        live.watch(tokio::spawn(async move {
            probe::until_idle(&http, front_admin, &admin, port).await;
            let _ = events.send((name, Event::Idle { drain })).await;
        }));
    }

    fn signal(&mut self, name: &str, signal: Signal) {
        if let Some(live) = self.live.get_mut(name) {
            live.signal(signal);
        }
    }

    /// Takes note of what was seen, before the state machine does.
    pub fn note(&mut self, name: &str, event: &Event) {
        let Some(live) = self.live.get_mut(name) else { return };
        match event {
            Event::Exited { part, how } => {
                tracing::info!(instance = %name, ?part, "{how}");
                live.ended(*part);
            }
            Event::Ready { .. } => {
                if live.role == Role::Front {
                    self.front_port = Some(live.proxy_port);
                }
                if live.group.as_ref().is_some_and(|group| !cgroup::is_populated(group)) {
                    self.notes.add("limits are off: instances are not allowed to join their control groups".to_owned());
                }
            }
            Event::Started { .. } | Event::Idle { .. } => {}
        }
    }

    /// Removes what is left of an instance whose processes have ended.
    pub fn remove(&mut self, name: &str) {
        let Some(live) = self.live.remove(name) else { return };
        // Only what left its process group can still be there; nothing else carries this mark.
        let mark = format!("{}{name}", self.shop.mark);
        tokio::task::spawn_blocking(move || mark::kill_exactly(&mark));
        if let (Some(groups), Some(group)) = (&mut self.groups, live.group()) {
            groups.remove(group);
        }
        for file in [self.config_file(name), self.admin_file(name)] {
            let _ = std::fs::remove_file(file);
        }
        self.old_logs.extend([self.log(name), self.log(&format!("{name}-proxy"))]);
        while self.old_logs.len() > OLD_LOGS {
            if let Some(log) = self.old_logs.pop_front() {
                let _ = std::fs::remove_file(log.with_extension("log.1"));
                let _ = std::fs::remove_file(log);
            }
        }
    }

    /// Once a second: logs stay within bounds, and control groups go that could not go before.
    pub fn tend(&mut self) {
        for name in self.live.keys() {
            for log in [self.log(name), self.log(&format!("{name}-proxy"))] {
                // A log that is not there needs no bound.
                let _ = files::bound_log(&log);
            }
        }
        if let Some(groups) = &mut self.groups {
            groups.tidy();
        }
    }

    /// Adds what only the launcher knows.
    pub fn complete(&self, workload: &mut api::Workload) {
        for instance in workload.replicas.iter_mut().chain(&mut workload.shadow) {
            if let Some(live) = self.live.get(&instance.name) {
                live.complete(instance);
            }
        }
        workload.notes.extend(self.notes.list());
    }

    /// Gives the control groups back, to be removed when everything has ended.
    pub fn into_groups(self) -> Option<Groups> {
        self.groups
    }

    fn log(&self, name: &str) -> PathBuf {
        self.shop.logs.join(format!("{name}.log"))
    }

    fn config_file(&self, name: &str) -> PathBuf {
        self.shop.run.join(format!("{name}.yaml"))
    }

    fn admin_file(&self, name: &str) -> PathBuf {
        self.shop.run.join(format!("{name}.admin"))
    }
}

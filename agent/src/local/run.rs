//! The orchestrator's one loop: time, events, calls and signals go into the state machine; what it wants is done. See [`orchestrate`].

use super::api::{Locator, Workload};
use super::cgroup::{self, Groups};
use super::files;
use super::guard::Guard;
use super::home::{ClaimError, Home, locator_file, log_file};
use super::launch::{Launcher, Workshop};
use super::machine::clock::Now;
use super::machine::scale::Bounds;
use super::machine::slot::{Event, Limits};
use super::machine::{Machine, Settings};
use super::mark;
use super::notes::Notes;
use super::rotation::Rotation;
use super::server::{self, Call, Refusal, Wanted};
use super::spec::{Scaler, Spec, SpecError};
use axum::http::StatusCode;
use std::io;
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// Deadlines are met to this.
const TICK: Duration = Duration::from_millis(50);
/// Ticks between two rounds of tidying: a second.
const TEND_EVERY: u32 = 20;
/// Longest wait at the end for what can no longer be asked.
const SWEEP: Duration = Duration::from_secs(2);

/// Why the orchestrator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum OrchestrateError {
    /// The spec cannot be carried out.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Another one has the state directory.
    #[error("another orchestrator is running in {0}; end it with POST /v1/shutdown or SIGTERM, or choose another state_dir")]
    Busy(String),
    /// Clients' port is taken.
    #[error("port {0} of 127.0.0.1 is taken; choose another front_port, or 0 for any")]
    FrontPort(u16),
    /// The system refuses something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OrchestrateError {
    /// Exit code: 78 configuration, 69 unavailable, 70 internal.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec(_) => 78,
            Self::Busy(_) | Self::FrontPort(_) => 69,
            Self::Io { .. } => 70,
        }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs until `POST /v1/shutdown`, SIGTERM or SIGINT; then drains and ends everything that it started. A second signal ends it all at
/// once. Nothing is left behind, also when this process is killed (`local::guard`).
pub async fn orchestrate(spec: Spec) -> Result<(), OrchestrateError> {
    spec.check()?;
    let home = claim(&spec.state_dir)?;
    let mut notes = Notes::default();
    let earlier = mark::end(&home.family(), Duration::from_secs(1)).await;
    if earlier > 0 {
        notes.add(format!("{earlier} processes that an earlier orchestrator had left behind were ended"));
    }
    if spec.front_port != 0 {
        StdListener::bind(("127.0.0.1", spec.front_port)).map_err(|_| OrchestrateError::FrontPort(spec.front_port))?;
    }
    let groups = open_groups(&mut notes);
    let mark = format!("{}{:016x}-", home.family(), rand::random::<u64>());
    let tops = groups.iter().flat_map(Groups::tops);
    let guard = Guard::start(&mark, &locator_file(&home.dir), tops).map_err(OrchestrateError::io("the guard does not start"))?;

    let (events, seen) = mpsc::channel(1_024);
    let rotation = Rotation::new(&home.run()).map_err(OrchestrateError::io("endpoints cannot be written"))?;
    let shop = Workshop { spec: spec.clone(), run: home.run(), logs: home.logs(), mark: mark.clone(), rotation };
    let launcher = Launcher::new(shop, groups, events, notes);
    let calls = serve(&home, &spec).await?;
    let groups = Loop::new(spec, launcher, home).run(seen, calls).await?;

    // Only what escaped its group can be left here: a daemon of the application's, say.
    mark::end(&mark, Duration::from_millis(200)).await;
    if let Some(groups) = groups {
        close(groups).await;
    }
    guard.release().map_err(OrchestrateError::io("the guard does not end"))
}

fn claim(dir: &Path) -> Result<Home, OrchestrateError> {
    Home::claim(dir).map_err(|e| match e {
        ClaimError::Busy => OrchestrateError::Busy(dir.display().to_string()),
        ClaimError::Io(source) => OrchestrateError::Io { what: format!("state directory {}", dir.display()), source },
    })
}

fn open_groups(notes: &mut Notes) -> Option<Groups> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let opened = Groups::open(Path::new(cgroup::MOUNT), &membership, std::process::id());
    let told = "instances are only told their limits (CPU_LIMIT_MILLIS, MEMORY_LIMIT_BYTES)";
    opened.map_err(|why| notes.add(format!("limits are off: {why}; {told}"))).ok()
}

/// Opens the API and says where it is.
async fn serve(home: &Home, spec: &Spec) -> Result<mpsc::Receiver<Call>, OrchestrateError> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(OrchestrateError::io("the API has no port"))?;
    let address = listener.local_addr().map_err(OrchestrateError::io("the API has no address"))?;
    let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    let (calls, called) = mpsc::channel(64);
    let router = server::router(calls, &token);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let locator = Locator { pid: std::process::id(), url: format!("http://{address}"), token, spec: spec.fingerprint() };
    home.announce(&locator).map_err(OrchestrateError::io("the locator cannot be written"))?;
    tracing::info!(url = %locator.url, pid = locator.pid, "orchestrating {}", spec.name);
    Ok(called)
}

async fn close(mut groups: Groups) {
    // The kernel lets go of a group a moment after its last process.
    let deadline = Instant::now() + SWEEP;
    while !groups.is_tidy() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        groups.tidy();
    }
    groups.close();
}

struct Loop {
    spec: Spec,
    machine: Machine,
    launcher: Launcher,
    home: Home,
    start: Instant,
}

impl Loop {
    fn new(spec: Spec, launcher: Launcher, home: Home) -> Self {
        let start = Instant::now();
        let limits =
            Limits { ready_timeout: Duration::from_secs_f64(spec.app.ready_timeout_s), drain: Duration::from_secs_f64(spec.app.drain_s) };
        let bounds = Bounds { initial: spec.replicas, min: spec.min, max: spec.max };
        let machine = Machine::new(Settings { bounds, limits }, now(start));
        Self { spec, machine, launcher, home, start }
    }

    async fn run(
        mut self,
        mut seen: mpsc::Receiver<(String, Event)>,
        mut calls: mpsc::Receiver<Call>,
    ) -> Result<Option<Groups>, OrchestrateError> {
        let handler = |kind| signal(kind).map_err(OrchestrateError::io("signals cannot be handled"));
        let (mut terminate, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
        // A terminal that closes is no wish to end.
        let _hangup = handler(SignalKind::hangup())?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0u32;
        while !self.machine.is_finished() {
            self.carry_out();
            tokio::select! {
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(TEND_EVERY) {
                        self.tend();
                    }
                }
                Some((name, event)) = seen.recv() => self.take_note(&name, event),
                Some(call) = calls.recv() => self.answer(call),
                _ = terminate.recv() => self.stop(),
                _ = interrupt.recv() => self.stop(),
            }
        }
        self.carry_out();
        self.home.leave();
        Ok(self.launcher.into_groups())
    }

    /// Decides until nothing changes any more. The rotation goes first: nobody is ended who may still be sent requests.
    fn carry_out(&mut self) {
        loop {
            let acts = self.machine.step(now(self.start));
            self.launcher.publish(self.machine.production_endpoints(), self.machine.shadow_endpoint());
            if acts.is_empty() {
                return;
            }
            for (name, act) in acts {
                self.do_one(&name, act);
            }
        }
    }

    fn do_one(&mut self, name: &str, act: super::machine::slot::Act) {
        let front = self.machine.front().admin_url().map(str::to_owned);
        // One that is gone has nothing but its name left.
        let Some(slot) = self.machine.slots().find(|slot| slot.name == name) else {
            return self.launcher.remove(name);
        };
        for event in self.launcher.perform(slot, act, front) {
            self.take_note(name, event);
        }
    }

    fn take_note(&mut self, name: &str, event: Event) {
        self.launcher.note(name, &event);
        self.machine.observe(name, event, now(self.start));
    }

    fn stop(&mut self) {
        if self.machine.is_stopping() {
            self.machine.abort(now(self.start));
        }
        self.machine.stop();
    }

    fn tend(&mut self) {
        self.launcher.tend();
        // Nothing to bound when it was started in a terminal.
        let _ = files::bound_log(&log_file(&self.home.dir));
    }

    fn answer(&mut self, call: Call) {
        let decided = self.decide(call.wanted);
        self.carry_out();
        // The caller may be gone.
        let _ = call.answer.send(decided.map(|()| self.report()));
    }

    fn decide(&mut self, wanted: Wanted) -> Result<(), Refusal> {
        if self.machine.is_stopping() && !matches!(wanted, Wanted::Nothing | Wanted::Shutdown) {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the orchestrator is ending"));
        }
        match wanted {
            Wanted::Nothing => {}
            Wanted::Replicas(_) if self.spec.scaler == Scaler::None => {
                let reason = "scaler is `none`: only the floor scales; start the orchestrator with `external` to use this call";
                return Err(Refusal::new(StatusCode::CONFLICT, reason));
            }
            Wanted::Replicas(replicas) => self.machine.wish.request(replicas),
            Wanted::Floor { replicas, ttl, reason } => self.machine.wish.raise_floor(now(self.start), replicas, ttl, reason),
            Wanted::NoFloor => self.machine.wish.drop_floor(),
            Wanted::Shadow(name) => {
                let profiles = self.spec.profiles();
                let unknown = || format!("unknown profile `{name}`; expected one of {}", profiles.names().join(", "));
                let profile = profiles.get(&name).ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, unknown()))?;
                self.machine.want_shadow(Some((name, profile.size())));
            }
            Wanted::NoShadow => self.machine.want_shadow(None),
            Wanted::Shutdown => self.machine.stop(),
        }
        Ok(())
    }

    fn report(&mut self) -> Workload {
        let mut workload = self.machine.report(now(self.start));
        workload.name.clone_from(&self.spec.name);
        workload.release = self.spec.release();
        self.launcher.complete(&mut workload);
        workload
    }
}

fn now(start: Instant) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: start.elapsed(), unix_ms: unix.as_millis() as u64 }
}

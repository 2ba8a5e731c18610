//! One instance: what its handlers and its watcher share, and the path of one request through it.
//!
//! Promises: every request is counted once, under what became of it. Not here: HTTP ([`crate::app::server`]).

use crate::app::burn::Burner;
use crate::app::class::Class;
use crate::app::faults::Faults;
use crate::app::memory::{Memory, touched};
use crate::app::pool::{Full, Pool};
use crate::app::settings::Settings;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A running instance.
#[derive(Debug)]
pub struct Instance {
    settings: Settings,
    pool: Pool,
    burner: Burner,
    /// Its memory.
    pub memory: Memory,
    faults: Mutex<Faults>,
    rng: Mutex<ChaCha8Rng>,
    started: AtomicBool,
    ending: AtomicBool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    served: [AtomicU64; 3],
    refused_full: AtomicU64,
    refused_not_ready: AtomicU64,
    abandoned: AtomicU64,
    faults_refused: AtomicU64,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Still starting, or ending.
    NotReady,
    /// Every worker held and the queue full.
    QueueFull,
}

/// How a served request spent its time.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// In the queue.
    pub queued: Duration,
    /// With a worker held.
    pub held: Duration,
}

/// `/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Whether it takes requests.
    pub ready: bool,
    /// Workers when no fault stands.
    pub workers: usize,
    /// Workers that still work.
    pub pool: f64,
    /// Workers held.
    pub busy: usize,
    /// Requests waiting for a worker.
    pub queue: usize,
    /// Room for waiting requests.
    pub queue_limit: usize,
    /// Requests served.
    pub served: u64,
    /// The same by class.
    pub served_by_class: std::collections::BTreeMap<Class, u64>,
    /// Refused because the queue was full.
    pub refused_full: u64,
    /// Refused because the instance was starting or ending.
    pub refused_not_ready: u64,
    /// Requests whose client went away first.
    pub abandoned: u64,
    /// Fault documents that were refused.
    pub faults_refused: u64,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// Leaked bytes.
    pub leaked_bytes: u64,
    /// Processor seconds of this process.
    pub cpu_s: f64,
}

impl Instance {
    /// An instance that is still starting.
    pub fn new(settings: Settings) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        Self {
            pool: Pool::new(settings.workers, settings.queue),
            burner: Burner::calibrated(settings.cpu_threads),
            memory: Memory::new(settings.memory_limit),
            faults: Mutex::default(),
            rng: Mutex::new(rng),
            started: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            counts: Counts::default(),
            settings,
        }
    }

    /// What it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes requests from now on.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// `/healthz` says no from now on; requests are still served.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether `/healthz` says yes.
    pub fn ready(&self) -> bool {
        self.started.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed)
    }

    /// The faults that stand.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts these faults in the place of those that stand.
    pub fn set_faults(&self, faults: Faults) {
        self.pool.set_factor(faults.pool_factor);
        if faults.release_leaked {
            self.memory.release();
        }
        *self.faults() = faults;
    }

    /// Counts a document that could not be used.
    pub fn refuse_faults(&self) {
        self.counts.faults_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// One request from its arrival to its answer.
    pub async fn work(&self, class: Class) -> Result<Served, Refused> {
        if !self.started.load(Ordering::Relaxed) {
            self.counts.refused_not_ready.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::NotReady);
        }
        let mut unfinished = Unfinished { abandoned: Some(&self.counts.abandoned) };
        let arrived = Instant::now();
        let worker = self.pool.acquire().await.map_err(|Full| {
            unfinished.abandoned = None;
            self.counts.refused_full.fetch_add(1, Ordering::Relaxed);
            Refused::QueueFull
        })?;
        let began = Instant::now();
        let memory = touched((self.settings.request_bytes as f64 * class.memory_factor()) as usize);
        let (wait, work, leak) = self.draw(class);
        tokio::time::sleep(wait).await;
        self.burner.burn(work).await;
        self.memory.leak(leak as f64);
        drop((memory, worker));
        unfinished.abandoned = None;
        self.counts.served[class.index()].fetch_add(1, Ordering::Relaxed);
        Ok(Served { queued: began - arrived, held: began.elapsed() })
    }

    /// Waiting time, processor work and leaked bytes of one request. The log-normal has the wanted mean: mu = ln(mean) - sigma^2 / 2.
    fn draw(&self, class: Class) -> (Duration, Duration, u64) {
        let faults = self.faults();
        let mean = self.settings.io.as_secs_f64() * class.io_factor() * faults.cost(class);
        let sigma = class.io_sigma();
        let mu = mean.max(1e-9).ln() - sigma * sigma / 2.0;
        let io = LogNormal::new(mu, sigma).map_or(mean, |d| d.sample(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner)));
        let work = self.settings.cpu.mul_f64(class.cpu_factor() * faults.cpu_factor * self.memory.pressure());
        (Duration::from_secs_f64(io + faults.dependency_ms / 1e3), work, faults.leak_bytes_per_request)
    }

    /// Everything that can be counted.
    pub fn stats(&self) -> Stats {
        let usage = self.pool.usage();
        let of = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let by_class: std::collections::BTreeMap<_, _> = Class::ALL.into_iter().map(|c| (c, of(&self.counts.served[c.index()]))).collect();
        Stats {
            ready: self.ready(),
            workers: self.settings.workers,
            pool: usage.pool,
            busy: usage.busy,
            queue: usage.queue,
            queue_limit: self.settings.queue,
            served: by_class.values().sum(),
            served_by_class: by_class,
            refused_full: of(&self.counts.refused_full),
            refused_not_ready: of(&self.counts.refused_not_ready),
            abandoned: of(&self.counts.abandoned),
            faults_refused: of(&self.counts.faults_refused),
            resident_bytes: self.memory.resident(),
            leaked_bytes: self.memory.leaked(),
            cpu_s: crate::cpu::process_cpu().as_secs_f64(),
        }
    }
}

/// Counts a request whose handler was dropped before its end.
struct Unfinished<'a> {
    abandoned: Option<&'a AtomicU64>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned {
            abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

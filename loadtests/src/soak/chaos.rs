//! What happens around the sidecar, at random: kills, reloads, run-time values, rotated logs.

use super::backend::Backend;
use super::config::config;
use crate::sidecar::Sidecar;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::sync::Arc;

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Struck {
    /// Backends killed.
    pub kills: u64,
    /// Configurations written.
    pub reloads: u64,
    /// Configurations written that are wrong.
    pub broken_reloads: u64,
    /// Run-time values set.
    pub values: u64,
    /// Access logs rotated.
    pub rotations: u64,
}

/// The one who strikes.
pub struct Chaos {
    rng: ChaCha8Rng,
    backends: Vec<Arc<Backend>>,
    ports: Vec<u16>,
    down: Vec<(usize, u32)>,
    variant: u64,
    /// What happened so far.
    pub struck: Struck,
}

impl Chaos {
    /// The shadow is killed like any other.
    pub fn new(seed: u64, apps: Vec<Arc<Backend>>, shadow: Arc<Backend>) -> Self {
        let backends: Vec<_> = apps.into_iter().chain([shadow]).collect();
        let ports = backends.iter().map(|b| b.port()).collect();
        Self { ports, rng: ChaCha8Rng::seed_from_u64(seed ^ 0xc4a05), backends, down: Vec::new(), variant: 0, struck: Struck::default() }
    }

    /// Lets one thing happen, and what was killed some time ago come back.
    pub async fn strike(&mut self, proxy: &Sidecar) {
        for (_, left) in &mut self.down {
            *left -= 1;
        }
        let (back, still): (Vec<_>, Vec<_>) = self.down.drain(..).partition(|d| d.1 == 0);
        self.down = still;
        for (nth, _) in back {
            self.backends[nth].revive().await;
        }
        match self.rng.random_range(0..10) {
            0..3 => self.kill(),
            3 | 4 => {
                self.variant += 1;
                self.struck.reloads += 1;
                // A file that cannot be written shows in the sidecar's generation.
                let (shadow, apps) = self.ports.split_last().unwrap_or((&0, &[]));
                let _ = proxy.configure(|at| config(at, apps, *shadow, self.variant));
            }
            5 => {
                self.struck.broken_reloads += 1;
                // Refused as a whole; the next good one mends it.
                let _ = proxy.configure(|_| "static_resources: { listeners: [{}] }".to_owned());
            }
            6 | 7 => {
                self.struck.values += 1;
                let percent = self.rng.random_range(0..250);
                proxy.post(&format!("/runtime_modify?mirror.shadow={percent}&foreshadow.ttl_s=2")).await;
            }
            8 => {
                self.struck.rotations += 1;
                proxy.rotate();
            }
            _ => {}
        }
    }

    fn kill(&mut self) {
        let nth = self.rng.random_range(0..self.backends.len());
        if self.down.iter().all(|d| d.0 != nth) {
            self.struck.kills += 1;
            self.backends[nth].kill();
            self.down.push((nth, self.rng.random_range(1..4)));
        }
    }

    /// Everything comes back.
    pub async fn mend(&mut self) {
        self.down.clear();
        for backend in &self.backends {
            backend.revive().await;
        }
    }
}

//! What an instance does by itself: follows the faults file, leaks, watches its memory, becomes ready.
//!
//! Called by [`crate::app::server`]. Promises: a file that is missing means no faults; one that cannot be used changes nothing, and is said
//! and counted once. A replaced file takes effect within a tenth of a second. Not here: `POST /faults`.

use crate::app::faults::Faults;
use crate::app::state::Instance;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Follows a file of faults.
struct File {
    path: PathBuf,
    /// What it held at the last look; None = there was none.
    seen: Option<Vec<u8>>,
}

impl File {
    async fn look(&mut self, instance: &Instance) {
        let now = tokio::fs::read(&self.path).await.ok();
        if now == self.seen {
            return;
        }
        match now.as_deref().map_or_else(|| Ok(Faults::default()), Faults::parse) {
            Ok(faults) => instance.set_faults(faults),
            Err(e) => {
                instance.refuse_faults();
                tracing::warn!("{}: {e}; the faults stay as they were", self.path.display());
            }
        }
        self.seen = now;
    }
}

/// Runs until the instance is out of memory; never ends otherwise.
pub(super) async fn watch(instance: &Instance, faults_file: Option<PathBuf>) {
    let began = Instant::now();
    let mut file = faults_file.map(|path| File { path, seen: None });
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut last, mut started) = (began, false);
    loop {
        let now = ticks.tick().await;
        if let Some(file) = &mut file {
            file.look(instance).await;
        }
        let (leak, extra) = {
            let faults = instance.faults();
            (faults.leak_mib_per_s, faults.start_delay_s)
        };
        if !started && now - began >= instance.settings().start_delay + Duration::from_secs_f64(extra) {
            started = true;
            instance.start();
        }
        instance.memory.leak(leak * f64::from(1 << 20) * (now - last).as_secs_f64());
        last = now;
        if instance.memory.look() {
            return;
        }
    }
}

//! Finds or starts the instances that the configuration speaks of.
//!
//! Called by `app` at start and end. Promises: a running orchestrator of the same specification is taken over (an agent that was killed
//! finds its instances again), a new one is started only when there is none, and only one that was started here is ended here.

use crate::config::Config;
use crate::config::model::{Discovery, Local, Methods, Workload};
use crate::http::Http;
use crate::local::api::Locator;
use crate::local::client::{self, ClientError, Found};
use crate::local::spec::{self, Scaler, Spec, SpecError};
use crate::observe::source::Source;
use crate::orchestrator::Orchestrator;
use std::path::PathBuf;
use std::time::Duration;

/// Why instances cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The orchestrator does not start.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It would refuse what it would be told.
    #[error("discovery.local: {0}")]
    Spec(#[from] SpecError),
    /// Our own program, which is the orchestrator's too, is not known.
    #[error("this program does not know where it is: {0}")]
    Program(std::io::Error),
}

/// Instances, and whether ending them is ours to do.
#[derive(Debug)]
pub struct Instances {
    /// Where they are.
    pub source: Source,
    /// What was started here, and how long it may take to end.
    started: Option<(Locator, Duration)>,
}

impl Instances {
    /// Finds or starts them.
    pub async fn start(config: &Config, http: &Http) -> Result<Self, LaunchError> {
        let local = match &config.discovery {
            Discovery::Static(list) => return Ok(Self { source: Source::fixed(&config.workload.name, list), started: None }),
            Discovery::Local(local) => local,
        };
        let spec = specification(&config.workload, local);
        spec.check()?;
        let Found { locator, started } = client::start_or_attach(&spec, &program()?).await?;
        let source = Source::Local(Orchestrator::new(http.clone(), locator.clone()));
        Ok(Self { source, started: started.then(|| (locator, client::patience(&spec))) })
    }

    /// Ends what was started here, and waits until it is gone.
    pub async fn end(self) {
        let Some((locator, patience)) = self.started else { return };
        tracing::info!(pid = locator.pid, "ending the orchestrator and everything it started");
        if let Err(e) = client::end(&locator, patience).await {
            tracing::warn!(error = %e, "the orchestrator did not end as asked");
        }
    }
}

/// This program, also when its file has been replaced by a newer build meanwhile.
fn program() -> Result<PathBuf, LaunchError> {
    std::env::current_exe().map_err(LaunchError::Program)
}

/// What the orchestrator is told.
fn specification(workload: &Workload, local: &Local) -> Spec {
    let app = &local.app;
    Spec {
        name: workload.name.clone(),
        state_dir: local.state_dir.clone(),
        front_port: local.front_port,
        proxy_command: local.proxy_command.clone(),
        replicas: local.replicas,
        min: workload.settings.min_replicas,
        max: workload.settings.max_replicas,
        scaler: if local.external_scaler { Scaler::External } else { Scaler::None },
        app: spec::App {
            command: app.command.clone(),
            env: app.env.clone(),
            ready_path: app.ready_path.clone(),
            ready_timeout_s: app.ready_timeout.as_secs_f64(),
            drain_s: app.drain.as_secs_f64(),
            cpu_cores: app.cpu_cores,
            memory_bytes: app.memory_mib.map(|mib| mib << 20),
        },
        mirror: spec::Mirror {
            methods: match workload.shadow.methods {
                Methods::Safe => spec::Methods::Safe,
                Methods::All => spec::Methods::All,
            },
            ..spec::Mirror::default()
        },
        runtime_key: "foreshadow.mirror".to_owned(),
        profiles: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, PROFILES};
    use crate::local::profile::Profiles;

    #[test]
    fn the_shipped_configuration_can_be_carried_out() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/local.yaml")).unwrap();
        let config = config::parse(&text, "local.yaml").unwrap();
        let Discovery::Local(local) = &config.discovery else { panic!("the shipped file is for the local orchestrator") };
        let spec = specification(&config.workload, local);
        assert_eq!(spec.check(), Ok(()));
        assert_eq!((spec.min, spec.max, spec.app.memory_bytes), (2, 12, Some(128 << 20)));
    }

    #[test]
    fn profiles_of_the_configuration_exist() {
        let mut known = PROFILES.to_vec();
        known.sort_unstable();
        assert_eq!(Profiles::with(&Default::default()).names(), known);
    }
}

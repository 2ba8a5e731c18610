//! Where the instances are: asked of the local orchestrator, or listed in the configuration. Either way a [`Workload`] comes out.
//!
//! Called by `collect` every tick. Not here: changing anything (see `act`).

use crate::config::model::{Static, StaticInstance};
use crate::http::HttpError;
use crate::local::api::{Instance, Scale, State, Workload};
use crate::orchestrator::Orchestrator;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A source of instances.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Source {
    /// The local orchestrator.
    Local(Orchestrator),
    /// The configuration's list.
    Static(Arc<Workload>),
}

impl Source {
    /// A source that always answers what the configuration lists.
    pub fn fixed(name: &str, list: &Static) -> Self {
        let replicas: Vec<Instance> =
            list.production.iter().enumerate().map(|(i, s)| instance(format!("{name}-{i}"), "production", s)).collect();
        let count = replicas.len() as u32;
        Self::Static(Arc::new(Workload {
            name: name.to_owned(),
            scale: Scale { desired: count, min: count, max: count, ..Scale::default() },
            replicas,
            shadow: list.shadow.as_ref().map(|s| instance(format!("{name}-shadow"), "static", s)),
            ..Workload::default()
        }))
    }

    /// The workload now.
    pub async fn workload(&self) -> Result<Arc<Workload>, HttpError> {
        match self {
            Self::Local(orchestrator) => orchestrator.workload().await.map(Arc::new),
            Self::Static(workload) => Ok(workload.clone()),
        }
    }

    /// The orchestrator, when there is one.
    pub fn orchestrator(&self) -> Option<&Orchestrator> {
        match self {
            Self::Local(orchestrator) => Some(orchestrator),
            Self::Static(_) => None,
        }
    }
}

fn instance(name: String, profile: &str, listed: &StaticInstance) -> Instance {
    Instance {
        name,
        profile: profile.to_owned(),
        size: 1.0,
        state: State::Ready,
        pid: listed.pid.unwrap_or(0),
        app_url: listed.app_url.clone().unwrap_or_default(),
        admin_url: listed.admin_url.clone(),
        cgroups: listed.cgroup.iter().map(|dir| ("unified".to_owned(), dir.clone())).collect::<BTreeMap<_, _>>(),
        ..Instance::default()
    }
}

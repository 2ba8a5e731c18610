//! Which controller leads: a Lease, taken and renewed by compare-and-swap.
//!
//! Promises: a leader that cannot renew stops its work well before another may begin; expiry is judged by the time since this replica last
//! saw the Lease change, never by another machine's clock; SIGTERM lets it go, so that the other one leads at once.

use crate::kubernetes::metrics::Metrics;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Name of the Lease.
pub const NAME: &str = "foreshadow-controller";
/// A leader may be silent this long.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// One replica's part in it.
#[derive(Clone)]
pub struct Election {
    api: Api<Lease>,
    me: String,
}

/// What a look at the Lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Ours,
    Free,
    Others,
}

impl Election {
    /// For the replica called `me`.
    pub fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), me: me.to_owned() }
    }

    /// Does `work` whenever this replica leads; it is dropped when it leads no more.
    pub async fn lead<F: Future<Output = ()>>(self, metrics: Arc<Metrics>, work: impl Fn() -> F) {
        loop {
            self.until_taken().await;
            tracing::info!(me = self.me, "leading");
            metrics.leads(true);
            tokio::select! {
                () = work() => tracing::error!("the leader's work ended by itself; it begins again"),
                () = self.while_kept() => tracing::warn!("leading no more"),
            }
            metrics.leads(false);
        }
    }

    async fn until_taken(&self) {
        let mut seen: Option<(Option<Lease>, Instant)> = None;
        loop {
            match self.api.get_opt(NAME).await {
                Ok(lease) => {
                    let same = seen.as_ref().is_some_and(|(before, _)| renewal(before.as_ref()) == renewal(lease.as_ref()));
                    if !same {
                        seen = Some((lease.clone(), Instant::now()));
                    }
                    let silent = seen.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
                    let take = match look(lease.as_ref(), &self.me) {
                        Look::Ours | Look::Free => true,
                        Look::Others => silent >= DURATION,
                    };
                    if take && self.write(lease.as_ref(), &self.me).await {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "the leader's Lease cannot be read"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews; returns when it cannot be known any more that nobody else leads.
    async fn while_kept(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < DEADLINE {
            tokio::time::sleep(RETRY).await;
            let begun = Instant::now();
            let kept = tokio::time::timeout(DEADLINE.saturating_sub(renewed.elapsed()), self.renew()).await;
            match kept {
                Ok(Some(true)) => renewed = begun,
                Ok(Some(false)) => return,
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Whether it is still ours; `None` when that cannot be told now.
    async fn renew(&self) -> Option<bool> {
        let lease = self.api.get_opt(NAME).await.ok()?;
        if look(lease.as_ref(), &self.me) == Look::Others {
            return Some(false);
        }
        self.write(lease.as_ref(), &self.me).await.then_some(true)
    }

    /// Lets it go, if it is ours.
    pub async fn let_go(&self) {
        let given_up = async {
            let lease = self.api.get_opt(NAME).await.ok().flatten()?;
            (look(Some(&lease), &self.me) == Look::Ours).then_some(())?;
            self.write(Some(&lease), "").await.then_some(())
        };
        // An API server that is away now will see the Lease expire.
        let _ = tokio::time::timeout(RETRY, given_up).await;
    }

    /// Writes over what was read; false when somebody else was first, or the API server is away.
    async fn write(&self, before: Option<&Lease>, holder: &str) -> bool {
        let now = MicroTime(Timestamp::now());
        let old = before.and_then(|l| l.spec.clone()).unwrap_or_default();
        let same = old.holder_identity.as_deref() == Some(holder);
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: old.acquire_time.filter(|_| same).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!same)),
            ..LeaseSpec::default()
        };
        let resource_version = before.and_then(|l| l.metadata.resource_version.clone());
        let metadata = ObjectMeta { name: Some(NAME.into()), resource_version, ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        let params = PostParams::default();
        let written = match before {
            None => self.api.create(&params, &lease).await,
            Some(_) => self.api.replace(NAME, &params, &lease).await,
        };
        written.inspect_err(|error| tracing::debug!(%error, "the leader's Lease was not written")).is_ok()
    }
}

fn look(lease: Option<&Lease>, me: &str) -> Look {
    match lease.and_then(|l| l.spec.as_ref()).and_then(|s| s.holder_identity.as_deref()) {
        None | Some("") => Look::Free,
        Some(holder) if holder == me => Look::Ours,
        Some(_) => Look::Others,
    }
}

fn renewal(lease: Option<&Lease>) -> Option<(Option<String>, Option<MicroTime>)> {
    lease.and_then(|l| l.spec.as_ref()).map(|s| (s.holder_identity.clone(), s.renew_time.clone()))
}

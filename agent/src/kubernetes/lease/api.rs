//! The Lease at the API server: read, create, take, renew, let go. What to do is decided by `lease::Claim`.
//!
//! Called by the node role. Promises: every write is a compare-and-swap on the resourceVersion that was read, so of two agents that
//! write at once one gets 409 and has not got it; whoever takes over keeps the holder before in the Lease, to ask it for its samples.

use super::{Contact, DURATION_MS, Record};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client};
use std::collections::BTreeMap;

const ADDRESS: &str = "foreshadow.dev/address";
const CERTIFICATE: &str = "foreshadow.dev/certificate-sha256";
const PREVIOUS_ADDRESS: &str = "foreshadow.dev/previous-address";
const PREVIOUS_CERTIFICATE: &str = "foreshadow.dev/previous-certificate-sha256";
/// The workload that a Lease is for, `namespace/name` of its ShadowScaler.
pub const WORKLOAD: &str = "foreshadow.dev/workload";
/// Label of all workloads' Leases.
pub const LABEL: (&str, &str) = ("foreshadow.dev/lease", "workload");

/// Leases of workloads, all in the agents' own namespace.
#[derive(Clone)]
pub struct Leases {
    api: Api<Lease>,
    me: String,
    contact: Contact,
}

/// A write that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote first.
    #[error("somebody else wrote the Lease first")]
    Raced,
    /// The API server said something else.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl Leases {
    /// In `namespace`, for the agent called `me`, which is reached at `contact`.
    pub fn new(client: Client, namespace: &str, me: &str, contact: Contact) -> Self {
        Self { api: Api::namespaced(client, namespace), me: me.to_owned(), contact }
    }

    /// The Lease of a workload.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn read(&self, workload: &str) -> Result<Option<Record>, kube::Error> {
        Ok(self.api.get_opt(&name(workload)).await?.map(|lease| record(&lease)))
    }

    /// Creates it, held by us.
    ///
    /// # Errors
    /// [`LeaseError::Raced`] when there is one by now.
    pub async fn create(&self, workload: &str) -> Result<Record, LeaseError> {
        let lease = self.lease(workload, &Record::default(), 1, true);
        won(self.api.create(&PostParams::default(), &lease).await)
    }

    /// Takes it over, or renews it when `term` is its own.
    ///
    /// # Errors
    /// [`LeaseError::Raced`] when it changed since `seen` was read.
    pub async fn hold(&self, workload: &str, seen: &Record, term: i64) -> Result<Record, LeaseError> {
        let lease = self.lease(workload, seen, term, true);
        won(self.api.replace(&name(workload), &PostParams::default(), &lease).await)
    }

    /// Lets it go.
    ///
    /// # Errors
    /// [`LeaseError::Raced`] when it changed since `seen` was read.
    pub async fn release(&self, workload: &str, seen: &Record) -> Result<Record, LeaseError> {
        let lease = self.lease(workload, seen, seen.term, false);
        won(self.api.replace(&name(workload), &PostParams::default(), &lease).await)
    }

    /// Removes it, when its workload is looked after no more.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn remove(&self, workload: &str, seen: &Record) -> Result<(), kube::Error> {
        let preconditions = Preconditions { resource_version: Some(seen.version.clone()), uid: None };
        self.api.delete(&name(workload), &DeleteParams::default().preconditions(preconditions)).await.map(|_| ())
    }

    fn lease(&self, workload: &str, seen: &Record, term: i64, held: bool) -> Lease {
        let before = if seen.holder == self.me || seen.holder.is_empty() && seen.contact == Contact::default() {
            seen.previous.clone()
        } else {
            seen.contact.clone()
        };
        let annotations = [
            (WORKLOAD, workload.to_owned()),
            (ADDRESS, self.contact.url.clone()),
            (CERTIFICATE, self.contact.certificate.clone()),
            (PREVIOUS_ADDRESS, before.url),
            (PREVIOUS_CERTIFICATE, before.certificate),
        ];
        let now = MicroTime(Timestamp::now());
        let acquired = seen.acquired.parse().ok().filter(|_| seen.holder == self.me && seen.term == term).map(MicroTime);
        Lease {
            metadata: ObjectMeta {
                name: Some(name(workload)),
                labels: Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into()),
                annotations: Some(annotations.map(|(k, v)| (k.to_owned(), v)).into()),
                resource_version: Some(seen.version.clone()).filter(|v| !v.is_empty()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(if held { self.me.clone() } else { String::new() }),
                lease_duration_seconds: Some((DURATION_MS / 1_000) as i32),
                lease_transitions: Some(i32::try_from(term).unwrap_or(i32::MAX)),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn won(answer: Result<Lease, kube::Error>) -> Result<Record, LeaseError> {
    match answer {
        Ok(lease) => Ok(record(&lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(LeaseError::Raced),
        Err(e) => Err(e.into()),
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let empty = BTreeMap::new();
    let annotations = lease.metadata.annotations.as_ref().unwrap_or(&empty);
    let contact = |url: &str, certificate: &str| Contact {
        url: annotations.get(url).cloned().unwrap_or_default(),
        certificate: annotations.get(certificate).cloned().unwrap_or_default(),
    };
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|t| t.0.to_string()).unwrap_or_default(),
        acquired: spec.acquire_time.map(|t| t.0.to_string()).unwrap_or_default(),
        duration_ms: spec.lease_duration_seconds.map_or(DURATION_MS, |s| u64::try_from(s).unwrap_or(0) * 1_000),
        term: i64::from(spec.lease_transitions.unwrap_or(0)),
        contact: contact(ADDRESS, CERTIFICATE),
        previous: contact(PREVIOUS_ADDRESS, PREVIOUS_CERTIFICATE),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Name of a workload's Lease: namespace and name, shortened with a hash where they would not fit (names have 253 characters at most).
pub fn name(workload: &str) -> String {
    let plain = format!("workload.{}", workload.replace('/', "."));
    if plain.len() <= 253 {
        return plain;
    }
    let hash = plain.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{}.{hash:016x}", plain[..236].trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name("shop/web"), "workload.shop.web");
        let long = format!("ns/{}", "a".repeat(252));
        let other = format!("{}b", &long[..254]);
        assert!(name(&long).len() <= 253 && name(&long) != name(&other));
    }
}

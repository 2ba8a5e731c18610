//! Looks at the pods of this node: every sidecar's snapshot, every container's control groups, all at once.
//!
//! Called by the reporter once a second. Promises: a sidecar is asked with its pod's UID, so that an address that went to another pod is
//! noticed; whatever did not answer is an error in the report; directories of control groups are looked for once for each container.

use super::groups::{self, Tops};
use super::pods::Local;
use super::wire::PodReport;
use crate::http::{Http, HttpError, request};
use crate::kubernetes::names::ACCESS_HEADER;
use crate::observe::cgroup;
use crate::observe::usage::Usage;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Largest snapshot.
const MOST_BYTES: usize = 16 << 20;
/// Longest wait for a sidecar: the look must end within its second.
const DEADLINE: Duration = Duration::from_millis(800);
/// A container whose control group was not found is looked for again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Directories of a container's control group by controller, and when they were looked for.
type Found = (Instant, BTreeMap<String, String>);

/// What is known of the control groups.
#[derive(Debug, Default)]
struct Groups {
    found: BTreeMap<String, Found>,
    tops: Option<(Instant, Tops)>,
}

/// Looks.
#[derive(Debug)]
pub struct Scraper {
    http: Http,
    root: PathBuf,
    began: Instant,
    groups: Groups,
}

impl Scraper {
    /// Control groups are below `root`, e.g. `/sys/fs/cgroup`.
    pub fn new(http: Http, root: PathBuf) -> Self {
        Self { http, root, began: Instant::now(), groups: Groups::default() }
    }

    /// Looks once at all of them; reports by workload.
    pub async fn look(&mut self, pods: &[Arc<Local>]) -> BTreeMap<String, Vec<PodReport>> {
        let mut asked = JoinSet::new();
        for (index, pod) in pods.iter().enumerate() {
            let Some(admin) = pod.instance.admin_url.clone() else { continue };
            let (http, uid) = (self.http.clone(), pod.uid.clone());
            asked.spawn(async move { (index, snapshot(&http, &admin, &uid).await) });
        }
        let used = self.usage(pods).await;
        let mut answers: BTreeMap<usize, Result<Box<RawValue>, String>> = BTreeMap::new();
        while let Some(done) = asked.join_next().await {
            answers.extend(done);
        }
        let mut reports: BTreeMap<String, Vec<PodReport>> = BTreeMap::new();
        for (index, (pod, usage)) in pods.iter().zip(used).enumerate() {
            let (snapshot, error) = match answers.remove(&index) {
                Some(Ok(snapshot)) => (Some(snapshot), None),
                Some(Err(e)) => (None, Some(e)),
                None => (None, None),
            };
            let (instance, shadow, release) = (pod.instance.clone(), pod.shadow, pod.release.clone());
            reports.entry(pod.workload.clone()).or_default().push(PodReport { instance, shadow, release, usage, snapshot, error });
        }
        reports
    }

    /// What the application's containers of each pod have used, read off the async threads.
    async fn usage(&mut self, pods: &[Arc<Local>]) -> Vec<Option<Usage>> {
        let live: BTreeSet<&String> = pods.iter().flat_map(|p| &p.containers).collect();
        self.groups.found.retain(|id, _| live.contains(id));
        let (mut groups, root, began) = (std::mem::take(&mut self.groups), self.root.clone(), self.began);
        let pods: Vec<Arc<Local>> = pods.to_vec();
        let read = tokio::task::spawn_blocking(move || {
            let used: Vec<Option<Usage>> = pods.iter().map(|pod| usage(pod, &mut groups, &root, began)).collect();
            (used, groups)
        });
        let Ok((used, groups)) = read.await else { return Vec::new() };
        self.groups = groups;
        used
    }

    /// Tells a sidecar of this node a share to copy.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn tell(http: &Http, url: &str, uid: &str) -> Result<(), HttpError> {
        http.ok(keyed(Method::POST, url, uid)?, 64 << 10, DEADLINE).await.map(|_| ())
    }
}

impl Groups {
    /// Directories of one container; looked for again when there were none.
    fn of(&mut self, pod: &Local, id: &str, root: &Path) -> &BTreeMap<String, String> {
        let known = self.found.get(id).is_some_and(|(at, dirs)| !dirs.is_empty() || at.elapsed() < LOOK_AGAIN);
        if !known {
            // A kubelet makes its top once, but perhaps after us.
            if self.tops.as_ref().is_none_or(|(at, _)| at.elapsed() >= LOOK_AGAIN) {
                self.tops = Some((Instant::now(), Tops::look(root)));
            }
            let dirs = self.tops.as_ref().map(|(_, tops)| groups::find(root, tops, pod.class, &pod.uid, id)).unwrap_or_default();
            self.found.insert(id.to_owned(), (Instant::now(), dirs));
        }
        &self.found[id].1
    }
}

fn usage(pod: &Local, groups: &mut Groups, root: &Path, began: Instant) -> Option<Usage> {
    let mut sum: Option<Usage> = None;
    for id in &pod.containers {
        let read = cgroup::read(groups.of(pod, id, root));
        if read != Usage::default() {
            sum = Some(sum.map_or(read, |s| s.plus(&read)));
        }
    }
    sum.map(|used| Usage { at_us: began.elapsed().as_micros() as u64, ..used })
}

async fn snapshot(http: &Http, admin: &str, uid: &str) -> Result<Box<RawValue>, String> {
    let request = keyed(Method::GET, &format!("{admin}/telemetry"), uid).map_err(|e| e.to_string())?;
    let body = http.ok(request, MOST_BYTES, DEADLINE).await.map_err(|e| e.to_string())?;
    serde_json::from_slice(&body).map_err(|e| format!("the snapshot is not JSON: {e}"))
}

fn keyed(method: Method, url: &str, uid: &str) -> Result<http::Request<http_body_util::Full<Bytes>>, HttpError> {
    let mut request = request(method, url, Bytes::new())?;
    let value = HeaderValue::from_str(uid).map_err(|e| HttpError::Malformed(e.to_string()))?;
    request.headers_mut().insert(HeaderName::from_static(ACCESS_HEADER), value);
    Ok(request)
}

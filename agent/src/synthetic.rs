//! The synthetic stream: open-loop Poisson requests to the shadow when live traffic cannot give the copies wished for.
//!
//! Started by `app`, aimed by `act`, its counts are merged into the shadow's by `observe::align`. Promises: it goes to the shadow's own
//! address only; every request is marked `x-foreshadow-copy: 1` and `x-foreshadow-synthetic: 1`; it never slows down when the shadow
//! does (arrivals are drawn ahead of answers), but what is under way is bounded and what the bound refuses is counted as failed.

use crate::http::{Http, HttpError, request};
use crate::observe::counts::Counts;
use bytes::Bytes;
use foreshadow_snapshot::RequestShape;
use http::{HeaderValue, header};
use rand::RngExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Most requests under way.
const MOST_IN_FLIGHT: usize = 256;
/// A request is ended after this: what a mirror policy's timeout is by default.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer read.
const LIMIT: usize = 16 << 20;
/// Most shapes kept.
const MOST_SHAPES: usize = 64;

/// Where and how fast.
#[derive(Debug, Clone, Default, PartialEq)]
struct Aim {
    rps: f64,
    url: String,
}

/// Handle of the stream. It ends when all handles are dropped.
#[derive(Debug, Clone)]
pub struct Synthetic {
    aim: Arc<watch::Sender<Aim>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    threshold: Duration,
    slots: Semaphore,
    shapes: Mutex<Vec<RequestShape>>,
    counts: Mutex<Counts>,
}

impl Synthetic {
    /// Starts it, at rest. `shapes` are used until real ones are offered.
    pub fn start(http: Http, threshold_ms: f64, shapes: Vec<RequestShape>) -> Self {
        let (aim, aimed) = watch::channel(Aim::default());
        let shared = Arc::new(Shared {
            http,
            threshold: Duration::from_secs_f64(threshold_ms / 1_000.0),
            slots: Semaphore::new(MOST_IN_FLIGHT),
            shapes: Mutex::new(shapes),
            counts: Mutex::new(Counts::default()),
        });
        tokio::spawn(run(aimed, shared.clone()));
        Self { aim: Arc::new(aim), shared }
    }

    /// Sets rate and target; no target is no stream.
    pub fn aim(&self, rps: f64, url: Option<&str>) {
        let url = url.unwrap_or_default().trim_end_matches('/').to_owned();
        let new = Aim { rps: if url.is_empty() { 0.0 } else { rps }, url };
        self.aim.send_if_modified(|old| std::mem::replace(old, new.clone()) != new);
    }

    /// Offers shapes of real requests; they replace what was there.
    pub fn offer<'a>(&self, shapes: impl Iterator<Item = &'a RequestShape>) {
        let mut seen: Vec<RequestShape> = shapes.take(MOST_SHAPES).cloned().collect();
        seen.dedup();
        if !seen.is_empty() {
            *self.shared.shapes.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        }
    }

    /// What it did since it was last asked.
    pub fn take(&self) -> Counts {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let in_flight = (MOST_IN_FLIGHT - self.shared.slots.available_permits()) as u64;
        Counts { in_flight, ..std::mem::take(&mut *counts) }
    }
}

async fn run(mut aimed: watch::Receiver<Aim>, shared: Arc<Shared>) {
    let mut next = Instant::now();
    loop {
        let aim = aimed.borrow_and_update().clone();
        if aim.rps <= 0.0 {
            if aimed.changed().await.is_err() {
                return;
            }
            next = Instant::now();
            continue;
        }
        next += gap(aim.rps, rand::rng().random::<f64>());
        tokio::select! {
            () = tokio::time::sleep_until(next) => send(&shared, &aim),
            changed = aimed.changed() => match changed {
                Ok(()) => next = Instant::now(),
                Err(_) => return,
            },
        }
    }
}

/// Time to the next arrival of a Poisson process, from a uniform number in 0..1.
fn gap(rps: f64, uniform: f64) -> Duration {
    Duration::from_secs_f64((-(1.0 - uniform).ln() / rps).min(3_600.0))
}

fn send(shared: &Arc<Shared>, aim: &Aim) {
    let shape = {
        let shapes = shared.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if shapes.is_empty() {
            return;
        }
        shapes[rand::rng().random_range(0..shapes.len())].clone()
    };
    shared.count(|c| c.arrivals += 1);
    if shared.slots.available_permits() == 0 {
        return shared.count(|c| c.end(None, true));
    }
    let (shared, url) = (shared.clone(), aim.url.clone());
    tokio::spawn(async move {
        let Ok(_slot) = shared.slots.acquire().await else { return };
        let began = Instant::now();
        let outcome = shared.exchange(&url, &shape).await;
        let took = began.elapsed();
        let bad = took > shared.threshold;
        shared.count(|c| match outcome {
            Ok(bytes) => {
                c.bytes += bytes;
                c.end(Some(took), bad);
            }
            Err(_) => c.end(None, true),
        });
    });
}

impl Shared {
    fn count(&self, with: impl FnOnce(&mut Counts)) {
        with(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One request; an answer below 500 is a success.
    async fn exchange(&self, url: &str, shape: &RequestShape) -> Result<u64, HttpError> {
        let method = shape.method.parse().map_err(|_| HttpError::Malformed(format!("method `{}`", shape.method)))?;
        let mut request = request(method, &format!("{url}{}", shape.path), Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert("x-foreshadow-copy", HeaderValue::from_static("1"));
        headers.insert("x-foreshadow-synthetic", HeaderValue::from_static("1"));
        if let Ok(host) = HeaderValue::from_str(&shape.host)
            && !shape.host.is_empty()
        {
            headers.insert(header::HOST, host);
        }
        let (status, body) = self.http.send(request, LIMIT, TIMEOUT).await?;
        if status.is_server_error() {
            return Err(HttpError::Status { status, text: String::new() });
        }
        Ok(body.len() as u64)
    }
}

impl Counts {
    fn end(&mut self, took: Option<Duration>, bad: bool) {
        self.requests += 1;
        self.bad += u64::from(bad);
        match took {
            Some(took) => self.latency.add(took.as_micros() as u64, 1),
            None => self.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;

    #[test]
    fn gaps_have_the_mean_of_a_poisson_process() {
        let n = 10_000;
        let sum: f64 = (0..n).map(|i| gap(50.0, (f64::from(i) + 0.5) / f64::from(n)).as_secs_f64()).sum();
        assert!((sum / f64::from(n) - 0.02).abs() < 0.0005);
    }

    #[tokio::test]
    async fn goes_marked_to_the_shadow_and_is_counted() {
        let marked = |headers: HeaderMap| async move {
            let both = headers.contains_key("x-foreshadow-copy") && headers.contains_key("x-foreshadow-synthetic");
            if both && headers["host"] == "shop" { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, Router::new().route("/work", get(marked))).into_future());
        let shape = RequestShape { method: "GET".into(), path: "/work".into(), host: "shop".into() };
        let stream = Synthetic::start(Http::default(), 1_000.0, vec![shape]);
        stream.aim(500.0, Some(&url));
        let mut counts = Counts::default();
        let deadline = Instant::now() + Duration::from_secs(10);
        while counts.requests < 20 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
            counts.add(&stream.take());
        }
        assert!(counts.requests >= 20, "{counts:?}");
        assert_eq!((counts.failed, counts.bad), (0, 0), "all were marked and named their host");
        stream.aim(500.0, None);
        let closed = "http://127.0.0.1:1";
        stream.aim(500.0, Some(closed));
        while counts.failed == 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
            counts.add(&stream.take());
        }
        assert!(counts.failed > 0 && counts.bad >= counts.failed, "a shadow that refuses is a failure");
    }
}

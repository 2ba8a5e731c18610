//! One copy on its way: waits for its time, its body and production's acceptance, goes, and closes its account whatever happens.
//!
//! Runs in a task of its own, which [`super::start`] starts.

use super::caps::Caps;
use super::pair::{Pair, Side, Which};
use super::tee::Collected;
use crate::error::ProxyError;
use crate::stats::{MirrorStats, RouteStats};
use crate::upstream::Upstream;
use crate::upstream::patience::Limits;
use crate::upstream::request::{Parcel, RequestBody};
use http_body::Body as _;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// One copy on its way.
pub struct Copy {
    /// Where it goes.
    pub upstream: Rc<Upstream>,
    /// Numbers of the request's route towards there.
    pub class: Option<Rc<RouteStats>>,
    /// Longest time from its sending to the end of its answer.
    pub timeout: Duration,
    /// The request.
    pub parcel: Parcel,
    /// Compares it with production; only the first copy of a request is compared.
    pub pair: Option<Rc<Pair>>,
    /// Wait before it is sent.
    pub delay: Option<Duration>,
    /// The body, when there is one to wait for.
    pub collected: Option<oneshot::Receiver<Collected>>,
    /// Whether production accepted the request, when that is asked.
    pub accepted: Option<oneshot::Receiver<bool>>,
}

impl Copy {
    /// Sends it and closes its account.
    pub async fn send(mut self, place: Place) {
        match self.run().await {
            Ok(()) => place.completed(),
            Err(reason) => place.dropped(reason),
        }
    }

    /// Until the answer has arrived whole, or why it has not.
    async fn run(&mut self) -> Result<(), &'static str> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        // Held until the end: the bytes are this long in use.
        let mut held = Collected::default();
        if let Some(wait) = self.collected.take() {
            // Nobody answers when the request's body went away before its end.
            held = wait.await.map_err(|_| "client_cancelled")?;
        }
        if let Some(reason) = held.refused {
            return Err(reason);
        }
        if let Some(wait) = self.accepted.take()
            && !wait.await.unwrap_or(false)
        {
            return Err("not_accepted");
        }
        if let Some(request) = &mut self.parcel {
            *request.body_mut() = RequestBody::held(held.frames.iter().cloned());
        }
        let limits = Limits { timeout: Some(self.timeout), ..Limits::none(Instant::now()) };
        let class = self.class.take();
        class.iter().for_each(|c| c.requests.add(1));
        let mut answer = match self.upstream.send(&mut self.parcel, &limits.into()).await {
            Ok(answer) => answer,
            Err(why) => {
                class.iter().for_each(|c| c.failures.add(1));
                return Err(why.reason());
            }
        };
        if let Some(class) = class {
            answer.body_mut().classify(class);
        }
        let side = Side::new(answer.status(), Some(answer.body().first_byte_us()));
        let mut digest = self.pair.as_ref().and_then(|pair| pair.head(Which::Copy, side));
        let mut body = pin!(answer.body_mut());
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|e| e.downcast_ref::<ProxyError>().map_or("reset", |p| p.reason()))?;
            if let (Some(digest), Some(data)) = (&mut digest, frame.data_ref()) {
                digest.add(data);
            }
        }
        if let (Some(digest), Some(pair)) = (digest, &self.pair) {
            pair.body(Which::Copy, digest);
        }
        Ok(())
    }
}

/// A copy's place in the account: closed exactly once, also when its task is dropped.
#[derive(Debug)]
pub struct Place {
    stats: Rc<MirrorStats>,
    caps: Arc<Caps>,
    over: Cell<bool>,
}

impl Place {
    /// A place that was counted as taken already.
    pub fn new(stats: &Rc<MirrorStats>, caps: &Arc<Caps>) -> Self {
        Self { stats: stats.clone(), caps: caps.clone(), over: Cell::new(false) }
    }

    fn completed(&self) {
        self.close();
        self.stats.completed.add(1);
    }

    fn dropped(&self, reason: &'static str) {
        self.close();
        self.stats.dropped.add(reason);
    }

    fn close(&self) {
        self.over.set(true);
        self.stats.in_flight.sub(1);
        self.caps.leave();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.over.get() {
            self.dropped("shutdown");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_closed_exactly_once() {
        let stats = Rc::new(MirrorStats::default());
        let caps = Arc::new(Caps::default());
        stats.in_flight.add(2);
        assert!(caps.enter(2) && caps.enter(2) && !caps.enter(2));
        Place::new(&stats, &caps).completed();
        drop(Place::new(&stats, &caps));
        assert!(caps.enter(2) && caps.enter(2));
        assert_eq!((stats.in_flight.get(), stats.completed.get()), (0, 1));
    }
}

//! The hand of a Lease holder: sets and withdraws one workload's floor in the cluster, as the control loop asks.
//!
//! Made by the node role for each workload that it holds; the control loop calls it after it has recorded what it is about to do. Promises:
//! nothing is written without the Lease (its term is asked for at every call and written into the mark); every refusal has its defined
//! answer (`act::refusal`) and is told once as an Event; what an answer forbids is not even asked again until its time is over.

use super::act::carrier::{self, Carrier, Outcome, Seen};
use super::act::floor::{self, Kind, Wish};
use super::act::refusal::{Answer, Refusal};
use super::act::scaler::{self, Target};
use super::tell::Teller;
use crate::hands::Hands;
use crate::local::api::SetFloor;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest that one call may take, all requests together.
const DEADLINE: Duration = Duration::from_secs(8);
/// Where the floor goes is looked for again after this.
const PLACE_FOR: Duration = Duration::from_secs(60);

/// Says whether we hold the Lease now, and under which term.
pub type Fence = Arc<dyn Fn() -> Option<i64> + Send + Sync>;

/// The hand.
#[derive(Clone)]
pub struct Hand {
    client: Client,
    namespace: String,
    scaler: String,
    target: Target,
    fence: Fence,
    teller: Teller,
    state: Arc<Mutex<State>>,
}

/// What the hand knows.
#[derive(Default)]
struct State {
    /// Where the floor goes, and when that was found.
    carrier: Option<(Instant, Carrier)>,
    /// Nothing is asked before this.
    closed: Option<(Instant, Refusal)>,
    /// This value is not asked for before this.
    held: Option<(Option<u32>, Instant, Refusal)>,
    /// The floor that was accepted last, also when nothing had to be written for it, and when it ends.
    accepted: Option<(u32, Timestamp)>,
    /// Pauses in a row without an answer.
    silent: u32,
    /// What stands in the way now.
    refusal: Option<Refusal>,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").field("scaler", &self.scaler).field("target", &self.target).finish_non_exhaustive()
    }
}

impl Hand {
    /// For the workload of one ShadowScaler, `namespace/name`.
    pub fn new(client: Client, scaler: &str, target: Target, fence: Fence, teller: Teller) -> Self {
        let namespace = scaler.split('/').next().unwrap_or_default().to_owned();
        Self { client, namespace, scaler: scaler.to_owned(), target, fence, teller, state: Arc::default() }
    }

    /// What stands in the way of acting, when something does.
    pub fn refusal(&self) -> Option<Refusal> {
        self.lock().refusal.clone()
    }

    /// The floor that was accepted last and has not ended.
    pub fn accepted(&self, now: Timestamp) -> Option<(u32, Timestamp)> {
        self.lock().accepted.filter(|(_, until)| *until > now)
    }

    /// Where the floor goes, as `Kind/name`, once that is known.
    pub fn through(&self) -> Option<String> {
        self.lock().carrier.as_ref().map(|(_, carrier)| carrier.title())
    }

    /// The carrier as it stands now.
    ///
    /// # Errors
    /// What the API server said, or a situation in which there is none.
    pub async fn look(&self) -> Result<(Carrier, Seen), Refusal> {
        let carrier = self.carrier().await?;
        let seen = carrier.read().await?;
        Ok((carrier, seen))
    }

    /// The floor of this workload that a mark says stands, whoever set it: to be adopted by a new holder.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn standing(&self) -> Result<Option<(u32, Timestamp)>, Refusal> {
        let (_, seen) = self.look().await?;
        let mark = seen.field.mark.filter(|m| m.value == seen.field.value && m.scaler == self.scaler);
        let standing = mark.and_then(|m| Some((m.value?, m.expires)));
        self.lock().accepted = standing;
        Ok(standing)
    }

    async fn carrier(&self) -> Result<Carrier, Refusal> {
        if let Some((_, carrier)) = self.lock().carrier.as_ref().filter(|(at, _)| at.elapsed() < PLACE_FOR) {
            return Ok(carrier.clone());
        }
        let near = carrier::neighbours(&self.client, &self.namespace).await?;
        let place = scaler::place(&self.target, &near)?;
        let carrier = Carrier::new(&self.client, &self.namespace, &self.target, place);
        self.lock().carrier = Some((Instant::now(), carrier.clone()));
        Ok(carrier)
    }

    async fn wish(&self, floor: Option<u32>, ttl_s: f64, reason: &str) -> Result<(), String> {
        let term = (self.fence)().ok_or("the workload's Lease is not held: nothing is changed")?;
        if let Some(refusal) = self.forbidden(floor) {
            return Err(refusal.to_string());
        }
        let wish = Wish { floor, ttl_s, reason: reason.to_owned(), scaler: self.scaler.clone(), term };
        let deadline = || Err(Refusal::Unavailable(format!("no answer within {DEADLINE:?}")));
        let done = tokio::time::timeout(DEADLINE, self.act(&wish)).await.unwrap_or_else(|_| deadline());
        self.settle(&wish, done).await
    }

    /// Reads, decides, writes; once more when the object changed between reading and writing.
    async fn act(&self, wish: &Wish) -> Result<(Outcome, String), Refusal> {
        let mut again = true;
        loop {
            let (carrier, seen) = self.look().await?;
            let step = floor::step(carrier.kind(), &seen.field, wish, Timestamp::now())?;
            match carrier.carry(&step, &seen, false).await {
                Err(Refusal::Changed(_)) if again => again = false,
                Ok(Outcome::Forgotten) if wish.floor.is_some() && carrier.kind() != Kind::Scale => {
                    let text = format!("{} was changed by somebody else while our floor stood: it is theirs now", carrier.title());
                    return Err(Refusal::OwnedByOther(text));
                }
                Ok(outcome) => return Ok((outcome, told(&carrier, &seen, wish, &step))),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn settle(&self, wish: &Wish, done: Result<(Outcome, String), Refusal>) -> Result<(), String> {
        match done {
            Ok((outcome, text)) => {
                let before = {
                    let mut state = self.lock();
                    (state.closed, state.held, state.refusal, state.silent) = (None, None, None, 0);
                    let until = super::act::mark::expiry(Timestamp::now(), wish.ttl_s);
                    std::mem::replace(&mut state.accepted, wish.floor.map(|f| (f, until)))
                };
                let renewed = before.map(|b| b.0) == wish.floor;
                match outcome {
                    Outcome::Written if !renewed => self.teller.normal("FloorSet", &text).await,
                    Outcome::Restored => self.teller.normal("FloorWithdrawn", &text).await,
                    _ => {}
                }
                Ok(())
            }
            Err(refusal) => {
                self.close(wish.floor, &refusal);
                self.teller.refused(&refusal).await;
                Err(refusal.to_string())
            }
        }
    }

    /// Takes note of what may not be asked for, and until when.
    fn close(&self, floor: Option<u32>, refusal: &Refusal) {
        let mut state = self.lock();
        let now = Instant::now();
        state.silent = if matches!(refusal, Refusal::Unavailable(_)) { state.silent + 1 } else { 0 };
        match refusal.answer() {
            Answer::Observe(pause) => {
                state.closed = Some((now + pause, refusal.clone()));
                state.carrier = None;
            }
            Answer::HoldValue(pause) => state.held = Some((floor, now + pause, refusal.clone())),
            Answer::Again(pause) => {
                let pause = pause * 2_u32.pow(state.silent.saturating_sub(1).min(4));
                state.closed = (!pause.is_zero()).then(|| (now + pause, refusal.clone()));
            }
            Answer::Stop => state.closed = Some((now + Duration::from_secs(60), refusal.clone())),
        }
        state.refusal = Some(refusal.clone());
    }

    fn forbidden(&self, floor: Option<u32>) -> Option<Refusal> {
        let state = self.lock();
        let now = Instant::now();
        let closed = state.closed.as_ref().filter(|(until, _)| *until > now).map(|(_, r)| r.clone());
        closed.or_else(|| state.held.as_ref().filter(|(value, until, _)| *value == floor && *until > now).map(|(_, _, r)| r.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(carrier: &Carrier, seen: &Seen, wish: &Wish, step: &floor::Step) -> String {
    let from = seen.field.value.map_or_else(|| "unset".into(), |v| v.to_string());
    let to = match step {
        floor::Step::Write(mark) => mark.value,
        floor::Step::Restore(mark) => mark.original,
        floor::Step::Keep | floor::Step::Forget => seen.field.value,
    };
    let to = to.map_or_else(|| "unset".into(), |v| v.to_string());
    format!("{}: {from} -> {to}. {}", carrier.title(), wish.reason)
}

impl Hands for Hand {
    fn set_floor(&self, floor: SetFloor) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.wish(Some(floor.replicas), floor.ttl_s, &floor.reason).await })
    }

    fn clear_floor(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.wish(None, 60.0, "no floor is needed").await })
    }

    fn makes_the_shadow(&self) -> bool {
        // The controller does, and cycles its profiles.
        false
    }

    fn set_shadow(&self, _: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

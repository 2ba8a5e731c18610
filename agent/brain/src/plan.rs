//! The floor: how many replicas carry the load that is coming at the capacity they will have then.
//!
//! need = load / (capacity x headroom) at the time an asked-for replica would take traffic, at a quantile of the *ratio's* distribution (errors of
//! load and capacity are independent: multiplying their worst cases would ask for too much). Raised in bounded steps once the need
//! clearly exceeds what stands, lowered only after the need was lower for a while, never on stale data. A floor of which nothing can be said any more
//! (far below its edge production tells nothing) is held for a while, then given back by and by: what is missed then shows again. Called by
//! [`crate::Brain`].

use crate::capacity::grid::LogEstimate;
use crate::decision::Plan;
use crate::load::LogLoad;
use crate::math::Z90;
use crate::series::Window;
use crate::settings::Settings;

/// A need is answered when it exceeds the replicas asked for by this much: rounding noise up to a whole replica costs too much.
const RAISE_AT: f64 = 0.08;
/// Intervals in a row that a need must exceed what stands.
const SUSTAINED: u32 = 3;
/// Above this excess one interval is enough.
const SURE_AT: f64 = 0.35;

/// Doubt about capacity beyond this (standard deviation of the logarithm) asks for nothing more: a forecaster that knows little must not cost most.
const MOST_DOUBT: f64 = 0.10;

/// Further replicas than the first are asked for by this share of the need, i.e. when they would run with less than the configured headroom.
const CERTAIN: f64 = 0.85;
/// The reactive path's own count is taken as the base when it exceeds the need by this much: while a floor stands, an autoscaler takes the
/// replicas it finds for its own.
const CALM: f64 = 0.3;
/// What is extrapolated may ask for this share of what takes traffic beyond it (and a step); beyond that, replicas must be missing already: a burst of
/// bad requests looks like a capacity in free fall while the replicas that end it still start.
const AHEAD: f64 = 0.1;
/// Part of the time until an asked-for replica takes traffic over which needs are taken together.
const STEADY: f64 = 0.15;
/// A floor without knowledge is held for so many times the lowering delay, then loses this share of itself with each.
const HELD: f64 = 3.0;
const GIVEN_BACK: u32 = 10;
/// After so many start-up times a need that stands is answered in full.
const FADES: f64 = 6.0;

/// What the planner sees.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// Time now, seconds.
    pub at_s: f64,
    /// Seconds until a replica asked for now takes traffic.
    pub horizon_s: f64,
    /// ln load then.
    pub load: Option<LogLoad>,
    /// ln capacity then.
    pub capacity: Option<LogEstimate>,
    /// ln capacity now.
    pub capacity_now: Option<LogEstimate>,
    /// Median capacity a minute ago.
    pub capacity_before: Option<f64>,
    /// Replicas that take traffic.
    pub ready: u32,
    /// Replicas asked for by whoever asks for most.
    pub desired: u32,
    /// Replicas that the reactive scaler alone asks for.
    pub reactive: u32,
    /// Data are old or missing.
    pub stale: bool,
    /// More replicas would not help, in words.
    pub cannot_help: Option<String>,
    /// The forecaster was demoted: its floor is not to be raised, in words.
    pub demoted: Option<String>,
    /// Replicas the support vector machines ask for together with the tracker, when they are in charge.
    pub machines: Option<f64>,
}

/// Keeps the floor.
#[derive(Debug, Clone)]
pub struct Planner {
    floor: Option<u32>,
    needs: Window,
    raw: Window,
    over: u32,
    base: Option<(f64, f64)>,
    unknown_s: Option<f64>,
}

impl Planner {
    /// A planner without a floor.
    pub fn new(settings: &Settings) -> Self {
        Self {
            floor: None,
            needs: Window::new(settings.lower_after_s.clamp(0.0, 86_400.0)),
            raw: Window::new(settings.replica_start_s.max(1.0)),
            over: 0,
            base: None,
            unknown_s: None,
        }
    }

    /// The plan of this interval.
    pub fn plan(&mut self, outlook: &Outlook, settings: &Settings) -> Plan {
        let before = self.floor;
        let (reason, would_change) = self.decide(outlook, settings);
        Plan { floor: self.floor, changed: self.floor != before, reason, would_change }
    }

    fn decide(&mut self, outlook: &Outlook, settings: &Settings) -> (String, String) {
        if outlook.stale {
            return (format!("numbers are missing or old: {} stays", self.words()), "fresh numbers from production".into());
        }
        let (Some(load), Some(capacity)) = (outlook.load, outlook.capacity) else {
            self.give_back(outlook.at_s, settings);
            let reason = format!("what a replica can take is not known: {}", self.words());
            return (reason, "a shadow near its limit, or production near its own".into());
        };
        self.unknown_s = None;
        let mut need = need(load, capacity, settings);
        need = self.steady(need, outlook);
        need = self.cautious(need, outlook);
        let mut words = explain(outlook, load, capacity, need, settings);
        if let Some(machines) = outlook.machines {
            need = machines;
            words = format!("{words}; together with the support vector machines, in charge, {machines:.1}");
        }
        if let Some(why) = outlook.demoted.as_ref() {
            self.follow(need.min(f64::from(self.floor.unwrap_or(0))), outlook, settings);
            return (format!("{words}; left to the reactive scaler: {why}"), "forecasts that hold again on what comes".into());
        }
        if let Some(why) = outlook.cannot_help.as_ref() {
            self.follow(need.min(f64::from(self.floor.unwrap_or(outlook.desired))), outlook, settings);
            return (format!("{words}; but {why}: {} stays", self.words()), "the cause outside the replicas going away".into());
        }
        self.follow(need, outlook, settings);
        (format!("{words}: {}", self.asks(need)), self.change(load, capacity, settings))
    }

    /// The median over a part of the start-up time: what comes and goes faster than a replica starts is not worth one.
    fn steady(&mut self, need: f64, outlook: &Outlook) -> f64 {
        self.raw.push(outlook.at_s, need);
        let since = outlook.at_s - STEADY * outlook.horizon_s;
        let mut recent: Vec<f64> = self.raw.points().rev().take_while(|p| p.0 > since).map(|p| p.1).collect();
        recent.sort_by(f64::total_cmp);
        recent.get(recent.len() / 2).copied().unwrap_or(need)
    }

    /// The first replica above the reactive path is asked for when it is likely to be needed; further ones when they would be even with less
    /// headroom, a caution that fades as the need stands. The first buys the time in which the rest becomes certain.
    fn cautious(&mut self, need: f64, outlook: &Outlook) -> f64 {
        let reactive = f64::from(outlook.reactive);
        let (base, since_s) = match self.base {
            Some((base, since_s)) if need > reactive - CALM => (base.min(reactive), since_s),
            _ => (reactive, outlook.at_s),
        };
        self.base = Some((base, since_s));
        let stood = ((outlook.at_s - since_s) / (FADES * outlook.horizon_s).max(1.0)).min(1.0);
        need.min((need * (CERTAIN + (1.0 - CERTAIN) * stood * stood)).max(base + 1.0))
    }

    /// Without knowledge of capacity: the floor that stands, for a while.
    fn give_back(&mut self, now_s: f64, settings: &Settings) {
        let Some(floor) = self.floor else { return };
        let since_s = *self.unknown_s.get_or_insert(now_s);
        if now_s - since_s > HELD * settings.lower_after_s {
            self.floor = Some(floor - (floor / GIVEN_BACK).max(1).min(floor.saturating_sub(settings.min_replicas)));
            self.unknown_s = Some(since_s + settings.lower_after_s);
        }
    }

    /// Moves the floor towards a need.
    fn follow(&mut self, need: f64, outlook: &Outlook, settings: &Settings) {
        let (low, high) = (settings.min_replicas.min(settings.max_replicas), settings.max_replicas);
        let standing = self.floor.unwrap_or(low).clamp(low, high);
        let excess = need - f64::from(standing);
        self.over = if excess > RAISE_AT { self.over + 1 } else { 0 };
        let raise = self.over >= SUSTAINED || excess > SURE_AT;
        let whole = (need - RAISE_AT).ceil().clamp(f64::from(low), f64::from(high)) as u32;
        let step = settings.step_up();
        let reach = standing.max(outlook.ready).max(outlook.desired.min(high)).saturating_add(step);
        let reach = reach.min(ahead(outlook, settings)).max(standing);
        let wanted = if whole > standing && !raise { standing } else { whole.min(reach) };
        self.needs.push(outlook.at_s, f64::from(wanted));
        let held = self.needs.max().unwrap_or(f64::from(wanted)) as u32;
        self.floor = Some(held.clamp(low, high));
    }

    fn asks(&self, need: f64) -> String {
        match self.floor {
            Some(floor) if f64::from(floor) > need + 1.0 => format!("holds {floor} until the need has been lower for a while"),
            Some(floor) => format!("asks for {floor}"),
            None => "asks for nothing".into(),
        }
    }

    fn words(&self) -> String {
        self.floor.map_or_else(|| "no floor".into(), |f| format!("the floor of {f}"))
    }

    fn change(&self, load: LogLoad, capacity: LogEstimate, settings: &Settings) -> String {
        let floor = f64::from(self.floor.unwrap_or(settings.min_replicas).max(1));
        let factor = |replicas: f64| (replicas + RAISE_AT) / need(load, capacity, settings);
        let (rps, c) = (load.mean.exp(), capacity.median());
        let up = factor(floor);
        let more = format!("one more when load is forecast above {:.0} rps or a replica takes less than {:.0} rps", rps * up, c / up);
        if floor <= f64::from(settings.min_replicas) {
            return more;
        }
        let down = factor(floor - 1.0);
        format!(
            "{more}; one less after {:.0} s of load below {:.0} rps or capacity above {:.0} rps",
            settings.lower_after_s,
            rps * down,
            c / down
        )
    }
}

/// How far a floor may be raised: to some more than take traffic, or to as many as are needed by what a replica takes already.
fn ahead(outlook: &Outlook, settings: &Settings) -> u32 {
    let needed = outlook.load.zip(outlook.capacity_now).map_or(0.0, |(load, capacity)| need(load, capacity, settings));
    let more = ((f64::from(outlook.ready) * (1.0 + AHEAD)) as u32).saturating_add(settings.step_up());
    more.max(needed.ceil() as u32)
}

/// Replicas needed for the load that is to be reckoned with, at the chosen quantile of capacity. One knows nothing of the other: their margins add as
/// squares do.
pub fn need(load: LogLoad, capacity: LogEstimate, settings: &Settings) -> f64 {
    let headroom = if settings.headroom > 0.0 { settings.headroom.clamp(0.05, 20.0) } else { 1.0 };
    let more = load.surprise.hypot(settings.risk_z.max(0.0) * capacity.sd.min(MOST_DOUBT));
    let need = (load.mean - capacity.mean + more).exp() / headroom;
    if need.is_finite() { need.clamp(0.0, 1e6) } else { 0.0 }
}

fn explain(outlook: &Outlook, load: LogLoad, capacity: LogEstimate, need: f64, settings: &Settings) -> String {
    let rps = load.mean.exp();
    let before = outlook.capacity_before.map_or_else(String::new, |b| format!("; was {b:.0} a minute ago"));
    let margin = rps / (f64::from(outlook.ready.max(1)) * capacity.median() * settings.headroom.max(0.05));
    format!(
        "load {rps:.0} rps forecast in {:.0} s (p90 {:.0}) over {} replicas x {:.0} rps (p10 {:.0}{before}) x {} = {margin:.2}; {need:.1} replicas for up to {:.0} rps",
        outlook.horizon_s,
        (load.mean + Z90 * load.sd).exp(),
        outlook.ready,
        capacity.median(),
        (capacity.mean - Z90 * capacity.sd).exp(),
        settings.headroom,
        (load.mean + load.surprise).exp(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(at_s: f64, rps: f64, c: f64) -> Outlook {
        Outlook {
            at_s,
            horizon_s: 6.0,
            load: Some(LogLoad { mean: rps.ln(), sd: 0.05, surprise: 0.05 }),
            capacity: Some(LogEstimate { mean: c.ln(), sd: 0.05 }),
            capacity_now: Some(LogEstimate { mean: c.ln(), sd: 0.05 }),
            capacity_before: Some(100.0),
            ready: 4,
            desired: 4,
            reactive: 4,
            stale: false,
            cannot_help: None,
            demoted: None,
            machines: None,
        }
    }

    fn settings() -> Settings {
        Settings { lower_after_s: 10.0, max_replicas: 20, max_step_up: 3, headroom: 1.0, ..Default::default() }
    }

    #[test]
    fn a_fall_of_capacity_raises_in_bounded_steps_and_is_lowered_late() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        assert_eq!(planner.plan(&outlook(0.0, 300.0, 100.0), &settings).floor, Some(4));
        let raised = planner.plan(&outlook(1.0, 300.0, 20.0), &settings);
        assert_eq!((raised.floor, raised.changed), (Some(7), true), "{}", raised.reason);
        assert_eq!(planner.plan(&outlook(3.0, 300.0, 100.0), &settings).floor, Some(7));
        assert_eq!(planner.plan(&outlook(10.9, 300.0, 100.0), &settings).floor, Some(7));
        assert_eq!(planner.plan(&outlook(11.1, 300.0, 100.0), &settings).floor, Some(4));
    }

    #[test]
    fn a_fall_that_is_only_extrapolated_asks_for_a_little_more_than_runs() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        let falling = Outlook { capacity_now: Some(LogEstimate { mean: 70f64.ln(), sd: 0.05 }), ..outlook(0.0, 300.0, 20.0) };
        let floors: Vec<_> = (0..20).map(|t| planner.plan(&Outlook { at_s: f64::from(t), ..falling.clone() }, &settings).floor).collect();
        assert_eq!(floors.last(), Some(&Some(7)), "five are needed now, four run, and a step of three: {floors:?}");
        let fallen = Outlook { capacity_now: falling.capacity, at_s: 20.0, ..falling };
        assert!(planner.plan(&fallen, &settings).floor > Some(7));
    }

    #[test]
    fn a_load_that_jumps_now_and_then_is_reckoned_with() {
        let capacity = LogEstimate { mean: 100f64.ln(), sd: 0.05 };
        let load = |surprise: f64| LogLoad { mean: 1_000f64.ln(), sd: 0.05, surprise };
        let of = |surprise: f64| need(load(surprise), capacity, &settings());
        assert!(of(0.0) < 10.5 && of(0.3) > 13.4 && of(0.3) < 13.7);
    }

    #[test]
    fn nothing_known_means_no_floor_and_stale_keeps_it() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        let unknown = Outlook { capacity: None, ..outlook(0.0, 300.0, 100.0) };
        assert_eq!(planner.plan(&unknown, &settings).floor, None);
        planner.plan(&outlook(1.0, 500.0, 100.0), &settings);
        let stale = Outlook { stale: true, ..outlook(100.0, 1.0, 100.0) };
        assert_eq!(planner.plan(&stale, &settings).floor, Some(5));
    }

    #[test]
    fn a_floor_of_which_nothing_is_known_any_more_is_held_and_then_given_back_by_and_by() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        (0..9).for_each(|t| drop(planner.plan(&outlook(f64::from(t), 1_500.0, 100.0), &settings)));
        let standing = planner.plan(&outlook(9.0, 1_500.0, 100.0), &settings).floor.unwrap();
        let mut at = |t: u32| {
            let unknown = Outlook { capacity: None, ..outlook(f64::from(t), 300.0, 100.0) };
            planner.plan(&unknown, &settings).floor.unwrap()
        };
        assert!(standing > 8);
        assert!((10..40).all(|t| at(t) == standing), "it is held");
        assert_eq!(at(41), standing - 1);
        assert_eq!(at(50), standing - 1);
        assert_eq!(at(51), standing - 2);
        assert_eq!((52..400).map(&mut at).last(), Some(settings.min_replicas));
    }

    #[test]
    fn the_first_replica_comes_early_and_what_stands_is_answered_in_full() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        let mut floor = |t: u32| planner.plan(&outlook(f64::from(t), 560.0, 100.0), &settings).floor;
        assert_eq!(floor(0), Some(5));
        assert_eq!(floor(5), Some(5));
        assert_eq!((6..60).filter_map(floor).last(), Some(6));
    }

    #[test]
    fn what_scaling_cannot_cure_is_not_scaled() {
        let (settings, mut planner) = (settings(), Planner::new(&settings()));
        let hopeless = Outlook { cannot_help: Some("the dependency is slow".into()), ..outlook(0.0, 300.0, 10.0) };
        assert_eq!(planner.plan(&hopeless, &settings).floor, Some(4));
    }
}

//! Tests of the whole machine, with a world that obeys: what is started runs, what is asked to end ends.

use super::clock::Now;
use super::scale::Bounds;
use super::slot::{Act, Event, Limits, Part};
use super::{Machine, Settings};
use crate::local::api::State;
use std::collections::BTreeSet;
use std::time::Duration;

struct World {
    machine: Machine,
    s: f64,
    running: BTreeSet<String>,
    most: usize,
    log: Vec<String>,
}

impl World {
    fn new(initial: u32, min: u32, max: u32) -> Self {
        let limits = Limits { ready_timeout: Duration::from_secs(5), drain: Duration::from_secs(2) };
        let settings = Settings { bounds: Bounds { initial, min, max }, limits };
        let machine = Machine::new(settings, Now::at_s(0.0));
        Self { machine, s: 0.0, running: BTreeSet::new(), most: 0, log: Vec::new() }
    }

    /// One tenth of a second: acts are carried out at once, starts are ready one tick later.
    fn tick(&mut self) {
        self.s += 0.1;
        let now = Now::at_s(self.s);
        let mut ready = Vec::new();
        for (name, act) in self.machine.step(now) {
            self.log.push(format!("{name} {act:?}"));
            match act {
                Act::Start { attempt, app, proxy } => {
                    for (part, started) in [(Part::App, app), (Part::Proxy, proxy)] {
                        if started {
                            self.machine.observe(&name, Event::Started { part, pid: 1, port: 1_000 + attempt as u16 }, now);
                        }
                    }
                    self.running.insert(name.clone());
                    ready.push((name, attempt));
                }
                Act::Terminate | Act::Kill => {
                    self.running.remove(&name);
                    for part in [Part::App, Part::Proxy] {
                        self.machine.observe(&name, Event::Exited { part, how: "ended".into() }, now);
                    }
                }
                Act::WatchIdle { .. } | Act::Remove => {}
            }
        }
        self.most = self.most.max(self.running.iter().filter(|n| n.starts_with("replica")).count());
        for (name, attempt) in ready {
            self.machine.observe(&name, Event::Ready { attempt, admin_url: None }, now);
        }
    }

    fn run(&mut self, seconds: f64) {
        (0..(seconds * 10.0) as u32).for_each(|_| self.tick());
    }

    fn ready(&self) -> usize {
        self.machine.production_endpoints().len()
    }

    fn names(&mut self) -> Vec<String> {
        self.machine.report(Now::at_s(self.s)).replicas.iter().map(|r| r.name.clone()).collect()
    }

    fn floor(&mut self, replicas: u32, ttl_s: u64) {
        self.machine.wish.raise_floor(Now::at_s(self.s), replicas, Duration::from_secs(ttl_s), "test".into());
    }
}

#[test]
fn a_floor_raises_at_once_and_its_end_takes_the_newest_away() {
    let mut w = World::new(3, 2, 6);
    w.run(1.0);
    assert_eq!(w.ready(), 3);
    w.floor(5, 10);
    w.run(0.2);
    assert_eq!(w.ready(), 5);
    w.run(10.0);
    assert_eq!(w.ready(), 3, "out of rotation as soon as the floor is gone");
    w.run(3.0);
    assert_eq!(w.names(), ["replica-1", "replica-2", "replica-3"]);
}

#[test]
fn never_more_than_the_most_even_while_old_ones_drain() {
    let mut w = World::new(4, 1, 4);
    w.run(1.0);
    w.machine.wish.request(1);
    w.run(0.2);
    // A drain that has gone too far to be called back.
    w.run(2.0);
    w.machine.wish.request(4);
    w.run(3.0);
    assert_eq!((w.ready(), w.most), (4, 4));
}

#[test]
fn what_only_drains_is_called_back_before_a_new_one_is_started() {
    let mut w = World::new(3, 1, 6);
    w.run(1.0);
    w.machine.wish.request(1);
    w.run(0.5);
    assert_eq!(w.ready(), 1);
    w.machine.wish.request(3);
    w.tick();
    assert_eq!(w.ready(), 3);
    assert_eq!(w.names(), ["replica-1", "replica-2", "replica-3"]);
}

#[test]
fn a_shadow_is_one_and_follows_the_profile() {
    let mut w = World::new(1, 1, 2);
    w.machine.want_shadow(Some(("cpu-half".into(), 0.5)));
    w.run(0.5);
    assert!(w.machine.shadow_endpoint().is_some());
    w.machine.want_shadow(Some(("same".into(), 1.0)));
    w.run(0.5);
    let shadow = w.machine.report(Now::at_s(w.s)).shadow.unwrap();
    assert_eq!((shadow.name.as_str(), shadow.profile.as_str(), shadow.state), ("shadow-2", "same", State::Ready));
    w.machine.want_shadow(None);
    w.run(0.5);
    assert!(w.machine.report(Now::at_s(w.s)).shadow.is_none());
    assert_eq!(w.ready(), 1);
}

#[test]
fn a_crash_of_the_shadow_never_touches_production() {
    let mut w = World::new(2, 1, 4);
    w.machine.want_shadow(Some(("same".into(), 1.0)));
    w.run(1.0);
    let before = w.machine.production_endpoints();
    w.log.clear();
    for _ in 0..20 {
        w.machine.observe("shadow-1", Event::Exited { part: Part::App, how: "was killed".into() }, Now::at_s(w.s));
        assert_eq!(w.machine.shadow_endpoint(), None, "out of the copies' way at once");
        w.run(0.5);
    }
    assert_eq!(w.machine.production_endpoints(), before);
    assert!(w.log.iter().all(|line| line.starts_with("shadow-1 ")), "{:?}", w.log);
    assert!(w.machine.report(Now::at_s(w.s)).notes.iter().any(|n| n.starts_with("shadow-1 was started again")));
}

#[test]
fn a_crashed_replica_is_out_of_rotation_at_once_and_comes_back() {
    let mut w = World::new(3, 1, 4);
    w.run(1.0);
    w.machine.observe("replica-2", Event::Exited { part: Part::Proxy, how: "was killed".into() }, Now::at_s(w.s));
    assert_eq!(w.ready(), 2);
    w.run(0.3);
    assert_eq!((w.ready(), w.names().len()), (3, 3));
}

#[test]
fn one_that_takes_no_traffic_is_given_up_before_one_that_does() {
    let mut w = World::new(3, 1, 4);
    w.run(1.0);
    for _ in 0..5 {
        w.machine.observe("replica-1", Event::Exited { part: Part::Proxy, how: "was killed".into() }, Now::at_s(w.s));
        w.tick();
    }
    w.machine.observe("replica-1", Event::Exited { part: Part::Proxy, how: "was killed".into() }, Now::at_s(w.s));
    w.machine.wish.request(2);
    w.run(0.2);
    assert_eq!(w.names(), ["replica-2", "replica-3"]);
}

#[test]
fn the_front_ends_before_production() {
    let mut w = World::new(2, 1, 4);
    w.run(1.0);
    w.log.clear();
    w.machine.stop();
    w.run(1.0);
    assert!(w.machine.is_finished());
    let ends: Vec<_> = w.log.iter().filter(|line| line.ends_with("Terminate")).map(String::as_str).collect();
    assert_eq!(ends, ["front Terminate", "replica-1 Terminate", "replica-2 Terminate"]);
    assert!(w.running.is_empty());
}

#[test]
fn replica_seconds_count_processes_from_start_to_end_and_the_shadow_by_its_size() {
    let mut w = World::new(2, 1, 4);
    w.run(1.0);
    w.machine.want_shadow(Some(("cpu-half".into(), 0.5)));
    w.run(10.0);
    let seen = w.machine.report(Now::at_s(w.s));
    assert!((seen.replica_seconds - 2.0 * 10.9).abs() < 0.01, "{}", seen.replica_seconds);
    assert!((seen.shadow_replica_seconds - 0.5 * 9.9).abs() < 0.01, "{}", seen.shadow_replica_seconds);
    w.machine.wish.request(1);
    w.run(10.0);
    let later = w.machine.report(Now::at_s(w.s));
    // One goes on for 10 s, the other drains for 2 s more.
    assert!((later.replica_seconds - seen.replica_seconds - 12.1).abs() < 0.11, "{}", later.replica_seconds);
}

//! `replay`: recorded samples through the decision core again, decisions compared bit for bit.
//!
//! A session's core is made from its recorded settings and fed the samples it was warmed with, uncompared; from its first own sample
//! on, every decision is compared as text (numbers are written so that equal text is equal bits). Promises: memory does not grow with
//! the history. A session whose beginning retention has removed cannot be compared, and is said to be so.

use crate::cli::{self, Replay};
use crate::export::fail;
use crate::mind::Mind;
use crate::record::{ActionKind, Record, Session, WARM_SAMPLES};
use crate::store::Reader;
use foreshadow_brain::{Decision, Sample};
use serde::Serialize;
use std::collections::VecDeque;

/// What a replay found.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Decisions compared.
    pub compared: u64,
    /// Equal ones among them.
    pub identical: u64,
    /// Decisions that could not be compared: their session's beginning has been removed.
    pub skipped: u64,
    /// Sessions seen.
    pub sessions: u64,
    /// Samples without production numbers.
    pub gaps: u64,
    /// Decisions in which the planned floor differs from the one before.
    pub floor_changes: u64,
    /// Floors set and withdrawn (renewals left out).
    pub floor_actions: u64,
    /// Highest floor planned.
    pub highest_floor: u32,
    /// Median capacity of the last decision that knew one, requests per second.
    pub last_capacity_rps: Option<f64>,
    /// The first decision that differs.
    pub first_difference: Option<Difference>,
    /// Things worth knowing.
    pub notes: Vec<String>,
}

/// Two decisions that should be equal.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Number of the sample.
    pub seq: u64,
    /// Recorded.
    pub recorded: Decision,
    /// Taken now.
    pub now: Decision,
}

/// Replays and reports; returns the exit code.
pub fn command(args: &Replay) -> u8 {
    let outcome = match Reader::open(&args.file).and_then(replay) {
        Ok(outcome) => outcome,
        Err(e) => return fail(&e),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome).unwrap_or_default());
    } else {
        print!("{}", outcome.text());
    }
    if outcome.identical == outcome.compared { cli::OK } else { cli::DIFFERENT }
}

/// Replays a whole history.
pub fn replay(reader: Reader) -> Result<Outcome, crate::store::StoreError> {
    let mut machine = Machine::default();
    reader.for_each(|record| {
        machine.take(record);
        true
    })?;
    Ok(machine.outcome)
}

#[derive(Default)]
struct Machine {
    outcome: Outcome,
    recent: VecDeque<(u64, Sample)>,
    mind: Option<Mind>,
    fresh: Option<(u64, Decision)>,
}

impl Machine {
    fn take(&mut self, record: Record) {
        match record {
            Record::Session { session } => self.begin(&session),
            Record::Sample { seq, sample } => self.sample(seq, sample),
            Record::Decision { seq, decision } => self.compare(seq, decision),
            Record::Action { action, .. } => {
                let counted = matches!(action.kind, ActionKind::SetFloor { renewal: false, .. } | ActionKind::WithdrawFloor { .. });
                self.outcome.floor_actions += u64::from(counted);
            }
        }
    }

    fn begin(&mut self, session: &Session) {
        self.outcome.sessions += 1;
        self.fresh = None;
        self.mind = None;
        let oldest = self.recent.front().map(|(seq, _)| *seq);
        let whole = session.warm_from_seq == session.first_seq || oldest.is_some_and(|seq| seq <= session.warm_from_seq);
        if !whole {
            self.outcome.notes.push(format!("session {}: the samples it began with have been removed by retention", session.id));
            return;
        }
        if session.version != env!("CARGO_PKG_VERSION") {
            self.outcome.notes.push(format!("session {} was recorded by version {}", session.id, session.version));
        }
        let mut mind = Mind::new(session.settings.clone());
        let warm = self.recent.iter().filter(|(seq, _)| (session.warm_from_seq..session.first_seq).contains(seq));
        warm.for_each(|(_, sample)| drop(mind.tick(sample)));
        self.mind = Some(mind);
    }

    fn sample(&mut self, seq: u64, sample: Sample) {
        self.outcome.gaps += u64::from(sample.production.is_none());
        self.fresh = self.mind.as_mut().map(|mind| (seq, mind.tick(&sample)));
        if self.recent.len() >= WARM_SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back((seq, sample));
    }

    fn compare(&mut self, seq: u64, recorded: Decision) {
        self.outcome.floor_changes += u64::from(recorded.plan.changed);
        self.outcome.highest_floor = self.outcome.highest_floor.max(recorded.plan.floor.unwrap_or(0));
        self.outcome.last_capacity_rps = recorded.capacity_rps.map(|c| c.p50).or(self.outcome.last_capacity_rps);
        let Some((_, now)) = self.fresh.take().filter(|(fresh, _)| *fresh == seq) else {
            self.outcome.skipped += 1;
            return;
        };
        self.outcome.compared += 1;
        if same(&recorded, &now) {
            self.outcome.identical += 1;
        } else if self.outcome.first_difference.is_none() {
            self.outcome.first_difference = Some(Difference { seq, recorded, now });
        }
    }
}

/// Equal to the bit: the text form tells apart what `==` does not (`-0.0`) and equates what it cannot (not-a-number).
fn same(a: &Decision, b: &Decision) -> bool {
    matches!((serde_json::to_string(a), serde_json::to_string(b)), (Ok(a), Ok(b)) if a == b)
}

impl Outcome {
    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = format!("sessions {}, decisions {}, gaps {}\n", self.sessions, self.compared + self.skipped, self.gaps);
        text += &format!(
            "planned floor changed {} times, highest {}; floors set or withdrawn {}\n",
            self.floor_changes, self.highest_floor, self.floor_actions
        );
        if let Some(capacity) = self.last_capacity_rps {
            text += &format!("last known capacity of one replica: {capacity:.1} requests/s\n");
        }
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        if self.skipped > 0 {
            text += &format!("not comparable {}\n", self.skipped);
        }
        if let Some(d) = &self.first_difference {
            let json = |decision| serde_json::to_string(decision).unwrap_or_default();
            text += &format!("first difference at sample {}:\n  recorded {}\n  now      {}\n", d.seq, json(&d.recorded), json(&d.now));
        }
        text + &format!("identical {} of {}\n", self.identical, self.compared)
    }
}

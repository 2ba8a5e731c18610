//! Alarms that stand: since when, and why, in words and numbers. Conditions are judged by [`crate::Brain`]; here is only their keeping.

use crate::decision::Alarm;
use std::collections::BTreeMap;

/// An alarm stays this long after its condition was last true, so that a condition at its edge does not blink.
const LINGER_MS: u64 = 3_000;

#[derive(Debug, Clone)]
struct Standing {
    since_ms: u64,
    last_ms: u64,
    text: String,
}

/// The board of alarms, by kind.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    standing: BTreeMap<&'static str, Standing>,
}

impl Alarms {
    /// States whether the condition of a kind holds now; the text is made only if it does.
    pub fn state(&mut self, kind: &'static str, now_ms: u64, text: Option<String>) {
        match (text, self.standing.get_mut(kind)) {
            (Some(text), Some(standing)) => {
                standing.last_ms = now_ms;
                standing.text = text;
            }
            (Some(text), None) => {
                self.standing.insert(kind, Standing { since_ms: now_ms, last_ms: now_ms, text });
            }
            (None, Some(standing)) if now_ms.saturating_sub(standing.last_ms) > LINGER_MS => {
                self.standing.remove(kind);
            }
            (None, _) => {}
        }
    }

    /// What stands now, by kind.
    pub fn list(&self) -> Vec<Alarm> {
        self.standing.iter().map(|(kind, s)| Alarm { kind: (*kind).into(), since_ms: s.since_ms, text: s.text.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_keeps_its_onset_and_leaves_after_lingering() {
        let mut alarms = Alarms::default();
        alarms.state("x", 1_000, Some("a".into()));
        alarms.state("x", 2_000, Some("b".into()));
        assert_eq!(alarms.list(), [Alarm { kind: "x".into(), since_ms: 1_000, text: "b".into() }]);
        alarms.state("x", 4_000, None);
        assert_eq!(alarms.list().len(), 1);
        alarms.state("x", 6_000, None);
        assert!(alarms.list().is_empty());
    }
}

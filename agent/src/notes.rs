//! Actions that somebody beside the control loop is about to take, recorded by its next tick: no action before its record.
//!
//! Made by whoever starts a control loop; the loop takes them, the other side waits. Promise: [`Notes::record`] says yes only when the
//! action stands in the history. Waiting is bounded, and so is what waits.

use crate::record::Action;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A loop that has not ticked for this long records nothing.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most that wait at once.
const MOST: usize = 16;

/// Shared between the loop and who acts beside it.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<Note>>>);

/// One action that waits for its record.
#[derive(Debug)]
pub struct Note {
    /// It.
    pub action: Action,
    recorded: oneshot::Sender<()>,
}

impl Note {
    /// It stands in the history.
    pub fn stands(self) {
        // Whoever asked may have given up.
        let _ = self.recorded.send(());
    }
}

impl Notes {
    /// Has an action recorded; false when it was not, and must not be taken.
    pub async fn record(&self, action: Action) -> bool {
        let (recorded, stands) = oneshot::channel();
        {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|note| !note.recorded.is_closed());
            if all.len() >= MOST {
                return false;
            }
            all.push(Note { action, recorded });
        }
        tokio::time::timeout(DEADLINE, stands).await.is_ok_and(|answer| answer.is_ok())
    }

    /// What waits; for the loop.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ActionKind;

    fn action() -> Action {
        Action { at_ms: 1, kind: ActionKind::AdoptFloor { replicas: 1 }, reason: String::new(), applied: true }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_stands_may_be_done() {
        let notes = Notes::default();
        let (stood, ()) = tokio::join!(notes.record(action()), async { notes.take().into_iter().for_each(Note::stands) });
        assert!(stood);
        let (dropped, ()) = tokio::join!(notes.record(action()), async { drop(notes.take()) });
        assert!(!dropped, "the history could not be written");
        assert!(!notes.record(action()).await, "no loop ticks");
        assert_eq!(notes.take().len(), 1);
    }
}

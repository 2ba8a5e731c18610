//! Things a person should know, each said once. Bounded: what comes after the last place is counted.

/// Most notes kept.
const MOST: usize = 16;

/// The notes.
#[derive(Debug, Default)]
pub struct Notes {
    kept: Vec<String>,
    more: u64,
}

impl Notes {
    /// Takes a note, unless it stands there already.
    pub fn add(&mut self, note: String) {
        if self.kept.contains(&note) {
            return;
        }
        tracing::warn!("{note}");
        if self.kept.len() < MOST {
            self.kept.push(note);
        } else {
            self.more += 1;
        }
    }

    /// All of them.
    pub fn list(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("{} more notes are only in the log", self.more));
        self.kept.iter().cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_things_once_and_keeps_a_bounded_number() {
        let mut notes = Notes::default();
        (0..24).chain(0..3).for_each(|i| notes.add(format!("note {i}")));
        assert_eq!((notes.list().len(), notes.list()[16].as_str()), (17, "8 more notes are only in the log"));
    }
}

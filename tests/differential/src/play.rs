//! Everything that is compared: scenes and verdicts on configurations, all or those with a name.

use crate::error::Error;
use crate::programs::Programs;
use crate::run::{self, Outcome};
use crate::scene::Scene;
use crate::scenes;
use crate::verdicts::{self, Case};

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Play {
    scenes: Vec<Scene>,
    cases: Vec<Case>,
}

impl Play {
    /// What has one of these names, or is of a group with one; everything when none is given.
    ///
    /// # Errors
    /// When nothing has such a name.
    pub fn chosen(names: &[String]) -> Result<Self, Error> {
        let mut all = Self { scenes: scenes::all(), cases: verdicts::all() };
        if let Some(unknown) = names.iter().find(|n| !all.names().any(|(group, name)| group == **n || name == **n)) {
            return Err(Error::NoScene(unknown.clone()));
        }
        let wanted = |group: &str, name: &str| names.is_empty() || names.iter().any(|n| group == *n || name == *n);
        all.scenes.retain(|s| wanted(s.group, s.name));
        all.cases.retain(|c| wanted(c.group, c.name));
        Ok(all)
    }

    /// Groups and names.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.scenes.iter().map(|s| (s.group, s.name)).chain(self.cases.iter().map(|c| (c.group, c.name)))
    }

    /// Compares all of it.
    ///
    /// # Errors
    /// When a program does not start, or ends by itself.
    pub async fn run(&self, programs: &Programs) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = if self.scenes.is_empty() { Vec::new() } else { run::play(programs, &self.scenes).await? };
        outcomes.extend(verdicts::compare(programs, &self.cases).await?);
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::Play;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_deviations_name_what_is_there() {
        let all = Play::chosen(&[]).unwrap();
        let names: BTreeSet<_> = all.names().map(|n| n.1).collect();
        assert_eq!(names.len(), all.names().count());
        for deviation in crate::deviations::ALL {
            for scene in deviation.scenes {
                assert!(names.contains(scene), "nothing is called `{scene}`");
            }
        }
        assert!(all.scenes.len() >= 120 && all.cases.len() >= 100);
    }
}

//! Every difference from Envoy that is meant, or known and not mended yet, by the scene that shows it, with its reason.
//!
//! A scene that differs and does not stand here fails the suite; so does one that stands here and differs in something else than `shows`.

/// A documented deviation.
#[derive(Debug)]
pub struct Deviation {
    /// The scene.
    pub scene: &'static str,
    /// Meant, or missing.
    pub kind: Kind,
    /// A line of the difference that must be there (`-` Envoy's, `+` ours): other differences are not covered.
    pub shows: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// What kind of deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours does otherwise, and is to.
    Meant,
    /// Ours cannot do it yet.
    NotYet,
}

impl Kind {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Meant => "meant",
            Self::NotYet => "not yet",
        }
    }
}

impl Deviation {
    /// Whether this is the difference that is documented.
    pub fn covers(&self, difference: &str) -> bool {
        difference.contains(self.shows)
    }
}

/// The documented deviation of a scene, if any.
pub fn of(scene: &str) -> Option<&'static Deviation> {
    ALL.iter().find(|d| d.scene == scene)
}

/// All of them.
pub static ALL: &[Deviation] = &[];

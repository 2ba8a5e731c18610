//! "Did you mean ...?": the name that was probably meant. Used wherever a configuration names something that is not known.

/// Nearer than this may be meant.
const NEAR: f64 = 0.6;
/// Shorter words begin too many others.
const TELLING: usize = 4;

/// `, did you mean ...?` material: the candidate nearest to `word`, when one is near enough to be meant, or begins with it.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(word, candidate);
            let begins = word.len() >= TELLING && candidate.starts_with(word);
            (if begins { likeness.max(NEAR) } else { likeness }, candidate)
        })
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

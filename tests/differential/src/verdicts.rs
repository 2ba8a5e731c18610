//! Verdicts on configurations: whatever Envoy accepts or refuses, ours accepts or refuses. Made from a small base with one thing changed.
//!
//! The tables are in [`bases`], [`accepted`] and [`refused`], named after what is expected of them; what counts is that both programs agree.

mod accepted;
mod bases;
mod refused;

use crate::error::Error;
use crate::programs::{Product, Programs};
use crate::run::Outcome;
use crate::transcript;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Configurations looked at a time, by both programs.
const AT_ONCE: usize = 2;

/// A configuration.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name, unique.
    pub name: &'static str,
    /// Table it stands in.
    pub group: &'static str,
    /// Its text.
    pub text: String,
}

/// All of them.
pub fn all() -> Vec<Case> {
    let tables = [("configurations to accept", accepted::cases()), ("configurations to refuse", refused::cases())];
    tables.into_iter().flat_map(|(group, cases)| cases.into_iter().map(move |c| Case { group, ..c })).collect()
}

/// Asks both programs about each.
///
/// # Errors
/// When a program does not start.
pub async fn compare(programs: &Programs, cases: &[Case]) -> Result<Vec<Outcome>, Error> {
    let dir = Arc::new(tempfile::tempdir().map_err(Error::failed("making a directory"))?);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = tokio::task::JoinSet::new();
    for (nth, case) in cases.iter().cloned().enumerate() {
        let (programs, dir, room) = (programs.clone(), dir.clone(), room.clone());
        asked.spawn(async move {
            // The semaphore is never closed.
            let _held = room.acquire().await;
            (nth, one(&programs, dir.path(), nth, &case).await)
        });
    }
    let mut outcomes = vec![None; cases.len()];
    while let Some(done) = asked.join_next().await {
        let (nth, outcome) = done.map_err(Error::failed("asking for a verdict"))?;
        outcomes[nth] = Some(outcome?);
    }
    Ok(outcomes.into_iter().flatten().collect())
}

async fn one(programs: &Programs, dir: &Path, nth: usize, case: &Case) -> Result<Outcome, Error> {
    let file = dir.join(format!("{nth}.yaml"));
    std::fs::write(&file, &case.text).map_err(Error::failed("writing a configuration"))?;
    let envoy = verdict(programs, Product::Envoy, &file).await?;
    let ours = verdict(programs, Product::Foreshadow, &file).await?;
    let difference = (envoy.0 != ours.0).then(|| transcript::difference(&[envoy.1], &[ours.1]).unwrap_or_default());
    Ok(Outcome::judge(case.name, case.group, difference))
}

/// Whether a program accepts a file, and its first words on it.
async fn verdict(programs: &Programs, product: Product, file: &Path) -> Result<(bool, String), Error> {
    let mut command = programs.command(product);
    command.args(["--mode", "validate", "-l", "critical", "-c"]).arg(file);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let said = command.output().await.map_err(Error::failed("validating"))?;
    let (out, err) = (String::from_utf8_lossy(&said.stdout).into_owned(), String::from_utf8_lossy(&said.stderr).into_owned());
    let ok = format!("configuration '{}' OK", file.display());
    let accepted = said.status.success();
    if accepted && !out.contains(&ok) {
        return Ok((true, format!("accepts without the line `configuration ... OK`: {out}")));
    }
    if product == Product::Foreshadow && !accepted && said.status.code() != Some(78) {
        return Err(Error::Failed(format!("foreshadow-proxy ended with {} instead of 78: {err}", said.status)));
    }
    let first = err.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().replace(&*file.to_string_lossy(), "");
    let words: String = first.chars().take(400).collect();
    Ok((accepted, if accepted { "accepts".into() } else { format!("refuses: {words}") }))
}

//! Plays scenes on both proxies at once and compares.

use crate::deviations::{self, Deviation};
use crate::error::Error;
use crate::programs::{Product, Programs};
use crate::scene::Scene;
use crate::stage::{Set, Stage};
use crate::transcript;
use crate::yaml;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Scenes under way at a time.
const AT_ONCE: usize = 16;
/// Configurations validated at a time.
const VALIDATED_AT_ONCE: usize = 3;

/// How a scene ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Nothing differs.
    Same,
    /// Something differs that is documented.
    Deviation(&'static Deviation),
    /// Something differs.
    Different,
}

/// A scene's result.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The scene's name.
    pub name: &'static str,
    /// Its group.
    pub group: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// The lines that differ: `-` Envoy's, `+` ours.
    pub difference: Option<String>,
    /// A deviation is documented, and there is none (any more).
    pub stale: bool,
}

impl Outcome {
    /// The verdict on a scene, from what differs.
    pub fn judge(name: &'static str, group: &'static str, difference: Option<String>) -> Self {
        let documented = deviations::of(name);
        let verdict = match (&difference, documented) {
            (None, _) => Verdict::Same,
            (Some(text), Some(deviation)) if deviation.covers(text) => Verdict::Deviation(deviation),
            _ => Verdict::Different,
        };
        let stale = difference.is_none() && documented.is_some();
        Self { name, group, verdict, difference, stale }
    }
}

/// Plays these scenes on both.
///
/// # Errors
/// When a proxy does not start, or ends by itself.
pub async fn play(programs: &Programs, scenes: &[Scene]) -> Result<Vec<Outcome>, Error> {
    let dir = tempfile::tempdir().map_err(Error::failed("making a directory"))?;
    let refusals = refusals(programs, dir.path(), scenes).await?;
    let taken: Vec<usize> = (0..scenes.len()).filter(|i| refusals[*i].is_none()).collect();
    let everything: Vec<usize> = (0..scenes.len()).collect();
    let (envoy, ours) = tokio::try_join!(
        all(programs, Product::Envoy, dir.path(), scenes, &everything),
        all(programs, Product::Foreshadow, dir.path(), scenes, &taken)
    )?;
    Ok((0..scenes.len())
        .map(|i| {
            let ours = match &refusals[i] {
                Some(refusal) => vec![format!("the configuration is refused: {refusal}")],
                None => ours[i].clone().unwrap_or_default(),
            };
            let theirs = envoy[i].clone().unwrap_or_default();
            Outcome::judge(scenes[i].name, scenes[i].group, transcript::difference(&theirs, &ours))
        })
        .collect())
}

/// What our proxy says against each scene's configuration.
async fn refusals(programs: &Programs, dir: &Path, scenes: &[Scene]) -> Result<Vec<Option<String>>, Error> {
    let room = Arc::new(Semaphore::new(VALIDATED_AT_ONCE));
    let mut asked = tokio::task::JoinSet::new();
    for (nth, scene) in scenes.iter().enumerate() {
        let nowhere = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let log = dir.join("nowhere.log");
        let place = yaml::Place { nth, listener: nowhere(1), backends: [nowhere(2), nowhere(3), nowhere(4)], log };
        let file = dir.join(format!("{nth}.yaml"));
        std::fs::write(&file, yaml::file(&[(scene, place)])).map_err(Error::failed("writing a configuration"))?;
        let (programs, room) = (programs.clone(), room.clone());
        asked.spawn(async move {
            // The semaphore is never closed.
            let _held = room.acquire().await;
            (nth, refusal(&programs, &file).await)
        });
    }
    let mut found = vec![None; scenes.len()];
    while let Some(done) = asked.join_next().await {
        let (nth, refused) = done.map_err(Error::failed("validating"))?;
        found[nth] = refused?;
    }
    Ok(found)
}

/// What our proxy says against a file, when it refuses it.
async fn refusal(programs: &Programs, file: &Path) -> Result<Option<String>, Error> {
    let mut command = programs.command(Product::Foreshadow);
    command.stderr(std::process::Stdio::piped());
    let said = command.args(["--mode", "validate", "-c"]).arg(file).output().await.map_err(Error::failed("foreshadow-proxy"))?;
    let text = String::from_utf8_lossy(&said.stderr);
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("without a word").replace(&*file.to_string_lossy(), "");
    Ok((!said.status.success()).then_some(first))
}

async fn all(
    programs: &Programs,
    product: Product,
    dir: &Path,
    scenes: &[Scene],
    which: &[usize],
) -> Result<Vec<Option<Vec<String>>>, Error> {
    let mut sets = Vec::new();
    for i in which {
        sets.push(Set::new(*i, &scenes[*i], dir.join(format!("{product:?}-{i}.log"))).await?);
    }
    let placed: Vec<_> = sets.iter().map(|s| (&scenes[s.place.nth], s.place.clone())).collect();
    let stage = Arc::new(Stage::start(programs, product, dir, &placed).await?);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = tokio::task::JoinSet::new();
    for set in sets {
        let (scene, stage, room) = (scenes[set.place.nth].clone(), stage.clone(), room.clone());
        playing.spawn(async move {
            // The semaphore is never closed.
            let _held = room.acquire().await;
            (set.place.nth, stage.play(&scene, &set).await)
        });
    }
    let mut found = vec![None; scenes.len()];
    while let Some(played) = playing.join_next().await {
        let (nth, lines) = played.map_err(Error::failed("playing a scene"))?;
        found[nth] = Some(lines);
    }
    let ended = match Arc::into_inner(stage) {
        Some(stage) => stage.end().await,
        None => None,
    };
    match ended {
        Some(said) => Err(Error::Failed(format!("{product:?} {said}"))),
        None => Ok(found),
    }
}

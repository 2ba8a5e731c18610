//! Public conformance tools on both proxies over real sockets: ours is to fail no more of any group than Envoy.
//!
//! [`h2spec`] (HTTP/2), [`websocket`] (Autobahn's cases, driven by kosoku), [`messages`] (HTTP/1.1 answers under REDbot). Called by the command
//! `conformance`, which CI runs.

pub mod echo;
pub mod h2spec;
pub mod messages;
pub mod tools;
pub mod websocket;

use crate::error::Error;
use crate::programs::{Product, Programs, Proxy};
use crate::stage::Set;
use crate::yaml;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use std::collections::BTreeMap;
use tools::Tools;

/// A group of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// How many there are.
    pub tests: usize,
    /// The names of those that fail.
    pub failed: Vec<String>,
}

/// Groups by their section.
pub type Groups = BTreeMap<String, Group>;

/// Adds a test's result to its group.
fn note(groups: &mut Groups, group: String, test: &str, failed: bool) {
    let group = groups.entry(group).or_default();
    group.tests += 1;
    if failed {
        group.failed.push(test.to_owned());
    }
}

/// Figures of both proxies.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Envoy's.
    pub envoy: Groups,
    /// Ours.
    pub foreshadow: Groups,
}

impl Figures {
    /// Groups in which ours fails more than Envoy, with the tests that only ours fails.
    pub fn worse(&self) -> BTreeMap<&str, Vec<&str>> {
        let nothing = Group::default();
        let worse = self.foreshadow.iter().filter_map(|(name, ours)| {
            let theirs = self.envoy.get(name).unwrap_or(&nothing);
            let only_ours = ours.failed.iter().filter(|t| !theirs.failed.contains(t)).map(String::as_str).collect();
            (ours.failed.len() > theirs.failed.len()).then_some((name.as_str(), only_ours))
        });
        worse.collect()
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["group", "tests", "Envoy fails", "Foreshadow fails"]);
        for (name, group) in &self.envoy {
            let ours = self.foreshadow.get(name).map_or(0, |g| g.failed.len());
            table.add_row([name.clone(), group.tests.to_string(), group.failed.len().to_string(), ours.to_string()]);
        }
        let failed = |groups: &Groups| groups.values().map(|g| g.failed.len()).sum::<usize>().to_string();
        let tests = self.envoy.values().map(|g| g.tests).sum::<usize>().to_string();
        table.add_row(["all".to_owned(), tests, failed(&self.envoy), failed(&self.foreshadow)]);
        table
    }
}

/// Runs the tools on both, at the same time.
///
/// # Errors
/// When a program does not start, or a tool runs no test.
pub async fn compare(programs: &Programs, tools: &Tools) -> Result<Figures, Error> {
    let (envoy, foreshadow) = tokio::try_join!(one(programs, Product::Envoy, tools), one(programs, Product::Foreshadow, tools))?;
    Ok(Figures { envoy, foreshadow })
}

async fn one(programs: &Programs, product: Product, tools: &Tools) -> Result<Groups, Error> {
    let dir = tempfile::tempdir().map_err(Error::failed("making a directory"))?;
    let echo = echo::start().await.map_err(Error::failed("starting the WebSocket backend"))?;
    let scenes: Vec<_> = [h2spec::plain(), websocket::upgrading()].into_iter().chain(messages::scenes()).collect();
    let mut sets = Vec::new();
    for (nth, scene) in scenes.iter().enumerate() {
        sets.push(Set::new(nth, scene, dir.path().join("access.log")).await?);
    }
    sets[1].place.backends[0] = echo.address;
    let placed: Vec<_> = scenes.iter().zip(&sets).map(|(scene, set)| (scene, set.place.clone())).collect();
    let proxy = Proxy::start(programs, product, dir.path(), &yaml::file(&placed)).await?;
    let mut groups = h2spec::run(&tools.h2spec, sets[0].place.listener, dir.path()).await?;
    groups.extend(websocket::run(&tools.kosoku, sets[1].place.listener, dir.path()).await?);
    for (scene, set) in scenes.iter().zip(&sets).skip(2) {
        groups.extend(messages::run(&tools.redbot, scene.name, set.place.listener).await?);
    }
    match proxy.end().await {
        Some(said) => Err(Error::Failed(format!("{product:?} {said}"))),
        None => Ok(groups),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_worse_when_more_of_it_fails_than_with_envoy() {
        let failing = |names: &[&str]| {
            let mut groups = Groups::new();
            for test in ["a", "b", "c"] {
                note(&mut groups, "g".into(), test, names.contains(&test));
            }
            groups
        };
        let worse = |envoy: &[&str], ours: &[&str]| {
            let figures = Figures { envoy: failing(envoy), foreshadow: failing(ours) };
            figures.worse().into_iter().map(|(name, tests)| format!("{name}: {}", tests.join(" "))).collect::<Vec<_>>()
        };
        assert!(worse(&["a"], &["a"]).is_empty());
        assert!(worse(&["a"], &["b"]).is_empty());
        assert_eq!(worse(&["a"], &["a", "c"]), ["g: c"]);
    }
}

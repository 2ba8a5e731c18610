//! All TLS contexts of a configuration, and how they follow their files.
//!
//! Made by the controller before a configuration is applied; what cannot be made refuses the configuration. [`Contexts::renewed`] makes those
//! anew whose files say something else now; one that cannot be made stays as it was.

use super::TlsError;
use super::client::Client;
use super::server::Server;
use crate::config::model::{Config, Protocol};
use std::path::PathBuf;
use std::sync::Arc;

/// The contexts, by their places in the configuration.
#[derive(Debug, Clone, Default)]
pub struct Contexts {
    /// By `TlsId`.
    pub servers: Vec<Arc<Server>>,
    /// By cluster.
    pub clients: Vec<Option<Arc<Client>>>,
}

/// What came of a renewal.
#[derive(Debug, Default)]
pub struct Renewed {
    /// The contexts now, when any changed.
    pub contexts: Option<Contexts>,
    /// How many were made anew.
    pub renewed: usize,
    /// Whose files cannot be used, and why; their old contexts stay.
    pub refused: Vec<String>,
}

impl Contexts {
    /// Makes them all. Those of `before` that were made from the same settings and texts are taken over, with their open sessions.
    ///
    /// # Errors
    /// The first that cannot be made, by the name of its filter chain or cluster.
    pub fn new(config: &Config, before: Option<(&Config, &Self)>) -> Result<Self, String> {
        let named = |who: String| move |why: TlsError| format!("{who}: {why}");
        let mut contexts = Self::default();
        for (nth, settings) in config.downstream_tls.iter().enumerate() {
            let fresh = Server::new(settings).map_err(named(listener_of(config, nth)))?;
            let known = before.into_iter().flat_map(|(c, b)| c.downstream_tls.iter().zip(&b.servers));
            let same = known.filter(|(s, old)| *s == settings && old.fingerprint == fresh.fingerprint).map(|(_, old)| old.clone()).next();
            contexts.servers.push(same.unwrap_or_else(|| Arc::new(fresh)));
        }
        for cluster in &config.clusters {
            let Some(settings) = &cluster.tls else {
                contexts.clients.push(None);
                continue;
            };
            let fresh = Client::new(settings, alpn(cluster.protocol)).map_err(named(format!("cluster {}", cluster.name)))?;
            let known = before.into_iter().flat_map(|(c, b)| c.clusters.iter().zip(&b.clients));
            let known = known.filter_map(|(c, old)| Some((c.tls.as_ref()?, old.as_ref()?)));
            let same = known.filter(|(s, old)| *s == settings && old.fingerprint == fresh.fingerprint).map(|(_, old)| old.clone()).next();
            contexts.clients.push(Some(same.unwrap_or_else(|| Arc::new(fresh))));
        }
        Ok(contexts)
    }

    /// Reads everything again.
    pub fn renewed(&self, config: &Config) -> Renewed {
        let mut outcome = Renewed::default();
        let mut now = self.clone();
        for (nth, (settings, mine)) in config.downstream_tls.iter().zip(&mut now.servers).enumerate() {
            let fresh = Server::new(settings).map(|fresh| (fresh.fingerprint != mine.fingerprint).then(|| Arc::new(fresh)));
            outcome.take(mine, fresh, || listener_of(config, nth));
        }
        for (cluster, mine) in config.clusters.iter().zip(&mut now.clients) {
            if let (Some(settings), Some(mine)) = (&cluster.tls, mine) {
                let fresh = Client::new(settings, alpn(cluster.protocol))
                    .map(|fresh| (fresh.fingerprint != mine.fingerprint).then(|| Arc::new(fresh)));
                outcome.take(mine, fresh, || format!("cluster {}", cluster.name));
            }
        }
        outcome.contexts = (outcome.renewed > 0).then_some(now);
        outcome
    }
}

impl Renewed {
    fn take<T>(&mut self, mine: &mut Arc<T>, fresh: Result<Option<Arc<T>>, TlsError>, who: impl Fn() -> String) {
        match fresh {
            Ok(None) => {}
            Ok(Some(fresh)) => {
                *mine = fresh;
                self.renewed += 1;
            }
            Err(why) => self.refused.push(format!("{}: {why}", who())),
        }
    }
}

/// What is offered to the endpoints of a cluster that says nothing else.
pub fn alpn(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Http1 => &["http/1.1"],
        Protocol::Http2 => &["h2"],
        Protocol::Auto | Protocol::Downstream => &["h2", "http/1.1"],
    }
}

/// The listener that a context belongs to, in words.
fn listener_of(config: &Config, tls: usize) -> String {
    let owner = config.listeners.iter().find(|l| l.all_chains().any(|c| c.tls == Some(tls)));
    format!("listener {}", owner.map_or("", |l| &l.name))
}

/// Every file that a configuration's contexts are read from.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let down = config.downstream_tls.iter().flat_map(|s| s.common.files());
    let up = config.clusters.iter().filter_map(|c| c.tls.as_ref()).flat_map(|s| s.common.files());
    let mut all: Vec<_> = down.chain(up).cloned().collect();
    all.sort();
    all.dedup();
    all
}

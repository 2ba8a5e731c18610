//! Which filter chain serves a connection, also after a reload: the one that matches the same connections as the one that was chosen.

use crate::config::model::{ChainMatch, Config, FilterChain, ManagerId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A connection's place in whatever configuration is in force.
#[derive(Debug)]
pub struct Place {
    /// Name of the listener it came by.
    pub listener: Rc<str>,
    /// What the chosen chain matches; None for the default chain.
    matching: RefCell<Option<ChainMatch>>,
    settled: Cell<bool>,
    /// What was found last, and in which state.
    found: Cell<(u64, Option<ManagerId>)>,
}

impl Place {
    /// At a listener; its filter chain is not known yet.
    pub fn new(listener: Rc<str>) -> Self {
        Self { listener, matching: RefCell::default(), settled: Cell::new(false), found: Cell::new((0, None)) }
    }

    /// Its filter chain is known.
    pub fn settle(&self, chain: &FilterChain) {
        self.matching.replace(chain.matching.clone());
        self.settled.set(true);
    }

    /// Its filter chain in a configuration; None when it has gone. While it is not settled, any of its listener's.
    pub fn chain<'a>(&self, config: &'a Config) -> Option<&'a FilterChain> {
        let listener = config.listeners.iter().find(|l| *l.name == *self.listener)?;
        let matching = self.matching.borrow();
        listener.all_chains().find(|c| !self.settled.get() || c.matching == *matching)
    }

    /// Its connection manager in the state of this serial number, which is looked up once.
    pub fn manager(&self, serial: u64, config: &Config) -> Option<ManagerId> {
        let (known, manager) = self.found.get();
        if known == serial {
            return manager;
        }
        let manager = self.chain(config).map(|c| c.manager);
        self.found.set((serial, manager));
        manager
    }
}

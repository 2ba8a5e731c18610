//! foreshadow-agent: the shell around the pure decision core. See ARCHITECTURE.md for the map.
//!
//! `observe` sees, `control_loop` goes round (one tick on one screen), `act` acts, `store` remembers, `server` shows; `app` puts them together.

pub mod act;
pub mod app;
pub mod ask;
pub mod backtest;
pub mod cli;
pub mod config;
pub mod control_loop;
pub mod export;
pub mod hands;
pub mod http;
pub mod instances;
pub mod kubernetes;
pub mod live;
pub mod local;
pub mod metrics;
pub mod mind;
pub mod notes;
pub mod observe;
pub mod orchestrator;
pub mod record;
pub mod replay;
pub mod server;
pub mod store;
pub mod synthetic;

//! Fuzz targets: what must hold whatever comes. Each function takes bytes and panics when a promise is broken.
//!
//! The programs in `src/bin` hand them to libFuzzer, `cargo fuzz-proxy` builds and runs those.

#![cfg(feature = "targets")]

pub mod config;
pub mod framing;
pub mod headers;
pub mod path;

/// A configuration with all kinds of matchers, rewrites and header rules.
const CONFIG: &str = include_str!("fuzz.yaml");

/// The connection manager of [`CONFIG`].
fn manager() -> foreshadow_proxy::config::model::HttpManager {
    let config = foreshadow_proxy::config::load(&foreshadow_proxy::config::Source::text(CONFIG));
    config.unwrap_or_else(|problems| panic!("{problems}")).managers[0].as_ref().clone()
}

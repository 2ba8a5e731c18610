//! Helpers: where the repository is, and loading a sample as if started from its root.

use std::path::PathBuf;

use foreshadow_proxy::config::model::{Config, Forward, Route, RouteAction};
use foreshadow_proxy::config::{Problems, Source, load};

/// The repository's root. Tests run from it, because paths in configurations are relative to the working directory.
pub fn root() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(&root).expect("the repository can be entered");
    root
}

/// Loads a file of the repository.
pub fn load_file(path: &str) -> Result<Config, Problems> {
    root();
    load(&Source::file(path))
}

/// The routes of a configuration, in order.
pub fn routes(config: &Config) -> Vec<&Route> {
    let hosts = config.managers.iter().flat_map(|m| &m.routes.virtual_hosts);
    hosts.flat_map(|host| &host.routes).map(AsRef::as_ref).collect()
}

/// What a forwarding route does.
pub fn forward(route: &Route) -> &Forward {
    match &route.action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => panic!("the route {:?} does not forward", route.name),
    }
}

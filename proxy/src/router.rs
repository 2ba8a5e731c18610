//! Which route a request takes: the virtual host by its name, then the first route that matches. What a route does to path and host stands in
//! [`rewrite`], where it sends a client that is to go elsewhere in [`redirect`], which of several clusters it takes in [`target`].
//!
//! Called by [`crate::stack`]. Pure: no IO; what only run time knows is asked of [`Circumstances`].

pub mod hash;
pub mod matching;
pub mod redirect;
pub mod rewrite;
pub mod target;
pub mod terms;

use crate::config::model::{RequireTls, Route, RouteTable, RuntimeFraction};
use http::request::Parts;
use std::sync::Arc;

/// What a choice depends on besides the request.
pub trait Circumstances {
    /// Whether a part of all requests takes in this one.
    fn takes_in(&self, fraction: &RuntimeFraction) -> bool;
    /// The cluster of this name.
    fn cluster(&self, name: &str) -> Option<usize>;
}

/// What a route table says about a request.
#[derive(Debug)]
pub enum Found<'a> {
    /// It takes this route.
    Route(&'a Arc<Route>),
    /// It has to come over TLS.
    TlsRequired,
    /// Nothing.
    Nothing,
}

/// The route of a request, whose headers are as the connection manager left them.
pub fn find<'a>(table: &'a RouteTable, head: &Parts, host: &str, now: &impl Circumstances) -> Found<'a> {
    let Some(virtual_host) = table.domains.find(host).and_then(|nth| table.virtual_hosts.get(nth)) else { return Found::Nothing };
    let from_inside = || virtual_host.require_tls == RequireTls::ExternalOnly && is_internal(head);
    if virtual_host.require_tls != RequireTls::None && redirect::scheme(head) != "https" && !from_inside() {
        return Found::TlsRequired;
    }
    let path = head.uri.path();
    let route = virtual_host.routes.iter().find(|r| matching::matches(&r.matching, head, path, host, now));
    route.map_or(Found::Nothing, Found::Route)
}

/// By the connection manager's own mark, which it takes from everybody else.
fn is_internal(head: &Parts) -> bool {
    head.headers.get("x-envoy-internal").is_some_and(|v| v == "true")
}

//! Route tables: virtual hosts, their domains, their routes, and what routes inherit from the levels above.

use std::collections::HashMap;
use std::sync::Arc;

use super::action;
use super::clusters::Names;
use super::headers::{self, Both};
use super::matching;
use super::mirror::{self, Level};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{Domain, Forward, HeaderOps, MirrorPolicy, PathMatch, Route, RouteAction, RouteTable, VirtualHost};

const TABLE: Schema = Schema {
    name: "envoy.config.route.v3.RouteConfiguration",
    fields: "name virtual_hosts response_headers_to_add response_headers_to_remove request_headers_to_add request_headers_to_remove \
        most_specific_header_mutations_wins validate_clusters request_mirror_policies metadata",
    unsupported: "vhds internal_only_headers max_direct_response_body_size_bytes cluster_specifier_plugins ignore_port_in_host_matching \
        vhost_header ignore_path_parameters_in_path_matching typed_per_filter_config",
};

const HOST: Schema = Schema {
    name: "envoy.config.route.v3.VirtualHost",
    fields: "name domains routes request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove \
        request_mirror_policies metadata",
    unsupported: "matcher require_tls virtual_clusters rate_limits cors typed_per_filter_config include_request_attempt_count \
        include_attempt_count_in_response retry_policy retry_policy_typed_config hedge_policy include_is_timeout_retry_header \
        per_request_buffer_limit_bytes request_body_buffer_limit",
};

const ROUTE: Schema = Schema {
    name: "envoy.config.route.v3.Route",
    fields: "name match route direct_response metadata request_headers_to_add request_headers_to_remove response_headers_to_add \
        response_headers_to_remove",
    unsupported: "redirect filter_action non_forwarding_action decorator typed_per_filter_config tracing per_request_buffer_limit_bytes \
        stat_prefix request_body_buffer_limit",
};

/// What routes refer to.
pub struct Scope<'a> {
    /// Clusters by name.
    pub names: &'a Names,
    /// Mirror policies of each cluster's own, by cluster.
    pub own_mirrors: &'a [Vec<Arc<MirrorPolicy>>],
}

/// What a level hands down.
struct Above {
    headers: Vec<Both>,
    /// True when the most specific header operation comes last.
    specific_last: bool,
    mirrors: Level,
}

impl Above {
    /// The level below, given its fields and its own mirror list.
    fn below(&self, fields: &Fields<'_>, mirrors: Option<Value<'_>>, place: &str, scope: &Scope<'_>) -> Self {
        let own = mirrors.map(|v| mirror::policies(&v, scope.names, place)).unwrap_or_default();
        let settings = fields.get("metadata").and_then(|v| mirror::settings(&v, scope.names));
        let mut headers = self.headers.clone();
        headers.push(headers::level(fields));
        Self { headers, specific_last: self.specific_last, mirrors: self.mirrors.below(own, settings) }
    }

    /// The operations of all levels as one, in Envoy's order: the route's first, unless `most_specific_header_mutations_wins`.
    fn merged(&self, pick: impl Fn(&Both) -> &HeaderOps) -> HeaderOps {
        let join = |all: HeaderOps, level: &Both| headers::then(&all, pick(level));
        if self.specific_last {
            self.headers.iter().fold(HeaderOps::default(), join)
        } else {
            self.headers.iter().rev().fold(HeaderOps::default(), join)
        }
    }
}

/// Reads a `RouteConfiguration`.
pub fn table(value: &Value<'_>, scope: &Scope<'_>) -> Option<RouteTable> {
    let fields = value.message(&TABLE)?;
    let name = fields.get("name").and_then(|v| v.string()).unwrap_or_default();
    if let Some(check) = fields.get("validate_clusters")
        && check.wrapper().boolean() == Some(false)
    {
        check.problem("cluster names are always checked here", "expected true");
    }
    let top =
        Above { headers: Vec::new(), specific_last: fields.flag("most_specific_header_mutations_wins", false), mirrors: Level::default() };
    let place = if name.is_empty() { "routes" } else { &name };
    let above = top.below(&fields, fields.get("request_mirror_policies"), place, scope);
    let mut seen = Seen::default();
    let virtual_hosts = fields.list("virtual_hosts").iter().filter_map(|v| virtual_host(v, &above, scope, &mut seen)).collect();
    Some(RouteTable { name, virtual_hosts })
}

/// Names and domains of the virtual hosts read so far, with the lines they stand on.
#[derive(Default)]
struct Seen {
    names: HashMap<String, u32>,
    domains: HashMap<Domain, u32>,
}

fn virtual_host(value: &Value<'_>, above: &Above, scope: &Scope<'_>, seen: &mut Seen) -> Option<VirtualHost> {
    let fields = value.message(&HOST)?;
    let name = fields.need("name").and_then(|v| v.name()).unwrap_or_default();
    if let Some(line) = seen.names.insert(name.clone(), value.pos().line)
        && !name.is_empty()
    {
        value.problem(format!("a virtual host named `{name}` stands on line {line} already"), "expected names that are unique");
    }
    let domains = fields.need("domains").map(|v| domains(&v, seen)).unwrap_or_default();
    let above = above.below(&fields, fields.get("request_mirror_policies"), &name, scope);
    let routes = fields.list("routes");
    let routes = routes.iter().enumerate().filter_map(|(nth, v)| route(v, &above, scope, &format!("{name}/{nth}"))).map(Arc::new).collect();
    Some(VirtualHost { name, domains, routes })
}

fn domains(value: &Value<'_>, seen: &mut Seen) -> Vec<Domain> {
    let mut found = Vec::new();
    let list = value.list();
    if list.is_empty() {
        value.problem("there are no domains", "expected at least one, such as \"*\"");
    }
    for value in list {
        let Some(domain) = domain(&value) else { continue };
        if let Some(line) = seen.domains.insert(domain.clone(), value.pos().line) {
            let text = value.string().unwrap_or_default();
            value.problem(format!("the domain `{text}` stands on line {line} already"), "expected each domain once in a route table");
        }
        found.push(domain);
    }
    found
}

fn domain(value: &Value<'_>) -> Option<Domain> {
    let text = value.name()?.to_ascii_lowercase();
    if text == "*" {
        return Some(Domain::Any);
    }
    let (first, last) = (text.strip_prefix('*'), text.strip_suffix('*'));
    let domain = match (first, last) {
        (Some(suffix), _) => Domain::Suffix(suffix.to_owned()),
        (None, Some(prefix)) => Domain::Prefix(prefix.to_owned()),
        (None, None) => Domain::Exact(text.clone()),
    };
    if text.matches('*').count() > 1 || (matches!(domain, Domain::Exact(_)) && text.contains('*')) {
        value.problem(format!("`{text}` has a `*` where none can be"), "expected one `*`, at the start or at the end");
        return None;
    }
    Some(domain)
}

fn route(value: &Value<'_>, above: &Above, scope: &Scope<'_>, place: &str) -> Option<Route> {
    let fields = value.message(&ROUTE)?;
    let name = fields.get("name").and_then(|v| v.string()).unwrap_or_default();
    let matched = fields.need("match").and_then(|v| matching::route_match(&v));
    let (action, above) = match fields.need_one_of(&["route", "direct_response"]) {
        Some(("route", v)) => {
            let draft = action::route(&v, scope.names);
            let mirrors = draft.as_ref().and_then(|d| d.mirrors.clone());
            let above = above.below(&fields, mirrors, place, scope);
            (draft.map(|d| RouteAction::Forward(forward(d, &above.mirrors, scope))), above)
        }
        Some((_, v)) => (action::direct(&v), above.below(&fields, None, place, scope)),
        None => (None, above.below(&fields, None, place, scope)),
    };
    let (path, headers) = matched?;
    rewrite_fits(&fields, &path, action.as_ref());
    Some(Route {
        name,
        path,
        headers,
        action: action?,
        request_headers: above.merged(|both| &both.request),
        response_headers: above.merged(|both| &both.response),
    })
}

/// A prefix matched in any letter case is held as a regular expression, which leaves no prefix to replace.
fn rewrite_fits(fields: &Fields<'_>, path: &PathMatch, action: Option<&RouteAction>) {
    let rewrites = matches!(action, Some(RouteAction::Forward(forward)) if forward.prefix_rewrite.is_some());
    if rewrites && matches!(path, PathMatch::Regex(_)) {
        let right = "match a prefix or a path, with regard to letter case";
        fields.value().problem("prefix_rewrite does not go with this match yet", right);
    }
}

fn forward(draft: action::Draft<'_>, mirrors: &Level, scope: &Scope<'_>) -> Forward {
    let own = match draft.clusters.as_slice() {
        [(only, _)] => scope.own_mirrors.get(*only).filter(|own| !own.is_empty()),
        _ => None,
    };
    Forward {
        mirrors: own.unwrap_or(&mirrors.ready).clone(),
        clusters: draft.clusters,
        prefix_rewrite: draft.prefix_rewrite,
        host_rewrite: draft.host_rewrite,
        timeout: draft.timeout,
    }
}

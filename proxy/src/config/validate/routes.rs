//! Route tables: virtual hosts, their domains, their routes, and what routes inherit from the levels above.

use std::collections::HashMap;
use std::sync::Arc;

use super::action;
use super::clusters::Names;
use super::headers::{self, Both};
use super::matching;
use super::mirror::{self, Level};
use super::{redirect, retry};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{
    Domain, Domains, Forward, HeaderOps, MirrorPolicy, RequireTls, RetryPolicy, Route, RouteAction, RouteTable, Target, VirtualHost,
};

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
        request_mirror_policies require_tls retry_policy per_request_buffer_limit_bytes request_body_buffer_limit metadata",
    unsupported: "matcher virtual_clusters rate_limits cors typed_per_filter_config include_request_attempt_count \
        include_attempt_count_in_response retry_policy_typed_config hedge_policy include_is_timeout_retry_header",
};

const ROUTE: Schema = Schema {
    name: "envoy.config.route.v3.Route",
    fields: "name match route direct_response redirect metadata request_headers_to_add request_headers_to_remove response_headers_to_add \
        response_headers_to_remove per_request_buffer_limit_bytes request_body_buffer_limit",
    unsupported: "filter_action non_forwarding_action decorator typed_per_filter_config tracing stat_prefix",
};

/// What routes refer to.
pub struct Scope<'a> {
    /// Clusters by name.
    pub names: &'a Names,
    /// Mirror policies of each cluster's own, by cluster.
    pub own_mirrors: &'a [Vec<Arc<MirrorPolicy>>],
    /// Who we are to others; may be empty.
    pub service_cluster: &'a str,
}

/// What a level hands down.
struct Above {
    headers: Vec<Both>,
    /// True when the most specific header operation comes last.
    specific_last: bool,
    mirrors: Level,
    retry: Option<Arc<RetryPolicy>>,
    retry_buffer: usize,
}

/// Most bytes of a body kept for another try, unless a route says otherwise (Envoy's buffer limit of a connection).
const RETRY_BUFFER: usize = 1 << 20;

impl Above {
    /// The level below, given its fields and its own mirror list.
    fn below(&self, fields: &Fields<'_>, mirrors: Option<Value<'_>>, place: &str, scope: &Scope<'_>) -> Self {
        let own = mirrors.map(|v| mirror::policies(&v, scope.names, place)).unwrap_or_default();
        let settings = fields.get("metadata").and_then(|v| mirror::settings(&v, scope.names));
        let mut headers = self.headers.clone();
        headers.push(headers::level(fields));
        let retry_buffer = match fields.one_of(&["per_request_buffer_limit_bytes", "request_body_buffer_limit"]) {
            Some((_, v)) => v.wrapper().integer(0, 1 << 30).map_or(self.retry_buffer, |n| n as usize),
            None => self.retry_buffer,
        };
        Self {
            headers,
            specific_last: self.specific_last,
            mirrors: self.mirrors.below(own, settings),
            retry: self.retry.clone(),
            retry_buffer,
        }
    }

    /// The operations of all levels with those of one of several clusters, which is the most specific; None when it has none.
    fn with(&self, own: Both) -> Option<Box<(HeaderOps, HeaderOps)>> {
        if own.is_empty() {
            return None;
        }
        let mut headers = self.headers.clone();
        headers.push(own);
        let all = Self { headers, mirrors: Level::default(), retry: None, ..*self };
        Some(Box::new((all.merged(|both| &both.request), all.merged(|both| &both.response))))
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
    let top = Above {
        headers: Vec::new(),
        specific_last: fields.flag("most_specific_header_mutations_wins", false),
        mirrors: Level::default(),
        retry: None,
        retry_buffer: RETRY_BUFFER,
    };
    let place = if name.is_empty() { "routes" } else { &name };
    let above = top.below(&fields, fields.get("request_mirror_policies"), place, scope);
    let mut seen = Seen::default();
    let virtual_hosts: Vec<_> = fields.list("virtual_hosts").iter().filter_map(|v| virtual_host(v, &above, scope, &mut seen)).collect();
    let domains = Domains::new(virtual_hosts.iter().enumerate().flat_map(|(nth, host)| host.domains.iter().map(move |d| (d, nth))));
    Some(RouteTable { name, virtual_hosts, domains })
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
    let mut above = above.below(&fields, fields.get("request_mirror_policies"), &name, scope);
    above.retry = fields.get("retry_policy").and_then(|v| retry::policy(&v)).map(Arc::new);
    let routes = fields.list("routes");
    let routes = routes.iter().enumerate().filter_map(|(nth, v)| route(v, &above, scope, &format!("{name}/{nth}"))).map(Arc::new).collect();
    let tls = [("NONE", 0, RequireTls::None), ("EXTERNAL_ONLY", 1, RequireTls::ExternalOnly), ("ALL", 2, RequireTls::All)];
    let require_tls = fields.get("require_tls").and_then(|v| v.choice(&tls)).unwrap_or_default();
    Some(VirtualHost { name, domains, require_tls, routes })
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
    let (action, above) = match fields.need_one_of(&["route", "direct_response", "redirect"]) {
        Some(("route", v)) => {
            let draft = action::route(&v, scope.names);
            let mirrors = draft.as_ref().and_then(|d| d.mirrors.clone());
            let above = above.below(&fields, mirrors, place, scope);
            (draft.map(|d| RouteAction::Forward(forward(d, &above, scope))), above)
        }
        Some(("direct_response", v)) => (action::direct(&v), above.below(&fields, None, place, scope)),
        Some((_, v)) => (redirect::read(&v).map(RouteAction::Redirect), above.below(&fields, None, place, scope)),
        None => (None, above.below(&fields, None, place, scope)),
    };
    Some(Route {
        name,
        matching: matched?,
        action: action?,
        request_headers: above.merged(|both| &both.request),
        response_headers: above.merged(|both| &both.response),
    })
}

fn forward(mut draft: action::Draft<'_>, above: &Above, scope: &Scope<'_>) -> Forward {
    let own = match &draft.to {
        Target::One(only) => scope.own_mirrors.get(*only).filter(|own| !own.is_empty()),
        Target::Weighted(_) | Target::Header { .. } => None,
    };
    if let Target::Weighted(several) = &mut draft.to {
        for (entry, own) in several.iter_mut().zip(draft.cluster_headers) {
            entry.headers = above.with(own);
        }
    }
    Forward {
        mirrors: own.unwrap_or(&above.mirrors.ready).clone(),
        to: draft.to,
        path_rewrite: draft.path_rewrite,
        host_rewrite: draft.host_rewrite,
        append_forwarded_host: draft.append_forwarded_host,
        timeout: draft.timeout,
        idle_timeout: draft.idle_timeout,
        max_duration: draft.max_duration,
        upgrades: draft.upgrades,
        high_priority: draft.high_priority,
        hash: draft.hash,
        retry: draft.retry.or_else(|| above.retry.clone()),
        retry_buffer: above.retry_buffer,
    }
}

//! Which ports serve requests.

use super::json::{annotation, field, port};
use super::skip::Skip;
use super::{Around, app_containers};
use crate::kubernetes::names;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most ports taken over.
const MOST: usize = 8;

/// A container port that is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Number.
    pub number: u16,
    /// Name, when it has one.
    pub name: Option<String>,
    /// Index of its container; `None`: nobody declares it.
    pub container: Option<usize>,
    /// Whether it speaks HTTP/2 without TLS.
    pub http2: bool,
}

/// A port as a Service sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it targets: a name or a number.
    pub target: Result<String, u16>,
    /// Name and application protocol in the Service.
    hints: Vec<String>,
}

/// All TCP ports that the application declares.
pub fn declared(pod: &Value) -> Vec<Port> {
    let mut found: Vec<Port> = Vec::new();
    for (container, value) in app_containers(pod) {
        for declared in value.get("ports").and_then(Value::as_array).into_iter().flatten() {
            let tcp = field(declared, "protocol").as_str().is_none_or(|p| p == "TCP");
            let Some(number) = port(field(declared, "containerPort")).filter(|_| tcp) else { continue };
            let name = field(declared, "name").as_str().map(str::to_owned);
            if !found.iter().any(|p| p.number == number && p.name == name) {
                let http2 = name.as_deref().is_some_and(|n| kind(n) == Kind::Http2);
                found.push(Port { number, name, container: Some(container), http2 });
            }
        }
    }
    found
}

/// Ports that Services lead to in this pod.
pub fn targets(pod: &Value, around: &Around) -> Vec<Target> {
    let mut found = Vec::new();
    for service in around.services.iter().filter(|s| selects(s, pod)) {
        for given in service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten() {
            if field(given, "protocol").as_str().is_some_and(|p| p != "TCP") {
                continue;
            }
            let target = match given.get("targetPort") {
                Some(Value::String(name)) => name.parse::<u16>().map_or_else(|_| Ok(name.clone()), Err),
                Some(number) => match port(number) {
                    Some(number) => Err(number),
                    None => continue,
                },
                None => match port(field(given, "port")) {
                    Some(number) => Err(number),
                    None => continue,
                },
            };
            let hints = ["appProtocol", "name"].iter().filter_map(|h| given.get(*h)?.as_str().map(str::to_owned)).collect();
            found.push(Target { target, hints });
        }
    }
    found
}

fn selects(service: &Value, pod: &Value) -> bool {
    let Some(selector) = service.pointer("/spec/selector").and_then(Value::as_object).filter(|s| !s.is_empty()) else { return false };
    selector.iter().all(|(name, value)| pod.pointer("/metadata/labels").and_then(|l| l.get(name)) == Some(value))
}

/// The ports to take over: those that the pod names, else those that Services lead to, else the one that looks right.
pub fn choose(pod: &Value, targets: &[Target]) -> Result<Vec<Port>, Skip> {
    let declared = declared(pod);
    let mut chosen = if let Some(text) = annotation(pod, names::PORTS) {
        named(text, &declared)?
    } else if targets.is_empty() {
        likely(&declared)?
    } else {
        served(targets, &declared)
    };
    if chosen.is_empty() {
        return Err(if declared.is_empty() { Skip::NoPort } else { Skip::WhichPort(shown(&declared)) });
    }
    chosen.truncate(MOST);
    mark_http2(pod, targets, &mut chosen);
    Ok(chosen)
}

fn named(text: &str, declared: &[Port]) -> Result<Vec<Port>, Skip> {
    let one = |item: &str| match item.parse::<u16>() {
        Ok(0) => Err(Skip::UnknownPort(item.to_owned(), shown(declared))),
        Ok(number) => {
            let undeclared = Port { number, name: None, container: None, http2: false };
            Ok(declared.iter().find(|p| p.number == number).cloned().unwrap_or(undeclared))
        }
        Err(_) => declared
            .iter()
            .find(|p| p.name.as_deref() == Some(item))
            .cloned()
            .ok_or_else(|| Skip::UnknownPort(item.to_owned(), shown(declared))),
    };
    let mut found: Vec<Port> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        let port = one(item)?;
        if !found.iter().any(|p| p.number == port.number) {
            found.push(port);
        }
    }
    Ok(found)
}

/// What Services lead to, without what does not look like HTTP.
fn served(targets: &[Target], declared: &[Port]) -> Vec<Port> {
    let mut found: Vec<Port> = Vec::new();
    for target in targets {
        let port = match &target.target {
            Ok(name) => declared.iter().find(|p| p.name.as_deref() == Some(name)).cloned(),
            Err(number) => {
                let undeclared = Port { number: *number, name: None, container: None, http2: false };
                Some(declared.iter().find(|p| p.number == *number).cloned().unwrap_or(undeclared))
            }
        };
        let Some(port) = port else { continue };
        let hints = target.hints.iter().map(String::as_str).chain(port.name.as_deref());
        let kinds: Vec<Kind> = hints.map(kind).collect();
        let other = kinds.contains(&Kind::Other) || (!kinds.contains(&Kind::Http) && OTHER_PORTS.contains(&port.number));
        if !other && !found.iter().any(|p| p.number == port.number) {
            found.push(port);
        }
    }
    found
}

/// Without Services: the only port, or those whose names say HTTP.
fn likely(declared: &[Port]) -> Result<Vec<Port>, Skip> {
    let kind_of = |p: &Port| p.name.as_deref().map_or(Kind::Unknown, kind);
    let numbers: BTreeSet<u16> = declared.iter().map(|p| p.number).collect();
    if let ([only], 1) = (declared, numbers.len()) {
        let other = kind_of(only) == Kind::Other || (only.name.is_none() && OTHER_PORTS.contains(&only.number));
        return if other { Err(Skip::WhichPort(shown(declared))) } else { Ok(vec![only.clone()]) };
    }
    Ok(declared.iter().filter(|p| matches!(kind_of(p), Kind::Http | Kind::Http2)).cloned().collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Http2,
    /// Not HTTP in plain text, or not what users ask for.
    Other,
    Unknown,
}

/// Ports that are something else unless their name says HTTP.
const OTHER_PORTS: [u16; 12] = [22, 25, 443, 1433, 3306, 5432, 5672, 6379, 8443, 9092, 11_211, 27_017];

/// What a port's name or application protocol says. Istio's convention: `<protocol>[-suffix]`.
fn kind(name: &str) -> Kind {
    let name = name.to_ascii_lowercase();
    if ["metrics", "health", "admin", "debug", "probe", "prometheus"].iter().any(|word| name.contains(word)) {
        return Kind::Other;
    }
    let head = name.split(['-', '.']).next().unwrap_or("");
    match name.as_str() {
        "kubernetes.io/h2c" => return Kind::Http2,
        "kubernetes.io/ws" => return Kind::Http,
        "kubernetes.io/wss" => return Kind::Other,
        _ => {}
    }
    match head {
        "http" | "web" | "api" | "rest" | "ws" => Kind::Http,
        "http2" | "h2c" | "grpc" => Kind::Http2,
        "https" | "tls" | "tcp" | "udp" | "mysql" | "postgres" | "postgresql" | "redis" | "mongo" | "amqp" | "kafka" | "ssh" | "smtp"
        | "dns" | "wss" => Kind::Other,
        _ => Kind::Unknown,
    }
}

fn mark_http2(pod: &Value, targets: &[Target], chosen: &mut [Port]) {
    let told: Vec<&str> = annotation(pod, names::HTTP2_PORTS).unwrap_or("").split(',').map(str::trim).collect();
    for port in chosen {
        let leads = |t: &&Target| match &t.target {
            Ok(name) => port.name.as_ref() == Some(name),
            Err(number) => *number == port.number,
        };
        let by_service = targets.iter().filter(leads).any(|t| t.hints.iter().any(|h| kind(h) == Kind::Http2));
        let by_pod = told.contains(&port.number.to_string().as_str()) || port.name.as_deref().is_some_and(|n| told.contains(&n));
        port.http2 |= by_service || by_pod;
    }
}

fn shown(ports: &[Port]) -> String {
    let one = |p: &Port| p.name.as_ref().map_or_else(|| p.number.to_string(), |n| format!("{n} ({})", p.number));
    if ports.is_empty() { "none".into() } else { ports.iter().map(one).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_port_speaks() {
        for (name, expected) in [
            ("http", Kind::Http),
            ("http-web", Kind::Http),
            ("grpc", Kind::Http2),
            ("h2c-api", Kind::Http2),
            ("kubernetes.io/h2c", Kind::Http2),
            ("https", Kind::Other),
            ("http-metrics", Kind::Other),
            ("redis", Kind::Other),
            ("main", Kind::Unknown),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}

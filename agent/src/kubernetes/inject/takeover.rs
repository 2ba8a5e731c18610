//! How the sidecar gets the traffic of a pod: decided once, from the pod, its Services and its namespace.

use super::json::{annotation, list, port};
use super::ports::{self, Port, Target};
use super::skip::{self, Skip};
use super::{Around, Native, Settings};
use crate::kubernetes::crd::shadow::Methods;
use crate::kubernetes::names;
use serde_json::Value;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Takeover {
    /// By name where Services target names, else by redirection.
    Auto,
    /// By name.
    NamedPort,
    /// By redirection.
    Redirect,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The sidecar takes the ports' names.
    NamedPort,
    /// An init container redirects the ports.
    Redirect,
}

impl Mode {
    /// As the annotation says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NamedPort => "named-port",
            Self::Redirect => "redirect",
        }
    }
}

/// What is done to a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How.
    pub mode: Mode,
    /// Whether the sidecar is an init container that restarts.
    pub native: bool,
    /// Ports taken over.
    pub ports: Vec<Port>,
    /// Which requests may be copied.
    pub methods: Methods,
    /// What people should know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// As the proxy's configuration says it.
    pub fn methods_name(&self) -> &'static str {
        match self.methods {
            Methods::Safe => "safe",
            Methods::All => "all",
        }
    }
}

/// Decides.
pub fn plan(pod: &Value, settings: &Settings, around: &Around) -> Result<Plan, Skip> {
    if list(pod, "containers").is_empty() {
        return Err(Skip::NoPort);
    }
    let targets = ports::targets(pod, around);
    let chosen = ports::choose(pod, &targets)?;
    let mut warnings = Vec::new();
    let mode = mode(pod, settings, around, &targets, &chosen, &mut warnings)?;
    let native = match settings.native {
        Native::Never => false,
        Native::Unnamed => mode == Mode::Redirect,
        Native::Always => true,
    };
    let to_completion = pod.pointer("/spec/restartPolicy").and_then(Value::as_str).is_some_and(|p| p != "Always");
    if to_completion && !native {
        return Err(Skip::Job);
    }
    ours_are_free(pod, mode, &chosen)?;
    Ok(Plan { mode, native, ports: chosen, methods: methods(pod, settings)?, warnings })
}

fn methods(pod: &Value, settings: &Settings) -> Result<Methods, Skip> {
    match annotation(pod, names::METHODS) {
        None => Ok(settings.methods),
        Some("safe") => Ok(Methods::Safe),
        Some("all") => Ok(Methods::All),
        Some(other) => Err(Skip::Annotation(names::METHODS, other.to_owned(), "safe or all")),
    }
}

fn asked(pod: &Value, settings: &Settings) -> Result<Takeover, Skip> {
    match annotation(pod, names::TAKEOVER) {
        None => Ok(settings.takeover),
        Some("auto") => Ok(Takeover::Auto),
        Some("named-port") => Ok(Takeover::NamedPort),
        Some("redirect") => Ok(Takeover::Redirect),
        Some(other) => Err(Skip::Annotation(names::TAKEOVER, other.to_owned(), "auto, named-port or redirect")),
    }
}

fn mode(
    pod: &Value,
    settings: &Settings,
    around: &Around,
    targets: &[Target],
    chosen: &[Port],
    warnings: &mut Vec<String>,
) -> Result<Mode, Skip> {
    let unnamed = chosen.iter().find(|p| p.name.is_none() || p.container.is_none()).map(|p| p.number);
    let reached_by_number = |p: &Port| targets.iter().any(|t| t.target == Err(p.number));
    let reached_by_name = |p: &Port| targets.iter().any(|t| t.target.as_ref().ok() == p.name.as_ref());
    let by_number = chosen.iter().find(|p| reached_by_number(p));
    match asked(pod, settings)? {
        Takeover::NamedPort => {
            if let Some(number) = unnamed {
                return Err(Skip::NoName(number));
            }
            if let Some(port) = by_number {
                warnings.push(format!("a Service targets the number {}: what it sends goes past the sidecar", port.number));
            }
            Ok(Mode::NamedPort)
        }
        Takeover::Redirect => may_redirect(pod, around).map(|()| Mode::Redirect),
        Takeover::Auto => {
            if unnamed.is_none() && chosen.iter().all(|p| reached_by_name(p) && !reached_by_number(p)) {
                return Ok(Mode::NamedPort);
            }
            let refused = match may_redirect(pod, around) {
                Ok(()) if unnamed.is_some() || by_number.is_some() => return Ok(Mode::Redirect),
                Ok(()) => None,
                Err(reason) => Some(reason),
            };
            match (unnamed, by_number, refused) {
                (None, None, _) => {
                    let shown = chosen.iter().filter_map(|p| p.name.as_deref()).collect::<Vec<_>>().join(", ");
                    warnings.push(format!(
                        "no Service is known that leads here: it must target {shown} by name, else requests go past the sidecar"
                    ));
                    Ok(Mode::NamedPort)
                }
                (_, _, Some(reason)) => Err(reason),
                (Some(number), _, None) => Err(Skip::NoName(number)),
                (None, Some(port), None) => Err(Skip::NoName(port.number)),
            }
        }
    }
}

/// Whether redirection would be let in and work.
fn may_redirect(pod: &Value, around: &Around) -> Result<(), Skip> {
    if let Some(name) = skip::mesh(pod) {
        return Err(Skip::Mesh(name.to_owned()));
    }
    match around.namespace_labels.get("pod-security.kubernetes.io/enforce").map(String::as_str) {
        Some(level @ ("baseline" | "restricted")) => Err(Skip::PodSecurity(level.to_owned())),
        _ => Ok(()),
    }
}

/// Ports of the sidecar's own in this plan.
fn ours(mode: Mode, chosen: &[Port]) -> Vec<u16> {
    let count = chosen.len() as u16;
    let inbound = if mode == Mode::NamedPort { count } else { 1 };
    let direct = if mode == Mode::Redirect { count } else { 0 };
    let mut all = vec![names::ADMIN_PORT, names::ACCESS_PORT];
    all.extend((0..inbound).map(|i| names::INBOUND_PORT + i));
    all.extend((0..direct).map(|i| names::DIRECT_PORT + i));
    all
}

fn ours_are_free(pod: &Value, mode: Mode, chosen: &[Port]) -> Result<(), Skip> {
    let ours = ours(mode, chosen);
    let lists = ["containers", "initContainers"].into_iter().flat_map(|l| list(pod, l));
    let declared = lists.flat_map(|c| c.get("ports").and_then(Value::as_array).into_iter().flatten());
    let taken = declared.filter_map(|p| port(p.get("containerPort")?)).find(|n| ours.contains(n));
    taken.map_or(Ok(()), |n| Err(Skip::PortTaken(n)))
}

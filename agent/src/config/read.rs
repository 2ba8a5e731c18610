//! From the tree to the model: every field of the file, its range, its default. Fields are listed in the order of `config/local.yaml`.
//!
//! Called by `config::parse`. Here: `workload`, `collect`, `history`, `server`. Not here: `discovery` (see `discovery.rs`).

use super::fields::{Fields, Problems, text};
use super::model::*;
use super::yaml::{Node, Value};
use super::{discovery, fields::Placed};
use foreshadow_brain::Settings;
use foreshadow_snapshot::RequestShape;
use std::net::SocketAddr;
use std::time::Duration;

/// Profiles that exist.
pub const PROFILES: [&str; 4] = ["same", "cpu-half", "cpu-quarter", "memory-half"];

const A_DAY_S: f64 = 86_400.0;

/// Reads a whole document. What it returns may be used only when there are no problems.
pub fn config(root: &Node, problems: &mut Problems) -> Config {
    let mut top = Fields::open(root, "", problems);
    let workload = match top.nested("workload", workload) {
        Some(w) => w,
        None => {
            top.missing("workload", "a mapping with `name` and `objective.threshold_ms`");
            nothing()
        }
    };
    let (collect, stale_after_s) = top.nested("collect", collect).unwrap_or((Collect::default(), 5.0));
    let discovery = top.nested("discovery", |f| discovery::read(f, &workload));
    let history = top.nested("history", history).unwrap_or_default();
    let listen = top.nested("server", listen).unwrap_or_else(default_listen);
    let renewals = workload.settings.floor_ttl_s / collect.interval.as_secs_f64();
    if renewals < 3.0 {
        let at = top.place_of("workload");
        let what = format!("{} is less than three intervals", workload.settings.floor_ttl_s);
        let expected = "at least three times collect.interval_ms, so that a floor does not fall away between two renewals";
        top.problems().add(at, "workload.actuation.floor_ttl_s", what, expected);
    }
    if discovery.is_none() {
        top.missing("discovery", "`local` (replicas are started here) or `static` (something else started them)");
    }
    top.finish();
    let mut config = Config { workload, collect, discovery: discovery.unwrap_or(Discovery::Static(Static::default())), history, listen };
    config.workload.settings.stale_after_s = stale_after_s;
    config
}

fn nothing() -> Workload {
    let shadow = Shadow { enabled: false, profiles: Vec::new(), methods: Methods::Safe, synthetic: false, requests: Vec::new() };
    Workload { name: String::new(), mode: Mode::Observe, settings: defaults(), shadow }
}

/// Defaults as `config/local.yaml` shows them.
fn defaults() -> Settings {
    Settings {
        target_ratio: 0.99,
        min_replicas: 2,
        max_replicas: 12,
        headroom: 0.9,
        floor_ttl_s: 30.0,
        lower_after_s: 20.0,
        max_step_up: 4,
        replica_start_s: 5.0,
        horizons_s: vec![5.0, 10.0, 20.0, 40.0],
        train_every_s: 20.0,
        seed: 0,
        stale_after_s: 5.0,
        copy_rate_rps: (1.0, 400.0),
        max_fraction: 4.0,
        ..Settings::default()
    }
}

fn workload(mut f: Fields<'_, '_>) -> Workload {
    let name = f.required_text("name", "the workload's name").value;
    let modes = [("observe", Mode::Observe), ("recommend", Mode::Recommend), ("act", Mode::Act)];
    let mode = f.choice("mode", &modes, Mode::Observe);
    let mut s = defaults();
    if f.nested("objective", |f| objective(f, &mut s)).is_none() {
        f.missing("objective", "a mapping with `threshold_ms`");
    }
    f.nested("bounds", |f| bounds(f, &mut s));
    f.nested("actuation", |f| actuation(f, &mut s));
    f.nested("forecast", |f| forecast(f, &mut s));
    let shadow = f.nested("shadow", |f| shadow(f, &mut s)).unwrap_or_else(default_shadow);
    f.finish();
    Workload { name, mode, settings: s, shadow }
}

fn objective(mut f: Fields<'_, '_>, s: &mut Settings) {
    match f.number_opt("threshold_ms", 1.0..=3_600_000.0) {
        Some(t) => s.threshold_ms = t.value,
        None if f.node("threshold_ms").is_none() => f.missing("threshold_ms", "milliseconds above which an answer is bad"),
        None => {}
    }
    s.target_ratio = f.number("target_ratio", 0.5..=0.9999, s.target_ratio).value;
    f.finish();
}

fn bounds(mut f: Fields<'_, '_>, s: &mut Settings) {
    s.min_replicas = f.whole("min_replicas", 1..=10_000, s.min_replicas.into()).value as u32;
    let max = f.whole("max_replicas", 1..=10_000, s.max_replicas.into());
    s.max_replicas = max.value as u32;
    if s.max_replicas < s.min_replicas {
        let (path, at) = (f.path_of("max_replicas"), max.at);
        f.problems().add(at, path, format!("{} is below min_replicas ({})", s.max_replicas, s.min_replicas), "at least min_replicas");
    }
    f.finish();
}

fn actuation(mut f: Fields<'_, '_>, s: &mut Settings) {
    s.headroom = f.number("headroom", 0.1..=2.0, s.headroom).value;
    s.floor_ttl_s = f.number("floor_ttl_s", 1.0..=A_DAY_S, s.floor_ttl_s).value;
    s.lower_after_s = f.number("lower_after_s", 0.0..=A_DAY_S, s.lower_after_s).value;
    s.max_step_up = f.whole("max_step_up", 1..=1_000, s.max_step_up.into()).value as u32;
    f.finish();
}

fn forecast(mut f: Fields<'_, '_>, s: &mut Settings) {
    s.replica_start_s = f.number("replica_start_s", 0.1..=3_600.0, s.replica_start_s).value;
    if let Some(node) = f.node("horizons_s") {
        let path = f.path_of("horizons_s");
        match horizons(node) {
            Some(h) => s.horizons_s = h,
            None => f.problems().add(
                node.at,
                path,
                format!("is {}", node.kind()),
                "a list of 1 to 16 rising numbers of seconds, each above 0, at most 86400",
            ),
        }
    }
    s.train_every_s = f.number("train_every_s", 1.0..=A_DAY_S, s.train_every_s).value;
    s.seed = f.whole("seed", 0..=u64::MAX, s.seed).value;
    f.finish();
}

fn horizons(node: &Node) -> Option<Vec<f64>> {
    let Value::List(items) = &node.value else { return None };
    let numbers: Option<Vec<f64>> = items.iter().map(super::fields::number).collect();
    numbers.filter(|n| {
        (1..=16).contains(&n.len()) && n.iter().all(|x| *x > 0.0 && *x <= A_DAY_S) && n.windows(2).all(|pair| pair[0] < pair[1])
    })
}

fn default_shadow() -> Shadow {
    let root = RequestShape { method: "GET".into(), path: "/".into(), host: String::new() };
    Shadow { enabled: true, profiles: vec!["cpu-half".into()], methods: Methods::Safe, synthetic: true, requests: vec![root] }
}

fn shadow(mut f: Fields<'_, '_>, s: &mut Settings) -> Shadow {
    let mut shadow = default_shadow();
    shadow.enabled = f.flag("enabled", true);
    let at = f.place_of("profiles");
    if let Some(profiles) = f.list("profiles", profile) {
        if profiles.is_empty() && shadow.enabled {
            let path = f.path_of("profiles");
            f.problems().add(at, path, "names no profile", format!("at least one of {}", PROFILES.join(", ")));
        }
        shadow.profiles = profiles;
    }
    if let Some(methods) = f.nested("copies", |f| copies(f, s)) {
        shadow.methods = methods;
    }
    if let Some((enabled, requests)) = f.nested("synthetic", synthetic) {
        shadow.synthetic = enabled;
        shadow.requests = requests;
    }
    f.finish();
    shadow
}

fn profile(node: &Node, path: &str, problems: &mut Problems) -> Option<String> {
    let name = text(node, path, problems)?;
    if PROFILES.contains(&name.as_str()) {
        return Some(name);
    }
    let hint = super::fields::nearest(&name, PROFILES.into_iter()).map_or(String::new(), |n| format!(" (did you mean `{n}`?)"));
    problems.add(node.at, path, format!("unknown profile `{name}`{hint}"), format!("one of {}", PROFILES.join(", ")));
    Some(name)
}

fn copies(mut f: Fields<'_, '_>, s: &mut Settings) -> Methods {
    let methods = f.choice("methods", &[("safe", Methods::Safe), ("all", Methods::All)], Methods::Safe);
    let least = f.number("min_rps", 0.0..=1_000_000.0, s.copy_rate_rps.0);
    let most = f.number("max_rps", 0.1..=1_000_000.0, s.copy_rate_rps.1);
    if most.value < least.value {
        let path = f.path_of("max_rps");
        f.problems().add(most.at, path, format!("{} is below min_rps ({})", most.value, least.value), "at least min_rps");
    }
    s.copy_rate_rps = (least.value, most.value);
    s.max_fraction = f.number("max_fraction", 0.01..=100.0, s.max_fraction).value;
    f.finish();
    methods
}

fn synthetic(mut f: Fields<'_, '_>) -> (bool, Vec<RequestShape>) {
    let enabled = f.flag("enabled", true);
    let listed = f.list("requests", |node, path, problems| Some(request(Fields::open(node, path, problems))));
    let requests = listed.unwrap_or_else(|| default_shadow().requests);
    if requests.is_empty() && enabled {
        let (path, at) = (f.path_of("requests"), f.place_of("requests"));
        f.problems().add(at, path, "names no request", "at least one, e.g. `{ method: GET, path: / }`, or `enabled: false`");
    }
    f.finish();
    (enabled, requests)
}

fn request(mut f: Fields<'_, '_>) -> RequestShape {
    let method = f.choice("method", &[("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")], "GET");
    let path = f.required_text("path", "a path that begins with `/`");
    if !path.value.is_empty() && path.value.parse::<http::uri::PathAndQuery>().is_err() | !path.value.starts_with('/') {
        let field = f.path_of("path");
        f.problems().add(path.at, field, format!("is `{}`", path.value), "a path that begins with `/`, escaped as in a URL");
    }
    let host = f.text("host").map(|t| t.value).unwrap_or_default();
    f.finish();
    RequestShape { method: method.into(), path: path.value, host }
}

impl Default for Collect {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), timeout: Duration::from_millis(500) }
    }
}

fn collect(mut f: Fields<'_, '_>) -> (Collect, f64) {
    let interval = f.whole("interval_ms", 100..=60_000, 1_000);
    let timeout = f.whole("timeout_ms", 10..=60_000, (interval.value / 2).min(500));
    if timeout.value >= interval.value {
        let path = f.path_of("timeout_ms");
        let what = format!("{} is not below interval_ms ({})", timeout.value, interval.value);
        f.problems().add(timeout.at, path, what, "less than interval_ms, so that a slow proxy cannot hold up the next look");
    }
    let stale = f.number("stale_after_s", 1.0..=3_600.0, 5.0);
    if stale.value * 1_000.0 < 2.0 * interval.value as f64 {
        let path = f.path_of("stale_after_s");
        f.problems().add(stale.at, path, format!("{} is less than two intervals", stale.value), "at least twice interval_ms");
    }
    f.finish();
    (Collect { interval: Duration::from_millis(interval.value), timeout: Duration::from_millis(timeout.value) }, stale.value)
}

impl Default for History {
    fn default() -> Self {
        Self { path: ".foreshadow/history.redb".into(), keep: Duration::from_secs(168 * 3_600), max_mib: 512 }
    }
}

fn history(mut f: Fields<'_, '_>) -> History {
    let standard = History::default();
    let path = match f.text("path") {
        Some(Placed { value, at }) if value.trim().is_empty() || value.ends_with('/') => {
            let field = f.path_of("path");
            f.problems().add(at, field, format!("`{value}` is not a file name"), "the path of the history database");
            standard.path.clone()
        }
        Some(t) => t.value.into(),
        None => standard.path.clone(),
    };
    let hours = f.number("keep_hours", 0.1..=87_600.0, 168.0).value;
    let max_mib = f.whole("max_mib", 8..=1_048_576, standard.max_mib).value;
    f.finish();
    History { path, keep: Duration::from_secs_f64(hours * 3_600.0), max_mib }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 18080))
}

fn listen(mut f: Fields<'_, '_>) -> SocketAddr {
    let listen = match f.text("listen") {
        None => default_listen(),
        Some(t) => t.value.parse().unwrap_or_else(|_| {
            let path = f.path_of("listen");
            f.problems().add(t.at, path, format!("`{}` is not an address", t.value), "`ADDRESS:PORT`, e.g. `127.0.0.1:18080`");
            default_listen()
        }),
    };
    f.finish();
    listen
}

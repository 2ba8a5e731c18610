//! The `discovery` part of the file: `local` or `static`, exactly one.
//!
//! Called by `config::read`. Checks that the mode can be honoured there: nothing scales static instances, so `act` is refused.

use super::fields::{Fields, Problems};
use super::model::*;
use super::yaml::{Node, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads it.
pub fn read(mut f: Fields<'_, '_>, workload: &Workload) -> Discovery {
    let local = f.nested("local", |f| local(f, workload));
    let fixed = f.nested("static", fixed);
    let (path, at) = (f.path_of("static"), f.place_of("static"));
    let expected = "exactly one of `local` and `static`";
    let found = match (local, fixed) {
        (Some(_), Some(fixed)) => {
            f.problems().add(at, path, "given beside `local`", expected);
            Discovery::Static(fixed)
        }
        (Some(local), None) => Discovery::Local(Box::new(local)),
        (None, Some(fixed)) => {
            if workload.mode == Mode::Act {
                let what = "nothing can scale static instances, so `workload.mode: act` cannot be honoured";
                f.problems().add(at, path, what, "`workload.mode: observe` or `recommend`, or `discovery.local`");
            }
            Discovery::Static(fixed)
        }
        (None, None) => {
            let at = f.at();
            f.problems().add(at, "discovery", "names no source of instances", expected);
            Discovery::Static(Static::default())
        }
    };
    f.finish();
    found
}

fn local(mut f: Fields<'_, '_>, workload: &Workload) -> Local {
    let state_dir = f.text("state_dir").map_or_else(|| ".foreshadow".into(), |t| t.value.into());
    let front_port = f.whole("front_port", 0..=65_535, 18_000).value as u16;
    let proxy_command = proxy_command(&mut f);
    let external_scaler = f.choice("scaler", &[("none", false), ("external", true)], false);
    let bounds = (workload.settings.min_replicas, workload.settings.max_replicas);
    let default = 3.clamp(bounds.0, bounds.1.max(bounds.0));
    let replicas = f.whole("replicas", 1..=10_000, default.into());
    if bounds.0 <= bounds.1 && !(u64::from(bounds.0)..=bounds.1.into()).contains(&replicas.value) {
        let path = f.path_of("replicas");
        let what = format!("{} is outside workload.bounds ({} to {})", replicas.value, bounds.0, bounds.1);
        f.problems().add(replicas.at, path, what, "a number within workload.bounds");
    }
    let app = f.nested("app", app).unwrap_or_else(|| {
        f.missing("app", "a mapping with `command`");
        empty_app()
    });
    f.finish();
    Local { state_dir, front_port, proxy_command, external_scaler, replicas: replicas.value as u32, app }
}

fn proxy_command(f: &mut Fields<'_, '_>) -> Vec<String> {
    let at = f.place_of("proxy_command");
    let Some(command) = f.list("proxy_command", super::fields::text) else { return vec!["foreshadow-proxy".into()] };
    if command.first().is_none_or(|program| program.is_empty()) {
        let path = f.path_of("proxy_command");
        f.problems().add(at, path, "names no program", "a list: the program, then its arguments");
    }
    command
}

fn empty_app() -> App {
    App {
        command: String::new(),
        env: BTreeMap::new(),
        ready_path: None,
        ready_timeout: Duration::from_secs(60),
        drain: Duration::from_secs(2),
        cpu_cores: None,
        memory_mib: None,
    }
}

fn app(mut f: Fields<'_, '_>) -> App {
    let mut app = empty_app();
    let command = f.required_text("command", "a shell command that serves HTTP on `$PORT`");
    if !command.value.trim().is_empty() && !command.value.contains("PORT") {
        let path = f.path_of("command");
        f.problems().add(command.at, path, "does not use `$PORT`", "a command that listens on `$PORT`: every replica gets its own");
    }
    app.command = command.value;
    if let Some(node) = f.node("env") {
        let path = f.path_of("env");
        app.env = env(node, &path, f.problems());
    }
    if let Some(path) = f.text("ready_path") {
        if !path.value.starts_with('/') {
            let field = f.path_of("ready_path");
            f.problems().add(path.at, field, format!("is `{}`", path.value), "a path that begins with `/`");
        }
        app.ready_path = Some(path.value);
    }
    app.ready_timeout = Duration::from_secs_f64(f.number("ready_timeout_s", 0.1..=3_600.0, 60.0).value);
    app.drain = Duration::from_secs_f64(f.number("drain_s", 0.0..=3_600.0, 2.0).value);
    f.nested("resources", |mut f| {
        app.cpu_cores = f.number_opt("cpu_cores", 0.01..=1_024.0).map(|p| p.value);
        app.memory_mib = f.number_opt("memory_mib", 1.0..=16_777_216.0).map(|p| p.value as u64);
        f.finish();
    });
    f.finish();
    app
}

fn env(node: &Node, path: &str, problems: &mut Problems) -> BTreeMap<String, String> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter_map(|(key, value)| Some((key.name.clone(), super::fields::text(value, &format!("{path}.{}", key.name), problems)?)))
            .collect(),
        _ if node.is_null() => BTreeMap::new(),
        _ => {
            problems.add(node.at, path, format!("is {}", node.kind()), "a mapping of names to text");
            BTreeMap::new()
        }
    }
}

fn fixed(mut f: Fields<'_, '_>) -> Static {
    let at = f.place_of("production");
    let production = f.list("production", |node, path, problems| Some(instance(Fields::open(node, path, problems), true)));
    if production.as_ref().is_none_or(|list| list.is_empty()) {
        let path = f.path_of("production");
        f.problems().add(at, path, "names no instance", "a list of instances, each with `admin_url`");
    }
    let shadow = f.nested("shadow", |f| instance(f, false));
    let runtime_key = f.text("runtime_key").map(|t| t.value);
    f.finish();
    Static { production: production.unwrap_or_default(), shadow, runtime_key }
}

fn instance(mut f: Fields<'_, '_>, production: bool) -> StaticInstance {
    let mut found = StaticInstance::default();
    if production {
        found.admin_url = Some(url(&mut f, "admin_url"));
        if f.node("admin_url").is_none() {
            f.missing("admin_url", "`http://ADDRESS:PORT` of the sidecar's admin listener");
        }
    } else if f.node("app_url").is_some() {
        found.app_url = Some(url(&mut f, "app_url"));
    }
    found.pid = Some(f.whole("pid", 1..=u32::MAX.into(), 0).value as u32).filter(|pid| *pid != 0);
    found.cgroup = f.text("cgroup").map(|t| t.value);
    f.finish();
    found
}

fn url(f: &mut Fields<'_, '_>, field: &'static str) -> String {
    let Some(text) = f.text(field) else { return String::new() };
    let good = text.value.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.port().is_some());
    if !good {
        let path = f.path_of(field);
        f.problems().add(text.at, path, format!("is `{}`", text.value), "`http://ADDRESS:PORT`");
    }
    text.value.trim_end_matches('/').to_owned()
}

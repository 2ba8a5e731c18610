//! `status` and `explain`: what a running agent's `/api/v1/state` says, as a table and as sentences.

use crate::cli::{self, Ask};
use crate::config;
use crate::http::{Http, HttpError};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::Value;
use std::time::Duration;

/// Largest answer.
const LIMIT: usize = 16 << 20;
/// Longest wait.
const DEADLINE: Duration = Duration::from_secs(5);

/// `status`: a table; returns the exit code.
pub fn status(args: &Ask) -> u8 {
    answer(args, |state| table(state).to_string() + "\n")
}

/// `explain`: sentences; returns the exit code.
pub fn explain(args: &Ask) -> u8 {
    answer(args, sentences)
}

fn answer(args: &Ask, tell: impl FnOnce(&Value) -> String) -> u8 {
    let url = match address(args) {
        Ok(url) => url,
        Err(code) => return code,
    };
    match fetch(&url) {
        Ok(state) if args.json => println!("{}", serde_json::to_string_pretty(&state).unwrap_or_default()),
        Ok(state) => print!("{}", tell(&state)),
        Err(e) => {
            eprintln!("foreshadow-agent: no agent answers at {url}: {e}");
            return cli::UNAVAILABLE;
        }
    }
    cli::OK
}

fn address(args: &Ask) -> Result<String, u8> {
    let Some(path) = &args.config else { return Ok(args.url.trim_end_matches('/').to_owned()) };
    match config::load(path) {
        Ok(config) => Ok(format!("http://{}", config.listen)),
        Err(e) => {
            eprintln!("foreshadow-agent: {e}");
            Err(cli::CONFIG)
        }
    }
}

fn fetch(url: &str) -> Result<Value, HttpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| HttpError::Transport(e.to_string()))?;
    runtime.block_on(Http::default().get_json(&format!("{url}/api/v1/state?minutes=0.2"), LIMIT, DEADLINE))
}

fn text(state: &Value, pointer: &str) -> String {
    match state.pointer(pointer) {
        None | Some(Value::Null) => "unknown".into(),
        Some(Value::String(s)) if s.is_empty() => "none".into(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Number(n)) if n.is_f64() => format!("{:.2}", n.as_f64().unwrap_or_default()),
        Some(other) => other.to_string(),
    }
}

fn band(state: &Value, pointer: &str) -> String {
    let part = |p: &str| text(state, &format!("{pointer}/{p}"));
    match state.pointer(pointer) {
        Some(Value::Object(_)) => format!("{} ({} to {})", part("p50"), part("p10"), part("p90")),
        _ => "unknown yet".into(),
    }
}

fn table(state: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let point = state["points"].as_array().and_then(|p| p.last()).cloned().unwrap_or_default();
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("workload", format!("{}, mode {}", text(state, "/workload_name"), text(state, "/mode")));
    row("load", format!("{} requests/s, {} bad", text(&point, "/production/rps"), percent(&point, "/production/bad_ratio")));
    row("latency", format!("p50 {} ms, p99 {} ms", text(&point, "/production/p50_ms"), text(&point, "/production/p99_ms")));
    row("capacity of one replica", format!("{} requests/s", band(state, "/decision/capacity_rps")));
    row("margin", text(state, "/decision/margin"));
    let replicas =
        format!("{} ready, {} starting, {} asked for", text(&point, "/ready"), text(&point, "/starting"), text(&point, "/desired"));
    row("replicas", replicas);
    row("floor", format!("{} in force, {} planned", text(&point, "/floor"), text(state, "/decision/plan/floor")));
    row("shadow", shadow(state, &point));
    let account = &state["account"];
    let copies =
        format!("{} of {} completed, {} under way", text(account, "/completed"), text(account, "/eligible"), text(account, "/in_flight"));
    row("copies", format!("{copies}, account {}", if state["account_closes"] == true { "closes" } else { "DOES NOT CLOSE" }));
    for alarm in state.pointer("/decision/alarms").and_then(Value::as_array).into_iter().flatten() {
        row("alarm", format!("{}: {}", text(alarm, "/kind"), text(alarm, "/text")));
    }
    for note in state.pointer("/workload/notes").and_then(Value::as_array).into_iter().flatten() {
        row("note", note.as_str().unwrap_or_default().to_owned());
    }
    for problem in state["problems"].as_array().into_iter().flatten() {
        row("problem", problem.as_str().unwrap_or_default().to_owned());
    }
    table
}

fn percent(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_f64).map_or_else(|| "unknown".into(), |r| format!("{:.2} %", r * 100.0))
}

fn shadow(state: &Value, point: &Value) -> String {
    match state.pointer("/workload/shadow") {
        Some(Value::Object(_)) => format!(
            "{} ({}), {} requests/s, {} bad",
            text(state, "/workload/shadow/profile"),
            text(state, "/workload/shadow/state"),
            text(point, "/shadow/rps"),
            percent(point, "/shadow/bad_ratio")
        ),
        _ => "none".into(),
    }
}

fn sentences(state: &Value) -> String {
    let floor = match state.pointer("/decision/plan/floor").and_then(Value::as_u64) {
        Some(replicas) => format!("a floor of {replicas} replicas"),
        None => "no floor: everything is left to the reactive path".into(),
    };
    let mut told = format!("Planned: {floor}.\nWhy: {}\n", text(state, "/decision/plan/reason"));
    told += &format!("What would change it: {}\n", text(state, "/decision/plan/would_change"));
    told += &format!("Capacity of one replica: {} requests/s.\n", band(state, "/decision/capacity_rps"));
    if let Some(share) = state.pointer("/decision/cpu_at_capacity").and_then(Value::as_f64) {
        told += &format!(
            "At capacity a replica uses {:.0} % of the processor it requests: an autoscaler's target far below keeps replicas that are not needed.\n",
            100.0 * share
        );
    }
    for f in state.pointer("/decision/forecasts").and_then(Value::as_array).into_iter().flatten() {
        told += &format!(
            "In {} s: load {} requests/s, probability of a violation {}.\n",
            text(f, "/horizon_s"),
            band(f, "/load_rps"),
            percent(f, "/p_violation")
        );
    }
    told += &format!("Copies: {}\n", text(state, "/decision/copies/reason"));
    told += &format!("In charge: {}. The shadow: {}\n", text(state, "/decision/champion"), text(state, "/shadow_verdict"));
    for action in state["actions"].as_array().into_iter().flatten().take(10) {
        let said = if action["applied"] == true { "" } else { " (said only)" };
        told += &format!("Action{said}: {}: {}\n", text(action, "/action"), text(action, "/reason"));
    }
    told
}

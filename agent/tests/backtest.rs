//! `backtest` as people call it: a history in each textual form goes in; a table, JSON and a page come out.

use foreshadow_agent::config::model::Mode;
use foreshadow_agent::record::{Record, Session};
use foreshadow_agent::store::{Limits, Store};
use foreshadow_brain::latency::Latencies;
use foreshadow_brain::sample::{PathSample, Sample, ScaleState, ShadowSample};
use foreshadow_brain::{Brain, Settings};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn settings() -> Settings {
    Settings { threshold_ms: 150.0, max_replicas: 12, replica_start_s: 10.0, ..Settings::default() }
}

/// Counts of an instance that takes `capacity`: the bad share rises steeply beyond it.
fn path(rps: f64, capacity: f64, replicas: f64, tick: u32) -> PathSample {
    let share = 1.0 / (1.0 + (4.595 - 14.0 * (rps / capacity).ln()).exp());
    // Whole bad requests at the right rate, without drawing numbers.
    let due = |t: u32| (f64::from(t) * rps * replicas * share).floor() as u64;
    let (requests, bad) = ((rps * replicas).round() as u64, due(tick + 1) - due(tick));
    let mut latency = Latencies::default();
    latency.add(60_000, (requests - bad.min(requests)) as u32);
    latency.add(300_000, bad as u32);
    let cpu_cores = Some(rps * replicas * 0.005);
    PathSample { requests, arrivals: requests, bad: bad.min(requests), latency, cpu_cores, ..Default::default() }
}

/// Forty minutes of 300 requests a second at four replicas; a replica takes 100, and 55 from minute 25 to 32.
fn samples() -> Vec<Sample> {
    let mut brain = Brain::new(settings());
    let mut copies = 5.0;
    (1..2_400u32)
        .map(|t| {
            let capacity = if (1_500..1_920).contains(&t) { 55.0 } else { 100.0 };
            let shadow = ShadowSample {
                path: path(copies, 0.47 * capacity, 1.0, t),
                profile: "cpu-half".into(),
                size: 0.5,
                ready: true,
                ..Default::default()
            };
            let scale =
                ScaleState { desired: 4, ready: 4, reactive: Some(4), replica_cores: Some(0.6), release: "a".into(), ..Default::default() };
            let production = Some(path(75.0, capacity, 4.0, t));
            let sample =
                Sample { at_ms: 1_700_000_000_000 + 1_000 * u64::from(t), interval_ms: 1_000, production, shadow: Some(shadow), scale };
            copies = brain.tick(&sample).copies.rate_rps.max(1.0);
            sample
        })
        .collect()
}

fn session() -> Session {
    Session {
        id: 1,
        started_ms: 1_700_000_000_000,
        workload: "shop".into(),
        mode: Mode::Observe,
        settings: settings(),
        warm_from_seq: 0,
        first_seq: 0,
        version: "test".into(),
    }
}

/// The database that a running agent would have written.
fn database(file: &Path) {
    let mut store = Store::open(file, Limits { keep: Duration::from_secs(86_400), max_bytes: 1 << 30 }).expect("opened");
    store.begin_session(session(), None).expect("begun");
    let mut brain = Brain::new(settings());
    for sample in samples() {
        store.append(&sample, &brain.tick(&sample), &[]).expect("appended");
    }
}

fn export(file: &Path) {
    let session = session();
    let line = |record: &Record| serde_json::to_string(record).expect("JSON") + "\n";
    let mut text = line(&Record::Session { session });
    for (seq, sample) in samples().into_iter().enumerate() {
        text += &line(&Record::Sample { seq: seq as u64, sample });
    }
    std::fs::write(file, text).expect("written");
}

fn prometheus(file: &Path) {
    let (mut requests, mut bad, mut replicas) = ((0, String::new()), (0, String::new()), String::new());
    for sample in samples() {
        let (t, production) = (sample.at_ms / 1_000, sample.production.expect("always read"));
        requests.0 += production.requests;
        bad.0 += production.bad;
        let comma = if replicas.is_empty() { "" } else { "," };
        write!(requests.1, "{comma}[{t},\"{}\"]", requests.0).expect("text");
        write!(bad.1, "{comma}[{t},\"{}\"]", bad.0).expect("text");
        write!(replicas, "{comma}[{t},\"4\"]").expect("text");
    }
    let series = |name: &str, label: &str, values: &str| {
        format!(r#"{{"metric":{{"__name__":"foreshadow_agent_{name}",{label}}},"values":[{values}]}}"#)
    };
    let all = [
        series("requests_total", r#""path":"production""#, &requests.1),
        series("bad_requests_total", r#""path":"production""#, &bad.1),
        series("replicas", r#""state":"ready""#, &replicas),
    ];
    let text = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, all.join(","));
    std::fs::write(file, text).expect("written");
}

fn backtest(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshadow-agent")).arg("backtest").args(args).output().expect("runs")
}

#[test]
fn an_export_gives_a_table_json_and_a_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (history, json, html) = (file("shop.jsonl"), file("x.json"), file("x.html"));
    export(Path::new(&history));
    let out = backtest(&["--history", &history, "--json", &json, "--html", &html]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("foreshadow") && said.contains("the curve gives"), "{said}");
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    let of = |policy: &str, setting: f64| {
        let runs = document["runs"].as_array().expect("runs");
        runs.iter().find(|r| r["policy"] == policy && r["setting"] == setting).unwrap_or_else(|| panic!("no {policy} {setting}")).clone()
    };
    let (recorded, hpa, ours) = (of("recorded", 0.0), of("hpa", 0.7), of("foreshadow", 0.9));
    for field in ["requests", "bad", "unavoidable_bad", "mean_replicas", "violations", "false_alarms_per_day", "actions", "seed"] {
        assert!(ours[field].is_number(), "{field}: {ours}");
    }
    let bad = |run: &serde_json::Value| run["bad"].as_f64().expect("number");
    assert!(ours["leads_s"].is_array() && ours["load"] == "shop");
    assert!(bad(&ours) < 0.5 * bad(&recorded) && bad(&ours) < 0.5 * bad(&hpa), "recorded {recorded}\nhpa {hpa}\nours {ours}");
    let ratio = document["model_over_recorded"].as_f64().expect("something was bad");
    assert!((0.4..2.5).contains(&ratio), "the curve must give about what was recorded for what ran: {ratio}");
    assert!(std::fs::read_to_string(html).expect("written").matches("<svg").count() == 2);
}

#[test]
fn the_agents_database_gives_what_its_export_gives() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (redb, text) = (file("shop.redb"), file("shop.jsonl"));
    database(Path::new(&redb));
    export(Path::new(&text));
    let runs = |history: &str, json: &str| {
        let out = backtest(&["--history", history, "--json", json]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = std::fs::read_to_string(json).expect("written");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["runs"].clone()
    };
    let (of_database, of_export) = (runs(&redb, &file("a.json")), runs(&text, &file("b.json")));
    assert!(of_database.as_array().is_some_and(|r| r.len() > 5), "{of_database}");
    assert_eq!(of_database, of_export);
}

#[test]
fn prometheus_will_do_and_what_it_lacks_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let history = dir.path().join("prometheus.json");
    prometheus(&history);
    let out = backtest(&["--history", &history.to_string_lossy()]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("no processor use") && said.contains("no settings") && said.contains("against recorded"), "{said}");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "hello\n").expect("written");
    for (history, code, word) in [(file.to_string_lossy().into_owned(), 65, "notes.txt"), ("nowhere.redb".into(), 69, "nowhere.redb")] {
        let out = backtest(&["--history", &history]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(code) && said.contains(word), "{:?} {said}", out.status.code());
    }
}

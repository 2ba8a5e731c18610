//! The configuration file: the shipped one loads, its comments tell the truth about defaults, and broken ones are refused with place,
//! field, what is wrong and what would be right. Each case breaks the shipped file at one spot.

#![allow(clippy::unwrap_used)]

use foreshadow_agent::config::model::{Discovery, Mode};
use foreshadow_agent::config::{self, Config};

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/local.yaml")).unwrap()
}

#[test]
fn the_shipped_file_loads() {
    let config = config::parse(&shipped(), "local.yaml").unwrap();
    assert_eq!((config.workload.name.as_str(), config.workload.mode), ("sample", Mode::Act));
    let Discovery::Local(local) = config.discovery else { panic!("the shipped file is for the local orchestrator") };
    assert_eq!((local.replicas, local.app.cpu_cores, local.app.memory_mib), (3, Some(0.4), Some(128)));
}

#[test]
fn what_the_shipped_file_shows_is_the_default() {
    let minimal = "
workload: { name: sample, mode: act, objective: { threshold_ms: 150 }, shadow: { synthetic: { requests: [{ path: /work }] } } }
discovery: { local: { app: { command: foreshadow-app --port $PORT, ready_path: /healthz, resources: { cpu_cores: 0.4, memory_mib: 128 } } } }
";
    let debug = |c: Config| format!("{c:#?}");
    assert_eq!(debug(config::parse(minimal, "m").unwrap()), debug(config::parse(&shipped(), "s").unwrap()));
}

/// What to replace in the shipped file, by what, and all that is said about it.
const BROKEN: [(&str, &str, &str); 24] = [
    (
        "name: sample",
        "nam: sample",
        "6:3: workload.name: missing; expected the workload's name\n6:3: workload.nam: unknown field; expected `name`",
    ),
    ("name: sample", "name: ''", "6:9: workload.name: is empty; expected the workload's name"),
    (
        "mode: act",
        "mode: atc",
        "7:9: workload.mode: unknown value `atc` (did you mean `act`?); expected one of `observe`, `recommend`, `act`",
    ),
    (
        "threshold_ms: 150",
        "treshold_ms: 150",
        "9:5: workload.objective.threshold_ms: missing; expected milliseconds above which an answer is bad\n9:5: workload.objective.treshold_ms: unknown field; expected `threshold_ms`",
    ),
    ("threshold_ms: 150", "threshold_ms: fast", "9:19: workload.objective.threshold_ms: is `fast`; expected a number from 1 to 3600000"),
    (
        "target_ratio: 0.99",
        "target_ratio: 99",
        "10:19: workload.objective.target_ratio: `99` is out of range; expected a number from 0.5 to 0.9999",
    ),
    (
        "min_replicas: 2",
        "min_replicas: 20",
        "13:19: workload.bounds.max_replicas: 12 is below min_replicas (20); expected at least min_replicas",
    ),
    ("max_replicas: 12", "max_replicas: -1", "13:19: workload.bounds.max_replicas: is `-1`; expected a whole number from 1 to 10000"),
    (
        "horizons_s: [5, 10, 20, 40]",
        "horizons_s: [5, 40, 20]",
        "21:17: workload.forecast.horizons_s: is a list; expected a list of 1 to 16 rising numbers of seconds, each above 0, at most 86400",
    ),
    (
        "profiles: [cpu-half]",
        "profiles: [cpu-haf]",
        "26:16: workload.shadow.profiles[0]: unknown profile `cpu-haf` (did you mean `cpu-half`?); expected one of same, cpu-half, cpu-quarter, memory-half",
    ),
    (
        "profiles: [cpu-half]",
        "profiles: []",
        "26:5: workload.shadow.profiles: names no profile; expected at least one of same, cpu-half, cpu-quarter, memory-half",
    ),
    ("min_rps: 1\n", "min_rps: 500\n", "30:16: workload.shadow.copies.max_rps: 400 is below min_rps (500); expected at least min_rps"),
    (
        "{ method: GET, path: /work }",
        "{ method: POST, path: work }",
        "35:21: workload.shadow.synthetic.requests[0].method: unknown value `POST`; expected one of `GET`, `HEAD`, `OPTIONS`\n35:33: workload.shadow.synthetic.requests[0].path: is `work`; expected a path that begins with `/`, escaped as in a URL",
    ),
    (
        "timeout_ms: 500",
        "timeout_ms: 2000",
        "39:15: collect.timeout_ms: 2000 is not below interval_ms (1000); expected less than interval_ms, so that a slow proxy cannot hold up the next look",
    ),
    (
        "stale_after_s: 5",
        "stale_after_s: 1",
        "40:18: collect.stale_after_s: 1 is less than two intervals; expected at least twice interval_ms",
    ),
    (
        "  local: #",
        "  lokal: #",
        "43:3: discovery: names no source of instances; expected exactly one of `local` and `static`\n43:3: discovery.lokal: unknown field; expected `local`",
    ),
    ("front_port: 18000", "front_port: 99999", "45:17: discovery.local.front_port: is `99999`; expected a whole number from 0 to 65535"),
    ("scaler: none", "scaler: hpa", "47:13: discovery.local.scaler: unknown value `hpa`; expected one of `none`, `external`"),
    (
        "command: foreshadow-app --port $PORT",
        "command: foreshadow-app",
        "50:16: discovery.local.app.command: does not use `$PORT`; expected a command that listens on `$PORT`: every replica gets its own",
    ),
    ("env: {}", "env: [A=1]", "51:12: discovery.local.app.env: is a list; expected a mapping of names to text"),
    (
        "cpu_cores: 0.4",
        "cpu_cores: 0.4\n        cpu_cores: 0.5",
        "57:9: cpu_cores: given twice, first on line 56; expected each field once",
    ),
    ("max_mib: 512", "max_mib: 1", "62:12: history.max_mib: is `1`; expected a whole number from 8 to 1048576"),
    (
        "listen: 127.0.0.1:18080",
        "listen: localhost",
        "65:11: server.listen: `localhost` is not an address; expected `ADDRESS:PORT`, e.g. `127.0.0.1:18080`",
    ),
    ("workload:\n", "workload: [\n", "6:7: not valid YAML"),
];

#[test]
fn broken_files_are_refused_with_place_field_and_remedy() {
    let shipped = shipped();
    let mut wrong = Vec::new();
    for (what, by, expected) in BROKEN {
        assert!(shipped.contains(what), "the shipped file no longer has `{what}`");
        let error = config::parse(&shipped.replacen(what, by, 1), "f.yaml").expect_err(by).to_string();
        let expected: Vec<String> = expected.lines().map(|line| format!("f.yaml:{line}")).collect();
        if expected[0].ends_with("not valid YAML") {
            assert!(error.starts_with("f.yaml:") && error.contains("not valid YAML: "), "{error}");
        } else if error != expected.join("\n") {
            wrong.push(format!("after `{what}` became `{by}`:\n{error}\ninstead of\n{}", expected.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    for (text, expected) in [
        ("", "f:1:1: the file is empty; expected a configuration; config/local.yaml shows one"),
        ("- a", "f:1:1: is a list; expected a mapping of fields"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second YAML document; expected exactly one document in the file"),
    ] {
        let error = config::parse(text, "f").unwrap_err().to_string();
        assert!(error.lines().any(|line| line == expected), "{error}");
    }
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    (1..20).for_each(|i| bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    let error = config::parse(&bomb, "f").unwrap_err().to_string();
    assert!(error.contains("the document is too large"), "{error}");
}

#[test]
fn act_is_refused_where_nothing_can_be_scaled() {
    let text = |mode: &str| {
        format!(
            "workload: {{ name: w, mode: {mode}, objective: {{ threshold_ms: 100 }} }}\ndiscovery:\n  static:\n    production:\n    - admin_url: http://127.0.0.1:9901\n      pid: 17\n    shadow: {{ app_url: 'http://127.0.0.1:8081' }}\n    runtime_key: mirror.w\n"
        )
    };
    let Discovery::Static(list) = config::parse(&text("recommend"), "f").unwrap().discovery else { panic!("static was asked for") };
    assert_eq!((list.production.len(), list.production[0].pid, list.runtime_key.as_deref()), (1, Some(17), Some("mirror.w")));
    let error = config::parse(&text("act"), "f").unwrap_err().to_string();
    assert!(error.starts_with("f:3:3: discovery.static: nothing can scale static instances"), "{error}");
}

#[test]
fn a_missing_file_is_a_configuration_error() {
    let error = config::load(std::path::Path::new("/no/such/file.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/file.yaml:1:1: cannot be read: "), "{error}");
}

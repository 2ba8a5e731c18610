//! Injection, held to files: tests/golden/inject/NAME.yaml goes in, NAME.golden.yaml comes out. `UPDATE_GOLDEN=1 cargo test -p
//! foreshadow-agent --test inject` writes what comes out now; the difference is then read in review.
//!
//! The sidecars' configurations stand once each in tests/golden/inject/proxy; tests/suite has the proxy and Envoy check them.

use clap::Parser;
use foreshadow_agent::cli::cluster::Inject;
use foreshadow_agent::kubernetes::inject::command::settings;
use foreshadow_agent::kubernetes::inject::documents::{Report, inject_all, remove_all};
use foreshadow_agent::kubernetes::inject::{Native, Outcome, Settings};
use foreshadow_agent::kubernetes::server::Version;
use foreshadow_agent::kubernetes::yaml;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    inject: Inject,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/inject")
}

/// Every case: its name, its text, the settings its first line gives.
fn cases() -> Vec<(String, String, Settings)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder()).expect("the golden files are there").flatten() {
        let name = file.file_name().into_string().expect("a name in ASCII");
        let Some(name) = name.strip_suffix(".yaml").filter(|n| !n.ends_with(".golden")) else { continue };
        let text = std::fs::read_to_string(file.path()).expect("a readable file");
        let arguments = text.lines().next().and_then(|l| l.strip_prefix("# arguments: ")).unwrap_or("");
        let line =
            Line::try_parse_from(["inject", "-f", "-"].into_iter().chain(arguments.split_whitespace())).expect("arguments that parse");
        let native = line.inject.kubernetes_version.map_or(Native::Always, Version::native_sidecars);
        found.push((name.to_owned(), text, settings(&line.inject.settings, native)));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn report(report: &Report) -> String {
    let object = &report.object;
    match &report.outcome {
        Outcome::Injected(warnings) => {
            let warnings: String = warnings.iter().map(|w| format!("# {object}: warning: {w}\n")).collect();
            format!("# {object}: injected\n{warnings}")
        }
        Outcome::Already => format!("# {object}: already\n"),
        Outcome::Skipped(why) => format!("# {object}: skipped: {why}\n"),
    }
}

/// Takes the configuration out of a sidecar's arguments: it is held to a file of its own.
fn take_configs(value: &mut Value, configs: &mut BTreeMap<String, String>) {
    match value {
        Value::Array(items) => {
            if let Some(at) = items.iter().position(|i| i == "--config-yaml") {
                let text = items[at + 1].as_str().expect("a text").to_owned();
                let name = config_name(&text);
                items[at + 1] = Value::from(format!("<proxy/{name}.yaml>"));
                let before = configs.insert(name.clone(), text.clone());
                assert!(before.as_ref().is_none_or(|b| *b == text), "two configurations are called {name}:\n{before:?}\n{text}");
            }
            items.iter_mut().for_each(|i| take_configs(i, configs));
        }
        Value::Object(fields) => fields.values_mut().for_each(|v| take_configs(v, configs)),
        _ => {}
    }
}

/// What tells a configuration from others.
fn config_name(text: &str) -> String {
    let root: Value = yaml::read(text).expect("YAML").remove(0).value.expect("a configuration");
    let clusters = root.pointer("/static_resources/clusters").and_then(Value::as_array).expect("clusters");
    let mut parts = vec![if text.contains("ORIGINAL_DST") { "redirect".to_owned() } else { "named-port".to_owned() }];
    for cluster in clusters.iter().filter(|c| c["name"].as_str().is_some_and(|n| n.starts_with("application"))) {
        let port = cluster.pointer("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value");
        let by_name = cluster["name"].as_str().and_then(|n| n.rsplit('-').next()?.parse::<u16>().ok());
        parts.extend(port.map(Value::to_string).or(by_name.map(|p| p.to_string())));
        if cluster.get("typed_extension_protocol_options").is_some() {
            parts.push("http2".into());
        }
    }
    let v6 = text.contains("'::'") || text.contains("\"::\"");
    parts.push(
        if text.contains("ipv4_compat") {
            "dual"
        } else if v6 {
            "ipv6"
        } else {
            "ipv4"
        }
        .into(),
    );
    if text.contains("methods: all") {
        parts.push("all".into());
    }
    parts.join("-")
}

fn held_to(path: &Path, now: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, now).expect("a file that can be written");
        return;
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    if golden != now {
        let line =
            golden.lines().zip(now.lines()).position(|(a, b)| a != b).map_or_else(|| "length".to_owned(), |n| format!("line {}", n + 1));
        wrong.push(format!("{} ({line})", path.display()));
    }
}

#[test]
fn every_pod_comes_out_as_its_golden_file_says() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let (mut wrong, mut configs) = (Vec::new(), BTreeMap::new());
    for (name, text, settings) in &cases {
        let (out, reports) = inject_all(text, settings).unwrap_or_else(|e| panic!("{name}: {e}"));
        let said: String = reports.iter().map(report).collect();
        let mut shown = Vec::new();
        for document in yaml::read(&out).unwrap_or_else(|e| panic!("{name}: what was written cannot be read: {e}")) {
            let changed = document.text.contains("--config-yaml");
            shown.push(match document.value {
                Some(mut value) if changed => {
                    take_configs(&mut value, &mut configs);
                    yaml::write(&value)
                }
                _ => document.text,
            });
        }
        held_to(&folder().join(format!("{name}.golden.yaml")), &(said + &shown.join("---\n")), &mut wrong);
    }
    assert!(configs.len() >= 8, "{:?}", configs.keys());
    for (name, text) in &configs {
        held_to(&folder().join(format!("proxy/{name}.yaml")), text, &mut wrong);
    }
    assert!(wrong.is_empty(), "these are not as their files say; UPDATE_GOLDEN=1 writes them anew: {wrong:#?}");
}

#[test]
fn injecting_twice_is_injecting_once() {
    for (name, text, settings) in cases() {
        let (once, _) = inject_all(&text, &settings).unwrap();
        let (twice, reports) = inject_all(&once, &settings).unwrap();
        assert_eq!(once, twice, "{name}");
        assert!(reports.iter().all(|r| !matches!(r.outcome, Outcome::Injected(_))), "{name}: {reports:?}");
    }
}

#[test]
fn what_was_put_in_comes_out_again() {
    let mut seen = 0;
    for (name, text, settings) in cases() {
        let (injected, reports) = inject_all(&text, &settings).unwrap();
        let (plain, removed) = remove_all(&injected).unwrap();
        let had: Vec<&str> = removed.iter().filter(|r| r.1).map(|r| r.0.as_str()).collect();
        let got: Vec<&str> = reports.iter().filter(|r| matches!(r.outcome, Outcome::Injected(_))).map(|r| r.object.as_str()).collect();
        assert_eq!(had, got, "{name}");
        for word in ["foreshadow-proxy", "foreshadow-init", "foreshadow-shadow", "foreshadow.dev/injected", "foreshadow.dev/sidecar"] {
            assert!(!plain.contains(word), "{name}: {word} is left in\n{plain}");
        }
        let (again, _) = inject_all(&plain, &settings).unwrap();
        assert_eq!(again, injected, "{name}: what comes out is injected as what went in");
        assert_eq!(remove_all(&plain).unwrap().0, plain, "{name}: nothing is taken out twice");
        seen += had.len();
    }
    assert!(seen >= 40, "{seen}");
}

#[test]
fn what_is_not_injected_stays_to_the_letter() {
    let mut seen = 0;
    for (name, text, settings) in cases().into_iter().filter(|c| c.0.starts_with("skip-")) {
        let (out, reports) = inject_all(&text, &settings).unwrap();
        assert_eq!(out, text, "{name}");
        assert!(reports.iter().all(|r| matches!(r.outcome, Outcome::Skipped(_))), "{name}: {reports:?}");
        seen += 1;
    }
    assert!(seen >= 10);
}

#[test]
fn port_names_lead_to_one_container_and_probes_to_the_application() {
    for (name, text, settings) in cases() {
        let (out, _) = inject_all(&text, &settings).unwrap();
        for document in yaml::read(&out).unwrap() {
            let Some(pod) = document.value.as_ref().and_then(|v| v.pointer("/spec/template/spec")) else { continue };
            let containers = ["containers", "initContainers"].into_iter().flat_map(|l| pod[l].as_array().cloned().unwrap_or_default());
            let mut names = Vec::new();
            for container in containers {
                let ours = container["name"].as_str().is_some_and(|n| n.starts_with("foreshadow-"));
                for port in container["ports"].as_array().into_iter().flatten() {
                    names.extend(port["name"].as_str().map(str::to_owned));
                }
                for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                    let port = ["httpGet", "tcpSocket", "grpc"].iter().find_map(|k| container[probe].get(*k)?.get("port").cloned());
                    let Some(port) = port.and_then(|p| p.as_u64()) else { continue };
                    let inbound = (17_000..17_020).contains(&port);
                    assert!(!inbound, "{name}: {probe} asks the sidecar's port {port}");
                    assert!(ours == (port == 17_020), "{name}: {probe} of {} asks {port}", container["name"]);
                }
            }
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{name}: a port's name is there twice");
        }
    }
}

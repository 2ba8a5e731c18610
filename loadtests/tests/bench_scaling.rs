//! `bench-scaling` as a program: what it refuses, what it writes.

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-scaling")).args(args).output().expect("it starts")
}

#[test]
fn what_it_cannot_do_is_said_with_the_right_code() {
    let dir = tempfile::tempdir().expect("a directory");
    let load = dir.path().join("load.csv");
    std::fs::write(&load, "ts,value\n0,1\n60,many\n").expect("written");
    let load = load.to_str().expect("text");
    for (args, code, word) in [
        (&["--load", load][..], 65, "load.csv:3:"),
        (&["--load", "nowhere.csv"], 66, "nowhere.csv"),
        (&["--scenario", "storm"], 64, "hidden-loss"),
        (&["--seeds", "0"], 64, "no seed"),
        (&["--json", "/nowhere/x.json"], 73, "no such directory"),
    ] {
        let out = bench(args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[test]
fn the_documents_have_what_others_rely_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (json, html) = (dir.path().join("x.json"), dir.path().join("x.html"));
    let text = |p: &std::path::Path| p.to_str().expect("text").to_string();
    let out = bench(&[
        "--scenario",
        "demo",
        "--policies",
        "hpa,foreshadow",
        "--seeds",
        "3..4",
        "--headroom",
        "0.9",
        "--json",
        &text(&json),
        "--html",
        &text(&html),
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    let runs = document["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2 * 11, "ten targets of the autoscaler and one headroom, two seeds");
    for field in ["load", "scenario", "policy"] {
        assert!(runs.iter().all(|r| r[field].is_string()), "{field}");
    }
    for field in ["setting", "seed", "requests", "bad", "unavoidable_bad", "mean_replicas", "violations", "false_alarms_per_day", "actions"]
    {
        assert!(runs.iter().all(|r| r[field].is_number()), "{field}");
    }
    assert!(runs.iter().all(|r| r["leads_s"].is_array() && r["scenario"] == "demo"));
    let page = std::fs::read_to_string(html).expect("written");
    assert!(page.contains("<svg") && !page.contains("http://") || page.contains("www.w3.org"));
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("foreshadow against hpa"), "{said}");
}

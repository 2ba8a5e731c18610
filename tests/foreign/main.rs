//! The demo on a server that is not ours: httpbin under waitress, both from PyPI, whose limit is a pool of threads that processor use does not show.
//!
//! `$WAITRESS_SERVE` names a waitress-serve whose Python has httpbin, or it is on PATH. Without it this test is left out, except on CI (`CI=true`).
//! A test program of its own, so that nothing else runs while it measures.

use foreshadow_tests::programs::program;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn waitress() -> Option<PathBuf> {
    let given = std::env::var_os("WAITRESS_SERVE").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("waitress-serve")).find(|file| file.is_file())
    };
    let found = given.or_else(on_path);
    if found.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI runs the demo on waitress and httpbin: install them or set WAITRESS_SERVE"
        );
        eprintln!("left out: no waitress-serve on PATH or at $WAITRESS_SERVE (pip install waitress httpbin)");
    }
    found
}

/// Runs the demo's Foreshadow arm on the server; its figures.
fn demo(server: &str) -> Value {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let (json, html) = (dir.path().join("demo.json"), dir.path().join("demo.html"));
    let out = Command::new(program("demo"))
        .args(["--app", server, "--path", "/delay/0.08", "--arm", "foreshadow", "--seconds", "60"])
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        // The programs are built already.
        .env_remove("CARGO")
        .stdin(Stdio::null())
        .output()
        .expect("the demo starts");
    let (said, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}\n{wrong}");
    assert!(std::fs::read_to_string(&html).is_ok_and(|page| page.contains("</html>")), "no page was written");
    eprintln!("{said}");
    serde_json::from_str(&std::fs::read_to_string(&json).expect("figures are written")).expect("figures are JSON")
}

/// What a run must show; the error is what it showed instead.
fn judge(figures: &Value) -> Result<(), String> {
    let arm = &figures["arms"][0];
    let surge = figures["faults"][0]["start_s"].as_f64().expect("the load rises at some time");

    // Four threads of 80 ms each: no replica takes more than 50 requests a second. Whether the shadow's half of the processor matters is found out
    // while the load is on, so the end of the run counts.
    let tracked: Vec<f64> = arm["tracked"].as_array().into_iter().flatten().filter_map(|t| t["capacity_rps"][1].as_f64()).collect();
    let mut late = tracked[tracked.len() * 2 / 3..].to_vec();
    late.sort_by(f64::total_cmp);
    let median = late.get(late.len() / 2).copied();
    if tracked.len() < 60 || !median.is_some_and(|m| (25.0..75.0).contains(&m)) {
        return Err(format!("a replica takes 50 requests a second; tracked: {tracked:.0?}"));
    }
    let raises: Vec<f64> = arm["floor_raises"].as_array().into_iter().flatten().filter_map(|r| r["at_s"].as_f64()).collect();
    if !raises.iter().any(|at| *at >= surge) {
        return Err(format!("the load rises at {surge} s, the floor at {raises:?}: {}", arm["decisions"]));
    }
    Ok(())
}

#[test]
fn the_loop_runs_on_a_server_that_is_not_ours_and_a_surge_raises_the_floor() {
    let Some(waitress) = waitress() else { return };
    let server = format!("exec '{}' --listen 127.0.0.1:$PORT --threads 4 httpbin:app", waitress.display());
    let run = || {
        let figures = demo(&server);
        let copies = &figures["copies"];
        let dropped: u64 = copies["dropped"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        let (eligible, completed) = (copies["eligible"].as_u64(), copies["completed"].as_u64());
        assert!(completed.is_some_and(|n| n > 100), "copies reach the shadow: {copies}");
        assert_eq!(eligible, completed.map(|n| n + dropped), "the account closes: {copies}");
        judge(&figures)
    };
    // It measures: a machine that does something else for a moment may spoil a run, but not two.
    if let Err(first) = run() {
        eprintln!("once more, after: {first}");
        run().unwrap();
    }
}

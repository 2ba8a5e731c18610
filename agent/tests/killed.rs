//! The program under kill -9: what it recorded is there, the history goes on where it ended, and replaying it gives the same decisions.
//! One of its sidecars answers, from this process, with numbers that rise.

#![allow(clippy::unwrap_used)]

use foreshadow_agent::record::Record;
use foreshadow_snapshot::{ClusterSnapshot, Snapshot};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const AGENT: &str = env!("CARGO_BIN_EXE_foreshadow-agent");
const PATIENCE: Duration = Duration::from_secs(60);

/// A sidecar's admin listener; every answer tells of ten more requests.
fn sidecar() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut snapshot = Snapshot { proxy_id: "p".into(), start_time_unix_ms: 1, ..Snapshot::default() };
        snapshot.clusters.push(ClusterSnapshot { name: "app".into(), ..ClusterSnapshot::default() });
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let cluster = &mut snapshot.clusters[0];
            cluster.requests += 10;
            cluster.responses[1] += 10;
            (0..10).for_each(|i| cluster.total_us.record_us(10_000 + i * 1_000));
            let body = serde_json::to_string(&snapshot).unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    url
}

fn start(config: &Path) -> (Child, String) {
    let mut agent =
        Command::new(AGENT).args(["run", "--log-format", "json", "--config"]).arg(config).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    let url = lines.by_ref().map(Result::unwrap).find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).ok()?;
        Some(event["fields"]["url"].as_str()?.to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    (agent, url.expect("it says where its pages are"))
}

fn ask(args: &[&str]) -> Output {
    Command::new(AGENT).args(args).output().unwrap()
}

/// Waits until the running agent has done this many ticks.
fn wait_for_ticks(url: &str, ticks: u64) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let out = ask(&["status", "--json", "--url", url]);
        if let Ok(state) = serde_json::from_slice::<serde_json::Value>(&out.stdout)
            && state["ticks"].as_u64() >= Some(ticks)
        {
            return state;
        }
        assert!(Instant::now() < deadline, "no {ticks} ticks: {}", String::from_utf8_lossy(&out.stderr));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sequence numbers of samples and of decisions, and how many sessions there are.
fn exported(history: &str) -> (Vec<u64>, Vec<u64>, usize) {
    let out = ask(&["export", "--history", history]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let (mut samples, mut decisions, mut sessions) = (Vec::new(), Vec::new(), 0);
    for line in String::from_utf8(out.stdout).unwrap().lines() {
        match serde_json::from_str(line).unwrap() {
            Record::Sample { seq, .. } => samples.push(seq),
            Record::Decision { seq, .. } => decisions.push(seq),
            Record::Session { .. } => sessions += 1,
            Record::Action { .. } => {}
        }
    }
    (samples, decisions, sessions)
}

#[test]
fn a_killed_agent_resumes_with_its_history_and_replays_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (config, history) = (dir.path().join("agent.yaml"), dir.path().join("history.redb"));
    let text = format!(
        "workload: {{ name: w, mode: recommend, objective: {{ threshold_ms: 15 }} }}
collect: {{ interval_ms: 100, timeout_ms: 90 }}
discovery: {{ static: {{ production: [{{ admin_url: '{}' }}] }} }}
history: {{ path: '{}' }}
server: {{ listen: '127.0.0.1:0' }}\n",
        sidecar(),
        history.display()
    );
    std::fs::write(&config, text).unwrap();
    let history = history.to_str().unwrap();

    let (mut agent, url) = start(&config);
    wait_for_ticks(&url, 15);
    // Readable, and replayable, while the agent writes.
    assert!(exported(history).0.len() >= 15);
    assert_eq!(ask(&["replay", history]).status.code(), Some(0));
    agent.kill().unwrap();
    agent.wait().unwrap();

    let (samples, decisions, sessions) = exported(history);
    assert!(samples.len() >= 15 && samples == decisions, "{} samples, {} decisions", samples.len(), decisions.len());
    assert_eq!(sessions, 1);

    let (mut agent, url) = start(&config);
    wait_for_ticks(&url, 10);
    let told = ask(&["explain", "--url", &url]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("Why: "), "{told:?}");
    let second = Command::new(AGENT).args(["run", "--config"]).arg(&config).output().unwrap();
    assert_eq!(second.status.code(), Some(69), "a second agent may not share the history");
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another running agent"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(0), "a clean end");

    let (all, _, sessions) = exported(history);
    assert_eq!((all[..samples.len()].to_vec(), sessions), (samples, 2), "nothing was lost");
    assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1), "no holes");
    let replayed = ask(&["replay", history]);
    let told = String::from_utf8_lossy(&replayed.stdout);
    assert_eq!(replayed.status.code(), Some(0), "{told}");
    assert!(told.ends_with(&format!("identical {} of {}\n", all.len(), all.len())), "{told}");

    // The export replays as well, and a changed decision is found.
    let export = dir.path().join("export.jsonl");
    let lines = String::from_utf8(ask(&["export", "--history", history]).stdout).unwrap();
    std::fs::write(&export, &lines).unwrap();
    assert_eq!(ask(&["replay", export.to_str().unwrap()]).status.code(), Some(0));
    std::fs::write(&export, lines.replacen("\"would_change\":\"", "\"would_change\":\"not ", 1)).unwrap();
    let changed = ask(&["replay", "--json", export.to_str().unwrap()]);
    let outcome: serde_json::Value = serde_json::from_slice(&changed.stdout).unwrap();
    assert_eq!(changed.status.code(), Some(1));
    assert_eq!(outcome["compared"].as_u64().unwrap() - outcome["identical"].as_u64().unwrap(), 1);
}

#[test]
fn a_file_that_is_not_a_history_is_refused_by_name_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (config, history) = (dir.path().join("agent.yaml"), dir.path().join("history.redb"));
    std::fs::write(&history, "somebody's letters").unwrap();
    let text = format!(
        "workload: {{ name: w, objective: {{ threshold_ms: 15 }} }}
discovery: {{ static: {{ production: [{{ admin_url: 'http://127.0.0.1:1' }}] }} }}
history: {{ path: '{}' }}
server: {{ listen: '127.0.0.1:0' }}\n",
        history.display()
    );
    std::fs::write(&config, text).unwrap();
    let out = Command::new(AGENT).args(["run", "--config"]).arg(&config).output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(65), "{told}");
    assert!(told.contains(history.to_str().unwrap()) && told.contains("is not a history"), "{told}");
    assert_eq!(std::fs::read_to_string(&history).unwrap(), "somebody's letters");
    let replay = ask(&["replay", history.to_str().unwrap()]);
    assert_eq!(replay.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&replay.stderr).contains("line 1 is not a record"));
}

#[test]
fn command_lines_and_configurations_have_their_exit_codes() {
    assert_eq!(ask(&["run"]).status.code(), Some(64));
    assert_eq!(ask(&["--help"]).status.code(), Some(0));
    assert_eq!(ask(&["status", "--url", "http://127.0.0.1:1"]).status.code(), Some(69));
    assert_eq!(ask(&["replay", "/no/such/file"]).status.code(), Some(69));
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.yaml");
    std::fs::write(&config, "workload: {}\n").unwrap();
    let out = ask(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("agent.yaml:1:11: workload.name: missing"), "{out:?}");
}

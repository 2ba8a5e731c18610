//! Reports of several nodes, put together.

use super::*;
use foreshadow_snapshot::ClusterSnapshot;

fn pod(name: &str, started: u64) -> PodReport {
    let snapshot = Snapshot {
        proxy_id: name.into(),
        clusters: ["application", "foreshadow-direct"].map(|n| ClusterSnapshot { name: n.into(), ..ClusterSnapshot::default() }).into(),
        ..Snapshot::default()
    };
    let instance = Instance {
        name: name.into(),
        admin_url: Some(format!("http://{name}:17020")),
        state: State::Ready,
        started_unix_ms: started,
        ..Instance::default()
    };
    let usage = Some(Usage { at_us: 1, cpu_us: Some(5), ..Usage::default() });
    let text = serde_json::value::to_raw_value(&snapshot).unwrap();
    PodReport { instance, shadow: false, release: "r1".into(), usage, snapshot: Some(text), error: None }
}

fn shadow(name: &str, started: u64, state: State) -> PodReport {
    let mut report = pod(name, started);
    (report.shadow, report.snapshot, report.instance.admin_url, report.instance.state) = (true, None, None, state);
    report
}

fn telling(name: &str) -> Telling {
    Telling { admin: format!("http://{name}:17020"), keys: vec!["mirror.shadow".into()], changed: true }
}

#[test]
fn two_nodes_make_one_look() {
    let mut board = Board::default();
    board.report("n1", "a1", 1, vec![pod("b", 2)], 1_000);
    board.report("n2", "a2", 1, vec![pod("a", 1), shadow("s", 3, State::Ready)], 1_000);
    let look = board.look("w", Scale { desired: 2, ..Scale::default() }, "cpu-half", 0.5, 1_500);
    let names: Vec<&str> = look.workload.replicas.iter().map(|r| r.name.as_str()).collect();
    assert_eq!((names, look.workload.release.as_str(), look.workload.scale.desired), (vec!["a", "b"], "r1", 2), "oldest first");
    let shadow = look.workload.shadow.as_ref().unwrap();
    assert_eq!((shadow.name.as_str(), shadow.profile.as_str(), shadow.size), ("s", "cpu-half", 0.5));
    assert_eq!((look.snapshots.len(), look.usage.len(), look.source_error.clone()), (2, 3, None));
    let clusters: Vec<&str> = look.snapshots["http://a:17020"].as_ref().unwrap().clusters.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(clusters, ["application"], "probes and our own questions are not traffic");
}

#[test]
fn a_silent_node_is_a_gap_and_then_gone() {
    let mut board = Board::default();
    board.report("n1", "a1", 1, vec![pod("a", 1)], 1_000);
    let look = |now| board.look("w", Scale::default(), "", 1.0, now);
    assert!(look(3_500).snapshots["http://a:17020"].is_ok());
    let silent = look(4_000);
    assert!(silent.snapshots["http://a:17020"].as_ref().unwrap_err().to_string().contains("n1 has not reported for 3.0 s"));
    assert_eq!((silent.usage.len(), silent.workload.replicas.len()), (0, 1), "an old reading is not a new one");
    assert!(look(41_000).source_error.is_some());
}

#[test]
fn a_report_that_was_overtaken_changes_nothing_and_a_restarted_agent_counts_anew() {
    let mut board = Board::default();
    board.report("n1", "a1", 5, vec![pod("a", 1), pod("b", 1)], 1_000);
    board.report("n1", "a1", 4, vec![pod("a", 1)], 1_001);
    assert_eq!(board.look("w", Scale::default(), "", 1.0, 1_001).workload.replicas.len(), 2);
    board.report("n1", "a1-restarted", 1, vec![pod("a", 1)], 1_002);
    assert_eq!(board.look("w", Scale::default(), "", 1.0, 1_002).workload.replicas.len(), 1);
    board.report("n1", "a1-restarted", 2, vec![], 1_003);
    assert_eq!(board.nodes(), 0);
}

#[test]
fn orders_reach_the_node_that_has_the_sidecar_once() {
    let mut board = Board::default();
    board.report("n1", "a1", 1, vec![pod("a", 1)], 1_000);
    board.report("n2", "a2", 1, vec![pod("b", 1)], 1_000);
    let homeless = board.order(vec![telling("a"), telling("b"), telling("gone")], 0.25, 10.0);
    assert_eq!(homeless, ["http://gone:17020"]);
    board.order(vec![telling("a")], 0.5, 10.0);
    let orders = board.report("n1", "a1", 2, vec![pod("a", 1)], 2_000);
    assert_eq!(orders, [FractionOrder { tellings: vec![telling("a")], fraction: 0.5, ttl_s: 10.0 }], "the newest");
    assert_eq!(board.report("n1", "a1", 3, vec![pod("a", 1)], 3_000), []);
    assert_eq!(board.report("n2", "a2", 2, vec![pod("b", 1)], 2_000)[0].fraction, 0.25);
}

#[test]
fn of_two_shadows_the_ready_one_counts() {
    let mut board = Board::default();
    board.report("n1", "a1", 1, vec![pod("a", 1), shadow("old", 3, State::Ready), shadow("new", 9, State::Starting)], 1_000);
    let name = |board: &Board| board.look("w", Scale::default(), "", 1.0, 1_000).workload.shadow.as_ref().map(|s| s.name.clone());
    assert_eq!(name(&board).as_deref(), Some("old"));
}

#[test]
fn a_snapshot_that_cannot_be_understood_is_an_error_and_not_the_end() {
    let mut odd = pod("a", 1);
    odd.snapshot = Some(serde_json::value::to_raw_value("text").unwrap());
    let mut board = Board::default();
    board.report("n1", "a1", 1, vec![odd, pod("b", 1)], 1_000);
    let look = board.look("w", Scale::default(), "", 1.0, 1_000);
    assert!(look.snapshots["http://a:17020"].is_err() && look.snapshots["http://b:17020"].is_ok());
}

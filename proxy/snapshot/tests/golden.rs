//! One document, to the letter: the format only grows. `UPDATE_GOLDEN=1 cargo test` writes it anew; a difference that is more than a new field breaks agents.

use foreshadow_snapshot::{
    ClusterRole, ClusterSnapshot, LatencyHistogram, ListenerSnapshot, MirrorSnapshot, RequestShape, Snapshot, VERSION,
};
use std::path::Path;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot.json");
/// As written by the first release: readers take it for ever.
const FIRST: &str = include_str!("golden/first.json");

fn histogram(values: &[u64]) -> LatencyHistogram {
    let mut it = LatencyHistogram::default();
    values.iter().for_each(|us| it.record_us(*us));
    it
}

fn filled() -> Snapshot {
    let cluster = ClusterSnapshot {
        name: "app".into(),
        role: ClusterRole::Production,
        requests: 7,
        responses: [0, 4, 0, 1, 1],
        failures: [("timeout".to_owned(), 1)].into(),
        events: [("upstream_rq_retry".to_owned(), 2)].into(),
        total_us: histogram(&[1_000, 2_000]),
        first_byte_us: histogram(&[900]),
        connect_us: histogram(&[100]),
        bytes_sent: 10,
        bytes_received: 20,
        rtt_us: 30,
        tcp_rtt_us: histogram(&[30]),
        endpoints: vec!["127.0.0.1:8080".into()],
        endpoints_total: 2,
        endpoints_ejected: 1,
        ..ClusterSnapshot::default()
    };
    let mirror = MirrorSnapshot {
        policy: "mirror.shadow".into(),
        cluster: "shadow".into(),
        runtime_key: "mirror.shadow".into(),
        fraction: 0.25,
        fraction_source: "file".into(),
        eligible_requests: 8,
        eligible: 8,
        completed: 2,
        dropped: [("sampled_out".to_owned(), 6)].into(),
        status_match: 2,
        body_match: 1,
        body_mismatch: 1,
        slower_us: histogram(&[500]),
        inclusion_probability: 0.25,
        represented: 8.0,
        ..MirrorSnapshot::default()
    };
    let mut it = Snapshot {
        version: VERSION,
        proxy_id: "host:1".into(),
        start_time_unix_ms: 1,
        time_unix_ms: 2,
        sequence: 3,
        clusters: vec![cluster],
        mirrors: vec![mirror],
        recent_requests: vec![RequestShape { method: "GET".into(), path: "/a?b=".into(), host: "h".into() }],
        config_generation: 1,
        ..Snapshot::default()
    };
    let route = it.route("app", "reports");
    (route.requests, route.responses[1], route.total_us) = (4, 4, histogram(&[1_000]));
    it.downstream.responses[1] = 4;
    let events = [("ssl.handshake".to_owned(), 2)].into();
    it.listeners = vec![ListenerSnapshot { name: "inbound".into(), address: "127.0.0.1:80".into(), events }];
    it.certificates_renewed = 1;
    it
}

#[test]
fn the_document_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&filled()).expect("a snapshot can be written") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(Path::new(GOLDEN), &text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(golden == text, "the snapshot is written differently now:\n{text}");
    let read: Snapshot = serde_json::from_str(&golden).expect("the golden file can be read");
    assert_eq!(read, filled());
}

#[test]
fn the_first_document_is_still_read() {
    let read: Snapshot = serde_json::from_str(FIRST).expect("readers default what is missing and pass over what they do not know");
    assert_eq!((read.clusters[0].requests, read.clusters[0].total_us.len(), read.mirrors[0].closes()), (3, 2, true));
    assert!(read.routes.is_empty() && read.mirrors[0].slower_us.is_empty());
}

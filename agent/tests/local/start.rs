//! Finding, starting, replacing an orchestrator.

use crate::fixture::{Fixture, alive};
use foreshadow_agent::local::client::{ClientError, find, start_or_attach};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn a_second_start_attaches_and_another_spec_replaces() {
    let mut it = Fixture::new();
    let first = it.start().await;
    assert!(first.started && find(&it.spec.state_dir).await.is_some());
    let running = it.until_ready(&first.locator, 2).await;
    let second = it.start().await;
    assert!(!second.started);
    assert_eq!(second.locator, first.locator);
    it.spec.app.env.insert("COLOUR".into(), "red".into());
    let third = it.start().await;
    assert!(third.started && !alive(first.locator.pid));
    assert!(running.replicas.iter().all(|r| !alive(r.pid)));
    let replaced = it.until_ready(&third.locator, 2).await;
    assert_ne!(replaced.release, running.release);
    let locator = it.spec.state_dir.join("orchestrator.json");
    assert_eq!(std::fs::metadata(locator).unwrap().permissions().mode() & 0o777, 0o600, "the token is the owner's");
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() {
    let mut it = Fixture::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    it.spec.front_port = taken.local_addr().unwrap().port();
    match start_or_attach(&it.spec, &it.exe()).await {
        Err(ClientError::Ended { status, log }) => {
            assert!(status.contains("69") && log.contains("choose another front_port"), "{status}: {log}");
        }
        other => panic!("{other:?}"),
    }
    it.spec.max = 0;
    match start_or_attach(&it.spec, &it.exe()).await {
        Err(ClientError::Ended { status, log }) => assert!(status.contains("78") && log.contains("max: is 0"), "{status}: {log}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fixed_front_port_is_used() {
    let mut it = Fixture::new();
    it.spec.front_port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let found = it.start().await;
    let up = it.until_ready(&found.locator, 2).await;
    assert_eq!(up.front.url, format!("http://127.0.0.1:{}", it.spec.front_port));
    assert!(it.get(&format!("{}/work", up.front.url)).await.is_some());
}

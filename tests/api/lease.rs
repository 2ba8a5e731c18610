//! Leases on a real API server: two holders at once, a silent holder, a restarted one; and watches over a server that goes away.

use crate::scene::eventually;
use foreshadow_agent::kubernetes::lease::api::{LeaseError, Leases};
use foreshadow_agent::kubernetes::lease::{Claim, Contact, DURATION_MS, Move};
use foreshadow_agent::kubernetes::watched::{keep, listed, without_managed_fields};
use foreshadow_cluster::api;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::json;
use std::time::Duration;

fn agent(client: &Client, namespace: &str, name: &str) -> Leases {
    let contact = Contact { url: format!("https://{name}:17443"), certificate: format!("sha-of-{name}") };
    Leases::new(client.clone(), namespace, name, contact)
}

#[tokio::test]
async fn of_two_agents_that_write_at_once_one_has_it() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("lease-race").await);
    let (a, b) = (agent(&client, &namespace, "a"), agent(&client, &namespace, "b"));
    let (created_a, created_b) = tokio::join!(a.create("shop/web"), b.create("shop/web"));
    assert!(created_a.is_ok() != created_b.is_ok(), "{created_a:?} {created_b:?}");
    let seen = a.read("shop/web").await.expect("readable").expect("there");
    let (held_a, held_b) = tokio::join!(a.hold("shop/web", &seen, seen.term + 1), b.hold("shop/web", &seen, seen.term + 1));
    let lost = [&held_a, &held_b].into_iter().filter(|h| matches!(h, Err(LeaseError::Raced))).count();
    assert_eq!((held_a.is_ok() as u8 + held_b.is_ok() as u8, lost), (1, 1), "409 for one of them");
    let now = a.read("shop/web").await.expect("readable").expect("there");
    assert_eq!((now.term, now.holder == "a"), (2, held_a.is_ok()));
}

#[tokio::test]
async fn a_silent_holder_is_followed_and_finds_that_it_has_lost() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("lease-silent").await);
    let (a, b) = (agent(&client, &namespace, "a"), agent(&client, &namespace, "b"));
    let (mut old, mut new) = (Claim::new("a"), Claim::new("b"));
    assert_eq!(old.decide(None, 0, 0), Move::Create);
    let held = a.create("shop/web").await.expect("free");
    old.wrote(held.term, 0);
    let seen = b.read("shop/web").await.expect("readable");
    assert_eq!(new.decide(seen.as_ref(), 0, 1_000), Move::Wait);
    // The holder renews: its silence begins anew.
    let renewed = a.hold("shop/web", &held, held.term).await.expect("ours");
    let seen = b.read("shop/web").await.expect("readable");
    assert_eq!(new.decide(seen.as_ref(), 0, DURATION_MS), Move::Wait);
    let seen = b.read("shop/web").await.expect("readable").expect("there");
    assert_eq!(new.decide(Some(&seen), 0, 2 * DURATION_MS), Move::Take(2));
    assert_eq!(old.may_act(2 * DURATION_MS), None, "it stopped by itself long before");
    let taken = b.hold("shop/web", &seen, 2).await.expect("expired");
    new.wrote(taken.term, 2 * DURATION_MS);
    assert_eq!((taken.previous.url.as_str(), new.may_act(2 * DURATION_MS)), ("https://a:17443", Some(2)), "whom to ask for samples");
    let late = a.hold("shop/web", &renewed, renewed.term).await.expect_err("somebody else has it");
    assert!(matches!(late, LeaseError::Raced), "{late:?}");
    let seen = a.read("shop/web").await.expect("readable");
    assert_eq!((old.decide(seen.as_ref(), 0, 2 * DURATION_MS + 1), old.may_act(2 * DURATION_MS + 1)), (Move::Wait, None));
}

#[tokio::test]
async fn a_lease_that_was_let_go_is_free_at_once_and_names_who_had_it() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("lease-free").await);
    let (a, b) = (agent(&client, &namespace, "a"), agent(&client, &namespace, "b"));
    let held = a.create("shop/web").await.expect("free");
    a.release("shop/web", &held).await.expect("ours");
    let seen = b.read("shop/web").await.expect("readable").expect("there");
    assert_eq!(Claim::new("b").decide(Some(&seen), 0, 0), Move::Take(2));
    let taken = b.hold("shop/web", &seen, 2).await.expect("free");
    assert_eq!((taken.holder.as_str(), taken.previous.certificate.as_str()), ("b", "sha-of-a"));
    b.remove("shop/web", &taken).await.expect("ours");
    assert_eq!(b.read("shop/web").await.expect("readable"), None);
}

#[tokio::test]
async fn what_happened_while_a_watch_was_lost_is_seen_when_it_is_back() {
    let Some(mut server) = api::own().await else { return };
    let (client, namespace) = (server.admin().await, server.namespace("watch").await);
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let map = |name: &str| serde_json::from_value::<ConfigMap>(json!({ "metadata": { "name": name } })).expect("a map");
    maps.create(&PostParams::default(), &map("before")).await.expect("created");
    let mut watched = keep(maps.clone(), watcher::Config::default(), without_managed_fields);
    assert!(listed(&mut watched, Duration::from_secs(30)).await);
    assert!(watched.borrow().objects.contains_key(&format!("{namespace}/before")));
    server.control_plane().kill_api_server();
    eventually(Duration::from_secs(30), async || watched.borrow().broken.is_some()).await;
    assert!(watched.borrow().objects.contains_key(&format!("{namespace}/before")), "what was seen last stays");
    server.control_plane().start_api_server().await.expect("it starts again");
    maps.create(&PostParams::default(), &map("after")).await.expect("created");
    maps.delete("before", &Default::default()).await.expect("deleted");
    let keys = [format!("{namespace}/before"), format!("{namespace}/after")];
    eventually(Duration::from_secs(60), async || {
        let now = watched.borrow();
        !now.objects.contains_key(&keys[0]) && now.objects.contains_key(&keys[1])
    })
    .await;
}

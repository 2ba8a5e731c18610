//! Which endpoints requests go to, seen from the endpoints.

use super::backend::Backend;
use super::client::{Answer, Client, empty};
use super::program::{Proxy, config};
use std::collections::BTreeMap;

const ENDPOINT: &str = "{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: PORT } } }MORE }";

/// A group of endpoints; `more` stands beside them.
fn group(backends: &[&Backend], weights: &[u32], more: &str) -> String {
    let endpoint = |(nth, b): (usize, &&Backend)| {
        let weight = weights.get(nth).map(|w| format!(", load_balancing_weight: {w}")).unwrap_or_default();
        ENDPOINT.replace("PORT", &b.address.port().to_string()).replace("MORE", &weight)
    };
    let endpoints: Vec<_> = backends.iter().enumerate().map(endpoint).collect();
    format!("{{ lb_endpoints: [{}]{more} }}", endpoints.join(", "))
}

async fn start(route: &str, cluster: &str, groups: &[String]) -> Proxy {
    let routes = format!("              - {{ match: {{ prefix: / }}, route: {{ cluster: app{route} }} }}\n");
    let cluster = format!(
        "  - name: app\n    connect_timeout: 1s\n{cluster}    load_assignment: {{ cluster_name: app, endpoints: [{}] }}\n",
        groups.join(", ")
    );
    Proxy::start_with(&config("", &routes, &cluster), &["--concurrency", "1"]).await
}

async fn three() -> [Backend; 3] {
    [Backend::start("a").await, Backend::start("b").await, Backend::start("c").await]
}

async fn ask(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(client.request("GET", path), |r, (n, v)| r.header(*n, *v)).body(empty()).unwrap();
    client.send(request).await.unwrap()
}

async fn counts(proxy: &Proxy, n: usize) -> BTreeMap<String, usize> {
    let mut client = Client::h1(proxy.address).await;
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        *counts.entry(client.get("/").await.text().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn turns_go_by_weight() {
    let [a, b, c] = three().await;
    let proxy = start("", "", &[group(&[&a, &b, &c], &[1, 2, 3], "")]).await;
    let counts = counts(&proxy, 60).await;
    assert!(counts["a"].abs_diff(10) <= 1 && counts["b"].abs_diff(20) <= 1 && counts["c"].abs_diff(30) <= 1, "{counts:?}");
}

#[tokio::test]
async fn the_same_key_goes_to_the_same_endpoint() {
    let [a, b, c] = three().await;
    for policy in ["    lb_policy: RING_HASH\n", "    lb_policy: MAGLEV\n    maglev_lb_config: { table_size: 251 }\n"] {
        let by = ", hash_policy: [{ header: { header_name: x-user }, terminal: true }, { query_parameter: { name: user } }]";
        let proxy = start(by, policy, &[group(&[&a, &b, &c], &[], "")]).await;
        let mut client = Client::h1(proxy.address).await;
        let mut used = BTreeMap::<String, usize>::new();
        for user in 0..30 {
            let user = user.to_string();
            let first = ask(&mut client, "/", &[("x-user", &user)]).await.text().to_owned();
            for _ in 0..3 {
                assert_eq!(ask(&mut client, "/?user=other", &[("x-user", &user)]).await.text(), first);
                assert_eq!(ask(&mut client, &format!("/?user={user}"), &[]).await.text(), first, "the same value has the same hash");
            }
            *used.entry(first).or_default() += 1;
        }
        assert_eq!(used.len(), 3, "{used:?}");
    }
}

#[tokio::test]
async fn a_cookie_made_here_keeps_a_client_at_its_endpoint() {
    let [a, b, c] = three().await;
    let by = ", hash_policy: [{ cookie: { name: stay, ttl: 60s, path: / } }]";
    let proxy = start(by, "    lb_policy: RING_HASH\n", &[group(&[&a, &b, &c], &[], "")]).await;
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..5 {
        let first = client.get("/").await;
        let line = first.header("set-cookie").to_owned();
        assert!(line.starts_with("stay=\"") && line.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{line}");
        let cookie = line.split(';').next().unwrap().to_owned();
        for _ in 0..5 {
            let again = ask(&mut client, "/", &[("cookie", &cookie)]).await;
            assert_eq!((again.text(), again.header("set-cookie")), (first.text(), ""));
        }
    }
}

#[tokio::test]
async fn the_first_priority_is_served_first_and_localities_share_by_weight() {
    let [a, b, c] = three().await;
    let second = [group(&[&a, &b], &[], ", priority: 0"), group(&[&c], &[], ", priority: 1")];
    let proxy = start("", "", &second).await;
    assert_eq!(counts(&proxy, 20).await.into_iter().collect::<Vec<_>>(), [("a".into(), 10), ("b".into(), 10)]);
    let zone = |name: &str, weight: u32| format!(", locality: {{ zone: {name} }}, load_balancing_weight: {weight}");
    let zones = [group(&[&a], &[], &zone("near", 3)), group(&[&b, &c], &[], &zone("far", 1))];
    let proxy = start("", "    common_lb_config: { locality_weighted_lb_config: {} }\n", &zones).await;
    let counts = counts(&proxy, 40).await;
    assert!(counts["a"].abs_diff(30) <= 1 && counts["b"].abs_diff(5) <= 1, "{counts:?}");
}

#[tokio::test]
async fn each_priority_of_requests_has_breakers_of_its_own() {
    let [a, ..] = three().await;
    let breakers = "    circuit_breakers: { thresholds: [{ priority: DEFAULT, max_requests: 0 }, { priority: HIGH, max_requests: 1 }] }\n";
    let proxy = start("", breakers, &[group(&[&a], &[], "")]).await;
    let refused = Client::h1(proxy.address).await.get("/").await;
    assert_eq!((refused.status, refused.header("x-envoy-overloaded")), (503, "true"));
    let proxy = start(", priority: HIGH", breakers, &[group(&[&a], &[], "")]).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 200);
}

//! How many copies there are: fractions, keys, run-time values and their end.

use super::backend::Backend;
use super::client::{Client, empty, eventually};
use super::program::{Proxy, cluster, config, mirrored};
use std::collections::BTreeSet;

async fn both(percent: u32, limits: &str) -> (Backend, Backend, Proxy) {
    let (app, shadow) = (Backend::start("app").await, Backend::start("shadow").await);
    let clusters = cluster("app", &[app.address], "") + &cluster("shadow", &[shadow.address], "");
    let proxy = Proxy::start(&config("", &mirrored(percent, limits), &clusters)).await;
    (app, shadow, proxy)
}

async fn send(proxy: &Proxy, n: usize) {
    let mut client = Client::h1(proxy.address).await;
    for _ in 0..n {
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_quarter() {
    let (_app, shadow, proxy) = both(25, "").await;
    send(&proxy, 1000).await;
    let copies = proxy.settled().await;
    // 250 +- 13.7; six standard deviations are allowed.
    assert!((168..=332).contains(&copies.completed), "{copies:?}");
    assert_eq!((copies.eligible, copies.completed + copies.dropped["sampled_out"], shadow.count() as u64), (1000, 1000, copies.completed));
    assert_eq!((copies.fraction, copies.fraction_source.as_str(), copies.runtime_key.as_str()), (0.25, "file", "copies"));
}

#[tokio::test]
async fn two_and_a_half_copies_each() {
    let (_app, shadow, proxy) = both(100, "spread: 0.05s").await;
    assert_eq!(proxy.call("POST", "/runtime_modify?copies=250").await.0, 200);
    send(&proxy, 200).await;
    let copies = proxy.settled().await;
    // 500 +- 7.1.
    assert!((457..=543).contains(&copies.eligible), "{copies:?}");
    assert_eq!((copies.eligible_requests, copies.completed, shadow.count() as u64), (200, copies.eligible, copies.eligible));
    assert_eq!(copies.status_match, 200, "one pair for each request");
}

#[tokio::test]
async fn whole_sessions_are_in_or_out_and_a_larger_fraction_keeps_the_smaller() {
    let (_app, shadow, proxy) = both(0, "key: { cookie: session }").await;
    let mut client = Client::h1(proxy.address).await;
    let mut chosen = Vec::new();
    for percent in ["20", "60"] {
        proxy.call("POST", &format!("/runtime_modify?copies={percent}")).await;
        let before = shadow.count();
        for user in (0..100).chain(0..100) {
            let request =
                client.request("GET", &format!("/{user}")).header("cookie", format!("a=b; session=user-{user}")).body(empty()).unwrap();
            client.send(request).await.unwrap();
        }
        proxy.settled().await;
        let paths: Vec<_> = shadow.seen()[before..].iter().map(|s| s.path.clone()).collect();
        let users: BTreeSet<_> = paths.iter().cloned().collect();
        assert_eq!(paths.len(), 2 * users.len(), "a session is in or out");
        chosen.push(users);
    }
    assert!(chosen[0].is_subset(&chosen[1]) && chosen[0].len() < chosen[1].len(), "{chosen:?}");
}

#[tokio::test]
async fn a_run_time_value_falls_back_to_the_files() {
    let (_app, shadow, proxy) = both(0, "").await;
    assert_eq!(proxy.call("POST", "/runtime_modify?copies=100&foreshadow.ttl_s=0.5").await.0, 200);
    let copies = proxy.copies().await;
    assert_eq!((copies.fraction, copies.fraction_source.as_str()), (1.0, "runtime"));
    assert!(copies.fraction_expires_unix_ms > 0);
    send(&proxy, 5).await;
    eventually("the value ends", || async { proxy.copies().await.fraction_source == "file" }).await;
    let before = proxy.settled().await.completed;
    send(&proxy, 5).await;
    let copies = proxy.settled().await;
    assert_eq!((copies.completed, copies.fraction, copies.fraction_expires_unix_ms), (before, 0.0, 0));
    assert_eq!((before, shadow.count()), (5, 5));
}

#[tokio::test]
async fn run_time_values_by_envoys_rules() {
    let (_app, _shadow, proxy) = both(10, "").await;
    let fraction = async || proxy.copies().await.fraction;
    for (value, expected) in [("12.5", 0.125), ("250", 2.5), ("%7B%22numerator%22:5,%22denominator%22:%22MILLION%22%7D", 5e-6), ("", 0.1)] {
        assert_eq!(proxy.call("POST", &format!("/runtime_modify?copies={value}")).await, (200, "OK\n".into()));
        assert_eq!(fraction().await, expected, "{value}");
    }
    for bad in ["copies=x", "copies=-1", "copies=5&foreshadow.ttl_s=0", "copies=5&foreshadow.ttl_s=x", ""] {
        assert_eq!(proxy.call("POST", &format!("/runtime_modify?{bad}")).await.0, 400, "{bad}");
        assert_eq!(fraction().await, 0.1);
    }
    assert_eq!(proxy.call("GET", "/runtime_modify?copies=50").await.0, 405);
    proxy.call("POST", "/runtime_modify?copies=50").await;
    let (status, runtime) = proxy.call("GET", "/runtime").await;
    let runtime: serde_json::Value = serde_json::from_str(&runtime).unwrap();
    assert_eq!((status, &runtime["entries"]["copies"]["final_value"]), (200, &serde_json::json!("50")));
}

#[tokio::test]
async fn sampling_is_independent_of_the_choice_of_cluster() {
    let (a, b, shadow) = (Backend::start("a").await, Backend::start("b").await, Backend::start("shadow").await);
    let routes = "              - match: { prefix: / }
                route:
                  weighted_clusters: { clusters: [{ name: a, weight: 50 }, { name: b, weight: 50 }] }
                  request_mirror_policies: [{ cluster: shadow, runtime_fraction: { default_value: { numerator: 50 }, runtime_key: copies } }]
";
    let clusters = cluster("a", &[a.address], "") + &cluster("b", &[b.address], "") + &cluster("shadow", &[shadow.address], "");
    let proxy = Proxy::start(&config("", routes, &clusters)).await;
    let mut client = Client::h1(proxy.address).await;
    for nth in 0..600 {
        client.get(&format!("/{nth}")).await;
    }
    proxy.settled().await;
    let of = |backend: &Backend| backend.seen().into_iter().map(|s| s.path).collect::<BTreeSet<_>>();
    let copied = of(&shadow);
    for backend in [&a, &b] {
        let share = of(backend).intersection(&copied).count() as f64 / backend.count() as f64;
        assert!((0.3..0.7).contains(&share), "{share} of a cluster's requests copied");
    }
}

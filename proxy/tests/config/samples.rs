//! Every file under `config/` loads and means what its comments say; Envoy loads them too. (`config/tls.yaml` needs certificates: see `tls.rs`.)

use std::time::Duration;

use foreshadow_proxy::config::model::{
    Discovery, Domain, Forward, HeaderSetMode, HeaderValueMatch, LbPolicy, LogTarget, MirrorMethods, PathMatch, Protocol, RetryOn,
    RouteAction, SampleKey, StringMatch,
};
use foreshadow_proxy::config::parse_eds;

use crate::envoy;
use crate::support::{forward, load_file, root, routes};

const SAMPLES: [&str; 6] =
    ["config/sidecar.yaml", "config/front.yaml", "config/gateway.yaml", "config/mirror.yaml", "config/edge.yaml", "config/resilience.yaml"];

fn first(forward: &Forward) -> usize {
    forward.clusters().next().expect("a cluster").0
}

#[test]
fn every_sample_of_the_proxy_is_listed_here() {
    let mut found: Vec<String> = std::fs::read_dir(root().join("config"))
        .unwrap()
        .map(|entry| format!("config/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".yaml") && name != "config/local.yaml" && name != "config/tls.yaml")
        .collect();
    found.sort();
    let mut listed = SAMPLES.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

#[test]
fn envoy_accepts_every_sample() {
    let Some(envoy) = envoy::binary() else { return };
    root();
    for sample in SAMPLES {
        assert!(envoy::accepts(&envoy, sample.as_ref()), "Envoy refuses {sample}");
    }
}

#[test]
fn the_sidecar_sample_mirrors_a_tenth_to_the_shadow() {
    let config = load_file("config/sidecar.yaml").unwrap();
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:15000");
    assert_eq!(config.runtime, [("mirror.shadow".to_owned(), 10.0)]);
    let all = routes(&config);
    let forward = forward(all[0]);
    assert_eq!(config.clusters[first(forward)].name, "application");
    let mirror = &forward.mirrors[0];
    assert_eq!((mirror.fraction, mirror.runtime_key.as_deref()), (0.1, Some("mirror.shadow")));
    let shadow = &config.clusters[mirror.cluster.unwrap()];
    assert!(shadow.mirror_only && !config.clusters[first(forward)].mirror_only);
    let Discovery::EdsFile { initial, service_name, .. } = &shadow.discovery else { panic!("{:?}", shadow.discovery) };
    assert_eq!((service_name.as_str(), initial[0].address.port()), ("shadow", 9080));
}

#[test]
fn the_front_sample_reads_its_endpoints_from_json() {
    let config = load_file("config/front.yaml").unwrap();
    let http = &config.managers[0];
    assert!(http.use_remote_address);
    assert_eq!((http.idle_timeout, http.request_headers_timeout), (Some(Duration::from_secs(60)), Some(Duration::from_secs(10))));
    let Discovery::EdsFile { initial, path, service_name } = &config.clusters[0].discovery else { panic!() };
    assert_eq!(initial.iter().map(|e| (e.address.port(), e.healthy)).collect::<Vec<_>>(), [(18011, true), (18012, true), (18013, false)]);
    assert_eq!(*initial, parse_eds(path, service_name).unwrap());
    assert_eq!(config.clusters[0].lb, LbPolicy::LeastRequest);
}

#[test]
fn the_gateway_sample_combines_hosts_weights_and_headers() {
    let config = load_file("config/gateway.yaml").unwrap();
    let hosts = &config.managers[0].routes.virtual_hosts;
    assert_eq!(hosts[0].domains[2], Domain::Suffix(".shop.example.com".to_owned()));
    assert_eq!(hosts[1].domains, [Domain::Prefix("api.".to_owned())]);
    let all = routes(&config);
    assert!(matches!(&all[0].action, RouteAction::Direct { status, body } if status.as_u16() == 200 && &body[..] == b"ok\n"));
    let PathMatch::Regex(orders) = &all[1].matching.path else { panic!() };
    assert!(orders.is_match("/orders/7/items") && !orders.is_match("/orders/x") && !orders.is_match("/a/orders/7"));
    let HeaderValueMatch::Text(StringMatch::Regex(tester)) = &all[2].matching.headers[0].value else { panic!() };
    assert!(tester.is_match("YES") && !tester.is_match("yes "));
    assert_eq!(forward(all[3]).clusters().map(|(_, weight)| weight).collect::<Vec<_>>(), [95, 5]);
    let mirror = &forward(all[3]).mirrors[0];
    assert_eq!((mirror.fraction, mirror.name.as_str()), (0.05, "shop/shop-next"));
    assert_eq!(
        (mirror.request_headers.remove[0].as_str(), mirror.request_headers.set[0].mode),
        ("authorization", HeaderSetMode::Overwrite)
    );
    let v1 = all[4];
    assert_eq!(forward(v1).timeout, None);
    assert_eq!((forward(v1).mirrors.len(), v1.request_headers.set[0].name.as_str()), (0, "x-entry"));
    assert_eq!((v1.response_headers.remove[0].as_str(), v1.response_headers.set[0].mode), ("x-powered-by", HeaderSetMode::AddIfAbsent));
    assert!(config.clusters[2].protocol == Protocol::Http2 && !config.clusters[1].mirror_only);
}

#[test]
fn the_mirror_sample_shows_every_setting() {
    let config = load_file("config/mirror.yaml").unwrap();
    let all = routes(&config);
    let (reports, rest) = (&forward(all[0]).mirrors, &forward(all[1]).mirrors);
    assert_eq!(rest.iter().map(|m| m.fraction).collect::<Vec<_>>(), [2.5, 0.1]);
    let limits = &rest[1].limits;
    assert_eq!((limits.methods, limits.max_in_flight, limits.max_body_bytes), (MirrorMethods::Safe, 256, 1 << 20));
    assert!(matches!(&limits.key, Some(SampleKey::Cookie(name)) if name == "session"));
    assert_eq!((limits.max_per_second, limits.compare_bodies, limits.strip_headers[0].as_str()), (Some(500.0), true, "authorization"));
    assert_eq!((reports[0].limits.timeout, reports[0].limits.max_in_flight), (Duration::from_secs(60), 8));
    assert_eq!((reports[0].limits.methods, reports[0].fraction), (MirrorMethods::Safe, 2.5));
}

#[test]
fn the_edge_sample_believes_nobody_and_logs_everything() {
    let config = load_file("config/edge.yaml").unwrap();
    let http = &config.managers[0];
    assert!(http.use_remote_address && http.normalize_path && http.merge_slashes && http.always_set_request_id_in_response);
    assert_eq!((http.internal_addresses[0].prefix, http.access_logs.len()), (8, 2));
    assert_eq!(http.access_logs[0].target, LogTarget::Stdout);
    assert!(http.access_logs[0].filter.is_none() && http.access_logs[1].filter.is_some());
    let wanted = http.wanted.as_ref().unwrap();
    assert_eq!(
        wanted.request.iter().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["x-request-id", "x-envoy-original-path", "x-forwarded-for", "user-agent"]
    );
    assert!(http.local_reply.as_ref().unwrap().format.is_some());
}

#[test]
fn the_resilience_sample_retries_hashes_and_watches_health() {
    let config = load_file("config/resilience.yaml").unwrap();
    let all = routes(&config);
    let (carts, catalogue) = (forward(all[1]), forward(all[2]));
    let retry = |to: &Forward| to.retry.as_ref().map(|r| (r.retries, r.avoid_tried, r.per_try_timeout)).unwrap();
    assert_eq!(retry(carts), (2, 0, None), "the virtual host's policy");
    assert_eq!(retry(catalogue), (3, 3, Some(Duration::from_millis(500))));
    assert!(
        carts.retry.as_ref().unwrap().on.has(RetryOn::GATEWAY_ERROR) && catalogue.retry.as_ref().unwrap().on.has(RetryOn::SERVER_ERROR)
    );
    assert_eq!((carts.hash.len(), carts.hash[0].terminal), (2, true));
    let (carts, catalogue) = (&config.clusters[0], &config.clusters[1]);
    assert_eq!((carts.lb, carts.health_check.as_ref().unwrap().unhealthy_threshold), (LbPolicy::Maglev, 3));
    assert_eq!(catalogue.outlier.as_ref().unwrap().max_percent, 50);
    let Discovery::Static(endpoints) = &catalogue.discovery else { panic!() };
    assert_eq!(endpoints.iter().map(|e| e.priority).collect::<Vec<_>>(), [0, 0, 1]);
}

//! Clusters whose endpoints are names. Only `localhost` is sure to resolve everywhere; other names have a server made here.

use super::backend::Backend;
use super::client::{Client, eventually};
use super::program::{Proxy, config};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";

fn named(kind: &str, name: &str, app: &Backend, more: &str) -> String {
    let endpoint =
        format!("{{ endpoint: {{ address: {{ socket_address: {{ address: {name}, port_value: {} }} }} }} }}", app.address.port());
    format!(
        "  - name: app\n    type: {kind}\n{more}    load_assignment: {{ cluster_name: app, endpoints: [{{ lb_endpoints: [{endpoint}] }}] }}\n"
    )
}

#[tokio::test]
async fn names_are_resolved_before_serving_and_by_family() {
    let app = Backend::start("app").await;
    for kind in ["STRICT_DNS", "LOGICAL_DNS"] {
        let more = "    dns_lookup_family: V4_ONLY\n    dns_refresh_rate: 0.3s\n";
        let proxy = Proxy::start(&config("", ALL, &named(kind, "localhost", &app, more))).await;
        assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
        assert_eq!(proxy.cluster("app").await.endpoints, [app.address.to_string()]);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_tried_again_and_said_so() {
    let app = Backend::start("app").await;
    let more = "    dns_failure_refresh_rate: { base_interval: 0.3s, max_interval: 0.6s }\n    dns_refresh_rate: 60s\n";
    let proxy = Proxy::start(&config("", ALL, &named("STRICT_DNS", "no-such-name.invalid", &app, more))).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.status, 503);
    let told = || proxy.log().matches("the name cannot be resolved").count();
    eventually("it is looked up again, not only after a minute", || async { told() >= 3 }).await;
}

/// A server of names, over UDP: each name has one IPv4 address, whose record lives for so many seconds.
struct Names {
    address: SocketAddr,
    record: Arc<Mutex<(Ipv4Addr, u32)>>,
}

impl Names {
    async fn serve(ip: Ipv4Addr, ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let record = Arc::new(Mutex::new((ip, ttl)));
        let mine = record.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
                let now = *mine.lock().unwrap();
                socket.send_to(&reply(&buffer[..n], now), from).await.unwrap();
            }
        });
        Self { address, record }
    }

    fn change(&self, ip: Ipv4Addr, ttl: u32) {
        *self.record.lock().unwrap() = (ip, ttl);
    }

    /// Fields of a cluster that asks here.
    fn asked(&self) -> String {
        format!(
            "    dns_lookup_family: V4_ONLY
    typed_dns_resolver_config:
      name: envoy.network.dns_resolver.cares
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
        resolvers: [{{ socket_address: {{ address: {}, port_value: {} }} }}]
",
            self.address.ip(),
            self.address.port()
        )
    }
}

/// The answer to a question (RFC 1035, section 4): an address when one of IPv4 is asked for, else that there is none.
fn reply(question: &[u8], (ip, ttl): (Ipv4Addr, u32)) -> Vec<u8> {
    let name_ends = 12 + question[12..].iter().position(|b| *b == 0).unwrap();
    let is_ipv4 = question[name_ends + 1..name_ends + 3] == [0, 1];
    let mut reply = question[..2].to_vec();
    reply.extend([0x84 | question[2] & 1, 0x80, 0, 1, 0, is_ipv4.into(), 0, 0, 0, 0]);
    reply.extend(&question[12..name_ends + 5]);
    if is_ipv4 {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(ip.octets());
    }
    reply
}

/// The rate says ten minutes, the record a second.
#[tokio::test]
async fn names_are_looked_up_again_when_their_records_expire() {
    let app = Backend::start("app").await;
    let moved = Backend::start_at("moved", SocketAddr::from(([127, 0, 0, 2], app.address.port()))).await;
    let names = Names::serve(Ipv4Addr::LOCALHOST, 1).await;
    let more = names.asked() + "    respect_dns_ttl: true\n    dns_refresh_rate: 600s\n";
    let proxy = Proxy::start(&config("", ALL, &named("STRICT_DNS", "app.names.test", &app, &more))).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
    names.change(Ipv4Addr::new(127, 0, 0, 2), 600);
    let there = || async { proxy.cluster("app").await.endpoints };
    eventually("the name is looked up again", || async { there().await == [moved.address.to_string()] }).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "moved");
}

/// Who is asked and how often are two things: the rate holds where nobody asks for times to live.
#[tokio::test]
async fn a_server_of_names_is_asked_at_the_clusters_rate() {
    let app = Backend::start("app").await;
    let names = Names::serve(Ipv4Addr::new(127, 0, 0, 3), 600).await;
    let more = names.asked() + "    dns_refresh_rate: 0.3s\n";
    let proxy = Proxy::start(&config("", ALL, &named("LOGICAL_DNS", "app.names.test", &app, &more))).await;
    names.change(Ipv4Addr::LOCALHOST, 600);
    let there = || async { proxy.cluster("app").await.endpoints };
    eventually("the name is looked up again", || async { there().await == [app.address.to_string()] }).await;
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "app");
}

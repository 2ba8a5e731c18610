//! Connections that never heard of the proxy go through it: `init` in real network namespaces, by every tool that is there.

use super::namespace::{self, Namespace};
use super::program::program;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// The user of the proxy, whom the rules spare.
const PROXY: u32 = 1337;

fn listener(name: &str, address: &str, port: u16, more: &str, action: &str) -> String {
    format!(
        "  - name: {name}
    address: {{ socket_address: {{ address: \"{address}\", port_value: {port} }} }}
{more}    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          route_config: {{ virtual_hosts: [{{ name: all, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, {action} }}] }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
"
    )
}

fn config() -> String {
    let filter = "    listener_filters:
    - { name: original, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst } }\n";
    let forward = "route: { cluster: wherever }";
    "static_resources:\n  listeners:\n".to_owned()
        + &listener("inbound", "0.0.0.0", 15006, "    use_original_dst: true\n", forward)
        + &listener("inbound6", "::", 15006, filter, forward)
        + &listener("outbound", "0.0.0.0", 15001, filter, forward)
        + &listener(
            "virtual",
            "0.0.0.0",
            8083,
            "    bind_to_port: false\n",
            "direct_response: { status: 200, body: { inline_string: virtual } }",
        )
        + "  clusters:\n  - { name: wherever, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, connect_timeout: 5s }\n"
}

/// A pod with an application and the proxy beside it, and somebody elsewhere.
struct Scene {
    pod: Namespace,
    elsewhere: Namespace,
    proxy: Child,
    dir: TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

impl Scene {
    fn new() -> Self {
        let (pod, elsewhere) = (Namespace::fresh(), Namespace::fresh());
        pod.join(&elsewhere, ("10.77.0.2/24", "fd77::2/64"), ("10.77.0.1/24", "fd77::1/64"));
        pod.serve("0.0.0.0:8080", "app");
        pod.serve("[fd77::2]:8080", "app6");
        pod.serve("0.0.0.0:8081", "other");
        elsewhere.serve("0.0.0.0:9090", "remote");
        let dir = TempDir::new().unwrap();
        // The proxy's user may read neither the build's directory nor a private one.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let binary = dir.path().join("proxy");
        // By a process of its own: a file that this one has open for writing cannot be run while another test's child still holds it.
        namespace::must(&format!("cp {} {}", program().get_program().display(), binary.display()));
        std::fs::write(dir.path().join("config.yaml"), config()).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = std::process::Command::new(binary);
        command.arg("-c").arg(dir.path().join("config.yaml")).args(["--concurrency", "1", "-l", "debug"]);
        command.uid(PROXY).gid(PROXY).stdin(Stdio::null()).stderr(log);
        let mut proxy = pod.within(move || command.spawn().unwrap());
        let said = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        for port in [15006, 15001] {
            pod.await_listener(&format!("127.0.0.1:{port}"), &mut || assert!(proxy.try_wait().unwrap().is_none(), "{}", said()));
        }
        Self { pod, elsewhere, proxy, dir }
    }

    /// Runs `foreshadow-proxy init` in the pod.
    fn init(&self, arguments: &str) -> String {
        self.pod.must(&format!("{} init {arguments}", self.dir.path().join("proxy").display()))
    }

    /// What the tool shows of our rules.
    fn rules(&self, tool: &str) -> Vec<String> {
        let shown = match tool {
            "nft" => self.pod.must("nft list tables"),
            tool => self.pod.must(&format!("{tool} -t nat -S")) + &self.pod.must(&format!("{} -t nat -S", tool.replacen("ip", "ip6", 1))),
        };
        shown.lines().filter(|l| l.to_ascii_lowercase().contains("foreshadow")).map(str::to_owned).collect()
    }

    /// Who answers at an address, and whether the proxy stood in between.
    fn asked(&self, from: &Namespace, address: &str) -> (String, bool) {
        let answer = from.get(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (body.to_owned(), head.contains("server: foreshadow"))
    }
}

/// Tools that work here.
fn tools(scene: &Scene) -> Vec<&'static str> {
    let works = |tool: &&str| {
        let line = if *tool == "nft" { "nft list tables".to_owned() } else { format!("{tool} -t nat -S") };
        let tried = std::process::Command::new("ip").args(["netns", "exec", &scene.pod.name]).args(line.split(' ')).output();
        let works = tried.is_ok_and(|o| o.status.success());
        if !works {
            eprintln!("left out: {tool} is not there or does not work");
        }
        works
    };
    ["nft", "iptables-nft", "iptables-legacy"].into_iter().filter(works).collect()
}

fn scene() -> Option<Scene> {
    if let Some(why) = namespace::missing() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has to test interception: {why}");
        eprintln!("left out: {why}");
        return None;
    }
    Some(Scene::new())
}

fn through(name: &str) -> (String, bool) {
    (name.to_owned(), true)
}

fn past(name: &str) -> (String, bool) {
    (name.to_owned(), false)
}

#[test]
fn what_arrives_goes_through_the_proxy_until_it_is_undone() {
    let Some(scene) = scene() else { return };
    let tools = tools(&scene);
    assert!(std::env::var("CI").as_deref() != Ok("true") || tools.len() >= 2, "CI has nftables and iptables");
    let from = &scene.elsewhere;
    for tool in tools {
        assert_eq!(scene.asked(from, "10.77.0.2:8080"), past("app"), "{tool}");
        let before = scene.rules(tool);
        scene.init(&format!("--backend {tool} --exclude-inbound-ports 8081"));
        let once = scene.rules(tool);
        assert!(!once.is_empty());
        scene.init(&format!("--backend {tool} --exclude-inbound-ports 8081"));
        assert_eq!(scene.rules(tool), once, "{tool}: twice is once");
        assert_eq!(scene.asked(from, "10.77.0.2:8080"), through("app"), "{tool}");
        assert_eq!(scene.asked(from, "[fd77::2]:8080"), through("app6"), "{tool}");
        assert_eq!(scene.asked(from, "10.77.0.2:8081"), past("other"), "{tool}: an excluded port");
        assert_eq!(scene.asked(from, "10.77.0.2:8083"), through("virtual"), "{tool}: handed over");
        // Nobody listens there: the proxy says so, and does not call itself.
        for address in ["10.77.0.2:8084", "10.77.0.2:15006"] {
            let (body, by_proxy) = scene.asked(from, address);
            assert!(by_proxy && (body.starts_with("upstream connect error") || body == "no healthy upstream"), "{tool} {address}: {body}");
        }
        scene.init("--undo");
        assert_eq!((scene.rules(tool), scene.asked(from, "10.77.0.2:8080")), (before, past("app")), "{tool}");
        assert_eq!(scene.init("--undo"), "there was nothing to remove\n");
    }
}

#[test]
fn what_leaves_goes_through_the_proxy_but_what_the_proxy_sends() {
    let Some(scene) = scene() else { return };
    let from = &scene.pod;
    let mut last = None;
    for tool in tools(&scene) {
        // A set of rules by another tool gives way.
        scene.init(&format!("--backend {tool} --outbound-port 15001 --uid {PROXY}"));
        assert!(last.replace(tool).is_none_or(|before| scene.rules(before).is_empty()), "{tool}");
        assert_eq!(scene.asked(from, "10.77.0.1:9090"), through("remote"), "{tool}");
        assert_eq!(scene.asked(from, "127.0.0.1:8080"), past("app"), "{tool}: what stays inside is left alone");
        scene.init(&format!("--backend {tool} --outbound-port 15001 --exclude-outbound-cidrs 10.77.0.0/24"));
        assert_eq!(scene.asked(from, "10.77.0.1:9090"), past("remote"), "{tool}: an excluded network");
        scene.init(&format!("--backend {tool} --include-inbound-ports 8080 --direct-inbound-ports 17100:8080"));
        assert_eq!(scene.asked(from, "10.77.0.1:9090"), past("remote"), "{tool}: without an outbound port");
        assert_eq!(scene.asked(&scene.elsewhere, "10.77.0.2:8080"), through("app"), "{tool}");
        assert_eq!(scene.asked(&scene.elsewhere, "10.77.0.2:8081"), past("other"), "{tool}: not included");
        assert_eq!(scene.asked(&scene.elsewhere, "10.77.0.2:17100"), past("app"), "{tool}: past the proxy");
        assert_eq!(scene.asked(&scene.elsewhere, "[fd77::2]:17100"), past("app6"), "{tool}: past the proxy");
    }
    scene.init("--undo");
    assert!(last.is_none_or(|tool| scene.rules(tool).is_empty()));
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let (code, text, _) = super::program::run(&["init", "--dry-run", "--backend", "nft", "--outbound-port", "15001"]);
    assert!(code == 0 && text.contains("redirect to :15006") && text.contains("redirect to :15001"), "{code} {text}");
    let (code, _, why) = super::program::run(&["init", "--dry-run", "--outbound-port", "15006"]);
    assert!(code == 64 && why.contains("--outbound-port"), "{code} {why}");
    assert_eq!(super::program::run(&["init", "--inbound-port", "x"]).0, 64);
}

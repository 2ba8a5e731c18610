//! TLS on both sides: protocols by ALPN, certificates of both ends, filter chains by name, certificates that change while serving.

use super::backend::Backend;
use super::client::{Client, PATIENCE, eventually};
use super::program::{HTTP2, Proxy, cluster, config};
use super::secure::{self, Authority, Identity, connect, downstream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ALL: &str = "              - { match: { prefix: / }, route: { cluster: app } }\n";
const INSPECTOR: &str = "    listener_filters: [{ name: t, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector } }]\n";
const AUTO: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        auto_config: {}
";

/// The whole configuration with TLS on its one filter chain.
fn secured(tls: &str, clusters: &str) -> String {
    config("", ALL, clusters).replacen("    filter_chains:\n    - filters:", &format!("    filter_chains:\n    -\n{tls}      filters:"), 1)
}

/// Every count of a listener's event.
async fn event(proxy: &Proxy, event: &str) -> u64 {
    proxy.telemetry().await.listeners[0].events.get(event).copied().unwrap_or_default()
}

#[tokio::test]
async fn alpn_settles_the_protocol_and_sessions_are_taken_up_again() {
    let (dir, ca, app) = (TempDir::new().unwrap(), Authority::new(), Backend::start("app").await);
    ca.issue(&["app.test"]).write(dir.path(), "s");
    let tls = downstream(dir.path(), "s", "alpn_protocols: [h2, http/1.1]", "");
    let proxy = Proxy::start(&secured(&tls, &cluster("app", &[app.address], ""))).await;
    for (offer, agreed) in [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&["foo"], None), (&[], None)]
    {
        let trusting = ca.client(None, offer);
        let stream = connect(&trusting, proxy.address, "app.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offer:?}");
        // The same client again: the ticket of the first connection serves, whichever worker takes the second.
        let mut client = secure::client(&trusting, proxy.address, "app.test").await;
        assert_eq!(client.get("/").await.text(), "app");
    }
    assert_eq!(app.seen()[0].header("x-forwarded-proto"), "https");
    assert_eq!(event(&proxy, "ssl.handshake").await, 8);
    assert!(event(&proxy, "ssl.session_reused").await <= 4);
    let reusing = ca.client(None, &[]);
    secure::client(&reusing, proxy.address, "app.test").await.get("/").await;
    let before = event(&proxy, "ssl.session_reused").await;
    secure::client(&reusing, proxy.address, "app.test").await.get("/").await;
    assert_eq!(event(&proxy, "ssl.session_reused").await, before + 1);
    let (_, certs) = proxy.call("GET", "/certs").await;
    assert!(certs.contains("{\"dns\":\"app.test\"}") && certs.contains("s.pem") && !certs.contains("PRIVATE"), "{certs}");
    let (_, metrics) = proxy.call("GET", "/metrics").await;
    let address = proxy.address.to_string().replace(':', "_");
    assert!(metrics.contains(&format!("envoy_listener_ssl_handshake{{envoy_listener_address=\"{address}\"}} 10")), "{metrics}");
    assert!(metrics.contains("envoy_listener_ssl_versions{envoy_ssl_version=\"TLSv1.3\""), "{metrics}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_closed_without_a_word() {
    let (dir, ca, app) = (TempDir::new().unwrap(), Authority::new(), Backend::start("app").await);
    ca.issue(&["app.test"]).write(dir.path(), "s");
    let proxy = Proxy::start(&secured(&downstream(dir.path(), "s", "", ""), &cluster("app", &[app.address], ""))).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // A reset is as good: bytes of ours are unread there.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("closed in time");
    assert_eq!(said, b"");
    eventually("it is counted", || async { event(&proxy, "ssl.connection_error").await == 1 }).await;
    // The other way round: TLS where plain text is spoken.
    let plain = Proxy::start(&config("", ALL, &cluster("app", &[app.address], ""))).await;
    assert!(connect(&ca.client(None, &[]), plain.address, "app.test").await.is_err());
    assert_eq!(app.count(), 0);
}

#[tokio::test]
async fn clients_show_certificates_of_the_right_authority_and_name() {
    let (dir, ca, other, app) = (TempDir::new().unwrap(), Authority::new(), Authority::new(), Backend::start("app").await);
    ca.issue(&["app.test"]).write(dir.path(), "s");
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let validation = format!(
        "validation_context: {{ trusted_ca: {{ filename: {}/ca.pem }}, match_typed_subject_alt_names: [{{ san_type: URI, matcher: {{ prefix: \"spiffe://prod/\" }} }}] }}",
        dir.path().display()
    );
    let tls = downstream(dir.path(), "s", &validation, "require_client_certificate: true");
    let proxy = Proxy::start(&secured(&tls, &cluster("app", &[app.address], ""))).await;
    let good = ca.issue(&["spiffe://prod/a"]);
    assert_eq!(secure::client(&ca.client(Some(&good), &[]), proxy.address, "app.test").await.get("/").await.status, 200);
    for (identity, counter) in [
        (None, "ssl.fail_verify_no_cert"),
        (Some(ca.issue(&["spiffe://test/a"])), "ssl.fail_verify_san"),
        (Some(other.issue(&["spiffe://prod/a"])), "ssl.fail_verify_error"),
    ] {
        // In TLS 1.3 a client hears of its refusal only when it reads.
        if let Ok(mut stream) = connect(&ca.client(identity.as_ref(), &[]), proxy.address, "app.test").await {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(stream.read(&mut [0; 16]).await.is_err(), "{counter}");
        }
        eventually(counter, || async { event(&proxy, counter).await == 1 }).await;
    }
    assert_eq!(app.count(), 1);
}

/// What an authority has revoked is refused on both sides; a list that is out of date says nothing, so that nobody is believed.
#[tokio::test]
async fn revoked_certificates_are_refused() {
    let (dir, ca) = (TempDir::new().unwrap(), Authority::new());
    ca.issue(&["app.test"]).write(dir.path(), "s");
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    std::fs::write(dir.path().join("crl.pem"), ca.revoke(7, 2100)).unwrap();
    std::fs::write(dir.path().join("old.pem"), ca.revoke(7, 2021)).unwrap();
    let validation = |list: &str| {
        let dir = dir.path().display();
        format!(
            "validation_context: {{ trusted_ca: {{ filename: {dir}/ca.pem }}, crl: {{ filename: {dir}/{list}.pem }}, only_verify_leaf_cert_crl: true }}"
        )
    };
    let (good, revoked) = (ca.issue_as(Some(6), &["a.test"]), ca.issue_as(Some(7), &["a.test"]));
    let (sound, bad) =
        (secure::backend("app", ca.server(&good, false, &[])).await, secure::backend("app", ca.server(&revoked, false, &[])).await);
    for (list, identity, app, status) in
        [("crl", &good, &sound, Some(200)), ("crl", &revoked, &sound, None), ("old", &good, &sound, None), ("crl", &good, &bad, Some(503))]
    {
        let tls = downstream(dir.path(), "s", &validation(list), "require_client_certificate: true");
        let upstream = secure::upstream(&validation("crl"), "sni: a.test");
        let proxy = Proxy::start(&secured(&tls, &cluster("app", &[app.address], &upstream))).await;
        let meet = ca.client(Some(identity), &[]);
        match status {
            Some(status) => assert_eq!(secure::client(&meet, proxy.address, "app.test").await.get("/").await.status, status),
            None => {
                // In TLS 1.3 a client hears of its refusal only when it reads.
                if let Ok(mut stream) = connect(&meet, proxy.address, "app.test").await {
                    assert!(stream.read(&mut [0; 16]).await.is_err());
                }
                eventually("it is counted", || async { event(&proxy, "ssl.fail_verify_error").await == 1 }).await;
            }
        }
        if status == Some(503) {
            assert_eq!(proxy.cluster("app").await.events["ssl.fail_verify_error"], 1);
        }
    }
}

#[tokio::test]
async fn logs_tell_the_handshake_and_the_certificate() {
    let (dir, ca, app) = (TempDir::new().unwrap(), Authority::new(), Backend::start("app").await);
    ca.issue(&["app.test"]).write(dir.path(), "s");
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let validation = format!("validation_context: {{ trusted_ca: {{ filename: {}/ca.pem }} }}", dir.path().display());
    let format = "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_PEER_FINGERPRINT_256%\\n";
    let log = format!(
        "          access_log: [{{ name: log, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
            path: {}/log, log_format: {{ text_format_source: {{ inline_string: \"{format}\" }} }} }} }}]",
        dir.path().display()
    );
    let tls = format!("    filter_chains:\n    -\n{}      filters:", downstream(dir.path(), "s", &validation, ""));
    let whole = config(&log, ALL, &cluster("app", &[app.address], ""));
    let proxy = Proxy::start_with(&whole.replacen("    filter_chains:\n    - filters:", &tls, 1), &["--concurrency", "1"]).await;
    let own = ca.issue_as(Some(0x1234), &["spiffe://a/b", "x.test", "y.test"]);
    for identity in [Some(&own), None] {
        secure::client(&ca.client(identity, &[]), proxy.address, "app.test").await.get("/").await;
    }
    let read = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    eventually("the lines are written", || async { read().lines().count() == 2 }).await;
    let text = read();
    let (first, second) = text.trim().split_once('\n').unwrap();
    let (told, fingerprint) = first.rsplit_once(' ').unwrap();
    assert_eq!(told, "TLSv1.3 TLS_AES_256_GCM_SHA384 1234 spiffe://a/b x.test,y.test");
    assert_eq!((fingerprint.len(), fingerprint.chars().all(|c| c.is_ascii_hexdigit())), (64, true), "{fingerprint}");
    assert_eq!(second, "TLSv1.3 TLS_AES_256_GCM_SHA384 - - - -");
}

/// The endpoint's own certificate, over a connection that is used twice; nothing of an endpoint without TLS, or of none.
#[tokio::test]
async fn logs_tell_the_endpoints_certificate() {
    let (dir, ca, plain) = (TempDir::new().unwrap(), Authority::new(), Backend::start("plain").await);
    let own = ca.issue(&["spiffe://a/b", "up.test", "x.test"]);
    let app = secure::backend("app", ca.server(&own, false, &[])).await;
    let format = "%UPSTREAM_PEER_SUBJECT%|%UPSTREAM_PEER_ISSUER%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_PEER_DNS_SAN%|%UPSTREAM_PEER_IP_SAN%|\
        %UPSTREAM_PEER_CERT_V_START%|%UPSTREAM_PEER_CERT_V_END(%Y)%|%DOWNSTREAM_PEER_SUBJECT%|%UPSTREAM_PEER_CERT%\\n";
    let log = format!(
        "          access_log: [{{ name: log, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
            path: {}/log, log_format: {{ text_format_source: {{ inline_string: \"{format}\" }} }} }} }}]",
        dir.path().display()
    );
    let routes = "              - { match: { prefix: /plain }, route: { cluster: plain } }
              - { match: { prefix: /none }, direct_response: { status: 200 } }
              - { match: { prefix: / }, route: { cluster: app } }
";
    let clusters = cluster("app", &[app.address], &secure::upstream("", "sni: up.test")) + &cluster("plain", &[plain.address], "");
    let proxy = Proxy::start_with(&config(&log, routes, &clusters), &["--concurrency", "1"]).await;
    let mut client = Client::h1(proxy.address).await;
    for path in ["/1", "/2", "/plain", "/none"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    let read = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    eventually("the lines are written", || async { read().lines().count() == 4 }).await;
    let text = read();
    let lines: Vec<_> = text.lines().collect();
    let (told, pem) = lines[0].rsplit_once('|').unwrap();
    let name = "CN=rcgen self signed cert";
    assert_eq!(told, format!("{name}|{name}|spiffe://a/b|up.test,x.test|-|1975-01-01T00:00:00.000Z|4096|-"));
    let escapes = [("%0A", "\n"), ("%20", " "), ("%2B", "+"), ("%2F", "/"), ("%3D", "=")];
    assert_eq!(escapes.iter().fold(pem.to_owned(), |pem, (from, to)| pem.replace(from, to)), own.chain.replace("\r\n", "\n"));
    assert_eq!(lines[1..], [lines[0], "-|-|-|-|-|-|-|-|-", "-|-|-|-|-|-|-|-|-"]);
}

#[tokio::test]
async fn filter_chains_are_chosen_by_name_and_transport() {
    let (dir, ca) = (TempDir::new().unwrap(), Authority::new());
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    ca.issue(&["one.test"]).write(dir.path(), "one");
    ca.issue(&["*.two.test"]).write(dir.path(), "two");
    let clusters = cluster("app", &[one.address], "") + &cluster("two", &[two.address], "");
    let whole = config("", ALL, &clusters);
    let (head, tail) = whole.split_once("    - filters:\n").unwrap();
    let (filters, tail) = tail.split_once("  clusters:\n").unwrap();
    let chain = |matching: &str, tls: String, to: &str| {
        format!(
            "    - filter_chain_match: {{ {matching} }}\n{tls}      filters:\n{}",
            filters.replace("cluster: app", &format!("cluster: {to}"))
        )
    };
    let chains = chain("server_names: [one.test]", downstream(dir.path(), "one", "", ""), "app")
        + &chain("server_names: [\"*.two.test\"]", downstream(dir.path(), "two", "", ""), "two")
        + &chain("transport_protocol: raw_buffer", String::new(), "two");
    let head = head.replace("    filter_chains:\n", &format!("{INSPECTOR}    filter_chains:\n"));
    let proxy = Proxy::start(&format!("{head}{chains}  clusters:\n{tail}")).await;
    let trusting = ca.client(None, &[]);
    assert_eq!(secure::client(&trusting, proxy.address, "one.test").await.get("/").await.text(), "one");
    assert_eq!(secure::client(&trusting, proxy.address, "x.two.test").await.get("/").await.text(), "two");
    assert_eq!(Client::h1(proxy.address).await.get("/").await.text(), "two");
    assert!(connect(&trusting, proxy.address, "three.test").await.is_err());
    assert_eq!(event(&proxy, "no_filter_chain_match").await, 1);
}

#[tokio::test]
async fn endpoints_are_met_with_tls_and_their_certificates_are_judged() {
    let (dir, ca, other) = (TempDir::new().unwrap(), Authority::new(), Authority::new());
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let own = ca.issue(&["client.test"]);
    own.write(dir.path(), "c");
    let server = ca.issue(&["up.test"]);
    let path = dir.path().display().to_string();
    let trusted = format!("validation_context: {{ trusted_ca: {{ filename: {path}/ca.pem }} NAMES }}");
    let certificate =
        format!("tls_certificates: [{{ certificate_chain: {{ filename: {path}/c.pem }}, private_key: {{ filename: {path}/c.key }} }}]");
    let up = async |authority: &Authority, alpn: &[&str], clients: bool| {
        let identity = authority.issue(&["up.test"]);
        secure::backend("up", authority.server(&identity, clients, alpn)).await
    };
    let ask = async |backend: &Backend, common: &str, more: &str| {
        let tls = secure::upstream(common, "sni: up.test");
        let proxy = Proxy::start(&config("", ALL, &cluster("app", &[backend.address], &(tls + more)))).await;
        let mut client = Client::h1(proxy.address).await;
        let first = client.get("/").await;
        let second = client.get("/").await;
        assert_eq!(first.status, second.status);
        let events = proxy.cluster("app").await.events;
        (first.status, second.text().to_owned(), events)
    };
    let _ = server;
    let plain = trusted.replace(" NAMES", "");
    let name = |text: &str| {
        trusted.replace("NAMES", &format!(", match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: {text} }} }}]"))
    };
    // Trusted, HTTP/1.1: one connection for both requests.
    let (status, text, events) = ask(&up(&ca, &[], false).await, &plain, "").await;
    assert_eq!((status, text.as_str(), events.get("ssl.handshake")), (200, "up", Some(&1)));
    // HTTP/2 known beforehand, and settled by the handshake either way.
    for (more, alpn, version) in [
        (HTTP2, &["h2"][..], http::Version::HTTP_2),
        (AUTO, &["h2", "http/1.1"], http::Version::HTTP_2),
        (AUTO, &["http/1.1"], http::Version::HTTP_11),
    ] {
        let backend = up(&ca, alpn, false).await;
        assert_eq!(ask(&backend, &plain, more).await.0, 200);
        assert!(backend.seen().iter().all(|s| s.version == version), "{alpn:?}");
        assert_eq!(backend.connections(), 1);
    }
    // Own certificate shown.
    assert_eq!(ask(&up(&ca, &[], true).await, &format!("{plain}, {certificate}"), "").await.0, 200);
    assert_eq!(ask(&up(&ca, &[], true).await, &plain, "").await.0, 503);
    // Names.
    assert_eq!(ask(&up(&ca, &[], false).await, &name("up.test"), "").await.0, 200);
    let (status, text, events) = ask(&up(&ca, &[], false).await, &name("else.test"), "").await;
    assert_eq!((status, events.get("ssl.fail_verify_san")), (503, Some(&2)));
    assert!(text.contains("TLS_error"), "{text}");
    // Not trusted; and without trusted_ca nobody is asked, as in Envoy.
    let (status, _, events) = ask(&up(&other, &[], false).await, &plain, "").await;
    assert_eq!((status, events.get("ssl.fail_verify_error")), (503, Some(&2)));
    assert_eq!(ask(&up(&other, &[], false).await, "", "").await.0, 200);
}

/// Points `dir/..data` at new files in one step, as Kubernetes does.
fn swap(dir: &Path, version: &str, identity: &Identity) {
    let fresh = dir.join(version);
    std::fs::create_dir(&fresh).unwrap();
    identity.write(&fresh, "s");
    std::os::unix::fs::symlink(version, dir.join("..tmp")).unwrap();
    std::fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
}

#[tokio::test]
async fn certificates_change_under_load_and_nothing_is_lost() {
    let (dir, old, new, app) = (TempDir::new().unwrap(), Authority::new(), Authority::new(), Backend::start("app").await);
    swap(dir.path(), "v1", &old.issue(&["app.test"]));
    for file in ["s.pem", "s.key"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), dir.path().join(file)).unwrap();
    }
    let tls = downstream(dir.path(), "s", "alpn_protocols: [h2, http/1.1]", "");
    let proxy = Arc::new(Proxy::start(&secured(&tls, &cluster("app", &[app.address], ""))).await);
    let over = Arc::new(AtomicBool::new(false));
    // Connections that stay, and ones that are made anew all the time by clients that trust both authorities.
    let both = Arc::new([old.client(None, &["h2"]), old.client(None, &[]), new.client(None, &["h2"]), new.client(None, &[])]);
    let mut load = tokio::task::JoinSet::new();
    for nth in 0..4 {
        let (proxy, over, both) = (proxy.clone(), over.clone(), both.clone());
        load.spawn(async move {
            let mut kept = secure::client(&both[nth % 2], proxy.address, "app.test").await;
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(kept.get("/").await.status, 200);
                sent += 1;
                let fresh = match connect(&both[nth % 2], proxy.address, "app.test").await {
                    Ok(stream) => stream,
                    // The other authority's certificate is out by now.
                    Err(_) => connect(&both[2 + nth % 2], proxy.address, "app.test").await.expect("one of both is served"),
                };
                let mut fresh = if nth % 2 == 0 { Client::h2_on(fresh).await } else { Client::h1_on(fresh).await };
                assert_eq!(fresh.get("/").await.status, 200);
                sent += 1;
            }
            sent
        });
    }
    eventually("load is running", || async { app.count() > 50 }).await;
    // Broken: the old one stays, which is told.
    swap(dir.path(), "v2", &Identity { chain: "no certificate".into(), key: "no key".into() });
    eventually("the broken one is refused", || async { proxy.telemetry().await.certificates_refused == 1 }).await;
    assert!(proxy.log().contains("certificates refused, the ones before stay: listener inbound: tls_certificates[0].certificate_chain"));
    assert!(connect(&old.client(None, &[]), proxy.address, "app.test").await.is_ok());
    swap(dir.path(), "v3", &new.issue(&["app.test"]));
    eventually("the new one is served", || async { connect(&new.client(None, &[]), proxy.address, "app.test").await.is_ok() }).await;
    assert_eq!(proxy.telemetry().await.certificates_renewed, 1);
    let seen = app.count();
    eventually("load goes on", || async { app.count() > seen + 50 }).await;
    // A reload of the configuration on top of it.
    proxy.rewrite(&(secured(&tls, &cluster("app", &[app.address], "")) + "\n# anew\n"));
    eventually("the reload is applied", || async { proxy.generation().await == 2 }).await;
    let seen = app.count();
    eventually("load goes on", || async { app.count() > seen + 50 }).await;
    over.store(true, Ordering::Relaxed);
    let mut sent = 0;
    while let Some(done) = load.join_next().await {
        sent += done.unwrap();
    }
    assert_eq!(sent, app.count());
}

fn protocol_options(options: &str) -> String {
    format!(
        "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        {options}
"
    )
}

/// Each request's own host is asked for and has to be in the certificate; connections are shared by requests for the same one only.
#[tokio::test]
async fn requests_bring_the_names_of_their_endpoints() {
    let (dir, ca) = (TempDir::new().unwrap(), Authority::new());
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let app = secure::backend("app", ca.server(&ca.issue(&["one.test", "two.test"]), false, &["h2", "http/1.1"])).await;
    let log = format!(
        "          access_log: [{{ name: log, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
            path: {}/log, log_format: {{ text_format_source: {{ inline_string: \"%UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER%\\n\" }} }} }} }}]",
        dir.path().display()
    );
    let written = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    let mut asked = 0;
    for (spoken, header) in [
        ("explicit_http_config: { http_protocol_options: {} }", ""),
        ("explicit_http_config: { http2_protocol_options: {} }", ""),
        ("auto_config: {}", ", override_auto_sni_header: x-name"),
    ] {
        let before = app.connections();
        let names = format!("upstream_http_protocol_options: {{ auto_sni: true, auto_san_validation: true{header} }}");
        let tls = secure::upstream(
            &format!("validation_context: {{ trusted_ca: {{ filename: {}/ca.pem }} }}", dir.path().display()),
            "sni: wrong.test",
        );
        let whole = config(&log, ALL, &cluster("app", &[app.address], &(tls + &protocol_options(&format!("{spoken}\n        {names}")))));
        let proxy = Proxy::start_with(&whole, &["--concurrency", "1"]).await;
        let mut client = Client::h1(proxy.address).await;
        let mut ask = async |name: &str| {
            let host = if header.is_empty() { name } else { "other.test" };
            let request = http::Request::get("/").header("host", host).header("x-name", name).body(super::client::empty()).unwrap();
            client.send(request).await.unwrap().status
        };
        for (name, status) in
            [("one.test", 200), ("two.test:80", 200), ("one.test", 200), ("two.test", 200), ("three.test", 503), ("one.test", 200)]
        {
            assert_eq!(ask(name).await, status, "{spoken} {name}");
        }
        // One for each name, and one that its certificate did not let come to be (tried once more on the only endpoint, it would be the same).
        let failed = proxy.cluster("app").await.events["ssl.fail_verify_san"] as usize;
        assert_eq!(app.connections() - before, 2 + failed, "{spoken}");
        asked += 6;
        eventually("the lines are written", || async { written().lines().count() == asked }).await;
    }
    let told = |line: &str| written().lines().filter(|l| *l == line).count();
    assert_eq!((told("TLSv1.3 TLS_AES_256_GCM_SHA384"), told("- -")), (15, 3), "{}", written());
}

#[tokio::test]
async fn endpoints_are_spoken_to_as_the_client_speaks() {
    let (dir, ca) = (TempDir::new().unwrap(), Authority::new());
    std::fs::write(dir.path().join("ca.pem"), &ca.pem).unwrap();
    let plain = Backend::start("app").await;
    let secured = secure::backend("app", ca.server(&ca.issue(&["up.test"]), false, &["h2", "http/1.1"])).await;
    let tls =
        secure::upstream(&format!("validation_context: {{ trusted_ca: {{ filename: {}/ca.pem }} }}", dir.path().display()), "sni: up.test");
    for (app, tls) in [(plain, String::new()), (secured, tls)] {
        let options = protocol_options("use_downstream_protocol_config: { http2_protocol_options: {} }");
        let proxy = Proxy::start_with(&config("", ALL, &cluster("app", &[app.address], &(tls + &options))), &["--concurrency", "1"]).await;
        let (mut one, mut two) = (Client::h1(proxy.address).await, Client::h2(proxy.address).await);
        for _ in 0..2 {
            assert_eq!((one.get("/1").await.text(), two.get("/2").await.text()), ("app", "app"));
        }
        let spoken: Vec<_> = app.seen().iter().map(|s| (s.path.clone(), s.version)).collect();
        assert!(spoken.iter().all(|(path, version)| (path == "/2") == (*version == http::Version::HTTP_2)), "{spoken:?}");
        assert_eq!((spoken.len(), app.connections()), (4, 2));
    }
}

//! Configurations of the peers, each as its users would write it for a plain relay with kept connections.

use super::peer::{Peer, Shape};
use std::path::Path;

/// Ports of a set-up.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The proxy.
    pub proxy: u16,
    /// The application.
    pub app: u16,
    /// The shadow.
    pub shadow: u16,
}

/// Text and arguments for a peer; the text is to be written to `file`.
pub fn of(peer: Peer, shape: &Shape, ports: Ports, dir: &Path, file: &Path) -> (String, Vec<String>) {
    let (file, workers) = (file.display().to_string(), shape.workers.to_string());
    let args = |list: &[&str]| list.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
    match peer {
        Peer::Nginx => (nginx(shape, ports, dir), args(&["-c", &file, "-p", &dir.display().to_string()])),
        Peer::Haproxy => (haproxy(shape, ports, dir), args(&["-db", "-f", &file])),
        Peer::Envoy => (envoy(shape, ports, dir), args(&["-c", &file, "--disable-hot-restart", "-l", "error", "--concurrency", &workers])),
        Peer::Foreshadow | Peer::Before => (envoy(shape, ports, dir), args(&["-c", &file, "-l", "error", "--concurrency", &workers])),
    }
}

fn nginx(shape: &Shape, ports: Ports, dir: &Path) -> String {
    let Ports { proxy, app, shadow } = ports;
    let listen = match (shape.tls, shape.http2) {
        (false, false) => "",
        (false, true) => " http2",
        (true, false) => " ssl",
        (true, true) => " ssl http2",
    };
    let dir = dir.display();
    let tls = if shape.tls {
        format!("ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_session_tickets off;")
    } else {
        String::new()
    };
    let mirror = if shape.mirrored { "mirror /shadow;" } else { "" };
    let pass = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;";
    format!(
        "worker_processes {workers}; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream app {{ server 127.0.0.1:{app}; keepalive 1024; keepalive_requests 100000000; }}
  upstream shadow {{ server 127.0.0.1:{shadow}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{proxy}{listen} reuseport; {tls}
    location / {{ {mirror} proxy_pass http://app; {pass} }}
    location = /shadow {{ internal; proxy_pass http://shadow$request_uri; {pass} }}
  }}
}}
",
        workers = shape.workers
    )
}

/// Twice its `maxconn` in open files must be within what the system allows a program, or it does not start.
fn haproxy(shape: &Shape, ports: Ports, dir: &Path) -> String {
    let bind = match (shape.tls, shape.http2) {
        (false, false) => String::new(),
        (false, true) => " proto h2".into(),
        (true, false) => format!(" ssl crt {}/both.pem", dir.display()),
        (true, true) => format!(" ssl crt {}/both.pem alpn h2", dir.display()),
    };
    format!(
        "global
  nbthread {workers}
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{proxy}{bind}
  default_backend app
backend app
  server app 127.0.0.1:{app} pool-max-conn 1024
",
        workers = shape.workers,
        proxy = ports.proxy,
        app = ports.app
    )
}

/// One file for Envoy and for ours.
fn envoy(shape: &Shape, ports: Ports, dir: &Path) -> String {
    let cluster = |name: &str, port: u16| {
        format!(
            "  - {{ name: {name}, circuit_breakers: {{ thresholds: [{{ max_connections: 10000, max_pending_requests: 10000, max_requests: 10000 }}] }}, \
             load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, \
             port_value: {port} }} }} }} }}] }}] }} }}\n"
        )
    };
    let mirror = if shape.mirrored { ", request_mirror_policies: [{ cluster: shadow }]" } else { "" };
    let (dir, alpn) = (dir.display(), if shape.http2 { "h2" } else { "http/1.1" });
    let tls = if shape.tls {
        format!(
            ", transport_socket: {{ name: tls, typed_config: {{ \"@type\": \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{ alpn_protocols: [{alpn}], \
             tls_certificates: [{{ certificate_chain: {{ filename: {dir}/cert.pem }}, private_key: {{ filename: {dir}/key.pem }} }}] }} }} }}"
        )
    } else {
        String::new()
    };
    format!(
        "static_resources:
  listeners:
  - name: inbound
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {proxy} }} }}
    filter_chains:
    - {{ filters: [{{ name: http, typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: inbound, \
         route_config: {{ virtual_hosts: [{{ name: all, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: app{mirror} }} }}] }}] }}, \
         http_filters: [{{ name: router, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}] }} }}]{tls} }}
  clusters:
{}{}",
        cluster("app", ports.app),
        cluster("shadow", ports.shadow),
        proxy = ports.proxy
    )
}

//! Configurations of the sidecar under test: much at once, so that much of it is soaked.

use crate::sidecar::{Ports, inbound};

/// The configuration of a sidecar in front of these applications, with this shadow, in one of several variants.
pub fn config(ports: &Ports, apps: &[u16], shadow: u16, variant: u64) -> String {
    let head = inbound(ports.listener, ports.admin);
    let endpoint =
        |port: &u16| format!("{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}");
    let endpoints: Vec<_> = apps.iter().map(endpoint).collect();
    let (percent, lb) = ([30, 100, 60][variant as usize % 3], ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"][variant as usize % 3]);
    format!(
        "{head}
          use_remote_address: true
          normalize_path: true
          request_headers_timeout: 2s
          stream_idle_timeout: 5s
          access_log:
          - name: log
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {log} }}
          route_config:
            name: soak
            virtual_hosts:
            - name: all
              domains: ['*']
              metadata:
                filter_metadata:
                  foreshadow:
                    mirror: {{ key: {{ header: x-user }}, max_in_flight: 64, max_buffered_bytes: 2000000, timeout: 0.4s, compare_bodies: true, spread: 0.1s }}
              request_mirror_policies:
              - {{ cluster: shadow, runtime_fraction: {{ default_value: {{ numerator: {percent} }}, runtime_key: mirror.shadow }} }}
              retry_policy: {{ retry_on: 'connect-failure,reset,5xx', num_retries: 1 }}
              routes:
              - name: reports
                match: {{ prefix: /reports/ }}
                route: {{ cluster: app, prefix_rewrite: /r{variant}/, timeout: 0.5s }}
              - match: {{ prefix: / }}
                route: {{ cluster: app, timeout: 2s }}
                response_headers_to_add: [{{ header: {{ key: x-variant, value: '{variant} %RESPONSE_CODE%' }} }}]
          http_filters: [{{ name: router, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
  clusters:
  - name: app
    connect_timeout: 0.5s
    lb_policy: {lb}
    load_assignment: {{ cluster_name: app, endpoints: [{{ lb_endpoints: [{}] }}] }}
  - name: shadow
    connect_timeout: 0.5s
    load_assignment: {{ cluster_name: shadow, endpoints: [{{ lb_endpoints: [{}] }}] }}
",
        endpoints.join(", "),
        endpoint(&shadow),
        log = ports.log.display(),
    )
}

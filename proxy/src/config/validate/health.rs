//! Outlier detection and health checks of clusters.

use std::time::Duration;

use http::Method;

use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{HealthCheck, Outlier, Probe, RateRule, Rule};

const OUTLIER: Schema = Schema {
    name: "envoy.config.cluster.v3.OutlierDetection",
    fields: "consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate \
        success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure \
        enforcing_consecutive_gateway_failure split_external_local_origin_errors consecutive_local_origin_failure \
        enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate failure_percentage_threshold \
        enforcing_failure_percentage enforcing_failure_percentage_local_origin failure_percentage_minimum_hosts \
        failure_percentage_request_volume max_ejection_time max_ejection_time_jitter always_eject_one_host",
    unsupported: "successful_active_health_check_uneject_host monitors",
};

const CHECK: Schema = Schema {
    name: "envoy.config.core.v3.HealthCheck",
    fields: "timeout interval interval_jitter unhealthy_threshold healthy_threshold unhealthy_interval http_health_check tcp_health_check \
        grpc_health_check reuse_connection",
    unsupported: "initial_jitter interval_jitter_percent alt_port custom_health_check no_traffic_interval no_traffic_healthy_interval \
        unhealthy_edge_interval healthy_edge_interval event_log_path event_logger event_service always_log_health_check_failures \
        always_log_health_check_success tls_options transport_socket_match_criteria disable_health_check_if_active_traffic",
};

const HTTP: Schema = Schema {
    name: "envoy.config.core.v3.HealthCheck.HttpHealthCheck",
    fields: "host path expected_statuses retriable_statuses codec_client_type method",
    unsupported: "send receive response_buffer_size request_headers_to_add request_headers_to_remove service_name_matcher",
};

const TCP: Schema =
    Schema { name: "envoy.config.core.v3.HealthCheck.TcpHealthCheck", fields: "send receive", unsupported: "proxy_protocol_config" };

const PAYLOAD: Schema = Schema { name: "envoy.config.core.v3.HealthCheck.Payload", fields: "text", unsupported: "binary" };

const GRPC: Schema =
    Schema { name: "envoy.config.core.v3.HealthCheck.GrpcHealthCheck", fields: "service_name authority", unsupported: "initial_metadata" };

const STATUSES: Schema = Schema { name: "envoy.type.v3.Int64Range", fields: "start end", unsupported: "" };

/// Reads `outlier_detection`.
pub fn outlier(value: &Value<'_>) -> Option<Outlier> {
    let fields = value.message(&OUTLIER)?;
    let default = Outlier::default();
    let number = |name: &str, default: u32| fields.get(name).and_then(|v| v.wrapper().integer(0, u32::MAX)).unwrap_or(default);
    let percent = |name: &str, default: u32| fields.get(name).and_then(|v| v.wrapper().integer(0, 100)).unwrap_or(default);
    let time = |name: &str, default: Duration| fields.get(name).and_then(|v| v.positive_duration()).unwrap_or(default);
    let rule = |name: &str, enforcing: &str, default: Rule| Rule {
        most: number(name, default.most).max(1),
        enforcing: percent(enforcing, default.enforcing),
    };
    let base_ejection = time("base_ejection_time", default.base_ejection);
    Some(Outlier {
        consecutive_5xx: rule("consecutive_5xx", "enforcing_consecutive_5xx", default.consecutive_5xx),
        consecutive_gateway: rule("consecutive_gateway_failure", "enforcing_consecutive_gateway_failure", default.consecutive_gateway),
        consecutive_local: rule(
            "consecutive_local_origin_failure",
            "enforcing_consecutive_local_origin_failure",
            default.consecutive_local,
        ),
        split: fields.flag("split_external_local_origin_errors", false),
        interval: time("interval", default.interval),
        base_ejection,
        max_ejection: time("max_ejection_time", default.max_ejection).max(base_ejection),
        jitter: fields.get("max_ejection_time_jitter").and_then(|v| v.duration()).unwrap_or_default(),
        max_percent: percent("max_ejection_percent", default.max_percent),
        always_one: fields.get("always_eject_one_host").and_then(|v| v.wrapper().boolean()).unwrap_or(false),
        success_rate: RateRule {
            enforcing: percent("enforcing_success_rate", 100),
            enforcing_local: percent("enforcing_local_origin_success_rate", 100),
            hosts: number("success_rate_minimum_hosts", default.success_rate.hosts),
            volume: u64::from(number("success_rate_request_volume", 100)),
        },
        stdev_factor: number("success_rate_stdev_factor", default.stdev_factor),
        failure_percentage: RateRule {
            enforcing: percent("enforcing_failure_percentage", 0),
            enforcing_local: percent("enforcing_failure_percentage_local_origin", 0),
            hosts: number("failure_percentage_minimum_hosts", default.failure_percentage.hosts),
            volume: u64::from(number("failure_percentage_request_volume", 50)),
        },
        failure_threshold: percent("failure_percentage_threshold", default.failure_threshold),
    })
}

/// Reads `health_checks`, of which there may be one.
pub fn checks(value: &Value<'_>) -> Option<HealthCheck> {
    let list = value.list();
    if list.len() > 1 {
        value.problem(format!("there are {} health checks", list.len()), "expected one, as in Envoy");
    }
    list.first().and_then(check)
}

fn check(value: &Value<'_>) -> Option<HealthCheck> {
    let fields = value.message(&CHECK)?;
    let needed = |name: &str| fields.need(name).and_then(|v| v.positive_duration());
    let (timeout, interval) = (needed("timeout"), needed("interval"));
    let threshold = |name: &str| fields.need(name).and_then(|v| v.wrapper().integer(0, u32::MAX));
    let (unhealthy, healthy) = (threshold("unhealthy_threshold"), threshold("healthy_threshold"));
    // Every check has a connection of its own, which is what false asks for and true allows.
    fields.get("reuse_connection").map(|v| v.wrapper().boolean());
    let probe = match fields.need_one_of(&["http_health_check", "tcp_health_check", "grpc_health_check"])? {
        ("http_health_check", v) => http(&v),
        ("tcp_health_check", v) => tcp(&v),
        (_, v) => grpc(&v),
    };
    let interval = interval?;
    Some(HealthCheck {
        timeout: timeout?,
        interval,
        jitter: fields.get("interval_jitter").and_then(|v| v.duration()).unwrap_or_default(),
        unhealthy_interval: fields.get("unhealthy_interval").and_then(|v| v.positive_duration()).unwrap_or(interval),
        unhealthy_threshold: unhealthy?.max(1),
        healthy_threshold: healthy?.max(1),
        probe: probe?,
    })
}

fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields.get(name).map_or(Some(String::new()), |v| v.string())
}

fn http(value: &Value<'_>) -> Option<Probe> {
    let fields = value.message(&HTTP)?;
    let path = fields.need("path").and_then(|v| {
        let path = v.name()?;
        let fits = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
        fits.then_some(path).or_else(|| {
            v.problem("not a path", "expected a path such as /healthz");
            None
        })
    });
    let methods = [
        ("METHOD_UNSPECIFIED", 0, Method::GET),
        ("GET", 1, Method::GET),
        ("HEAD", 2, Method::HEAD),
        ("POST", 3, Method::POST),
        ("PUT", 4, Method::PUT),
        ("DELETE", 5, Method::DELETE),
        ("OPTIONS", 7, Method::OPTIONS),
        ("TRACE", 8, Method::TRACE),
        ("PATCH", 9, Method::PATCH),
    ];
    let numbers: Vec<_> = methods.iter().enumerate().map(|(nth, m)| (m.0, m.1, nth)).collect();
    let method = fields.get("method").map_or(Some(0), |v| v.supported_choice(&numbers, &[("CONNECT", 6)]));
    let http2 = fields
        .get("codec_client_type")
        .map_or(Some(false), |v| v.supported_choice(&[("HTTP1", 0, false), ("HTTP2", 1, true)], &[("HTTP3", 2)]));
    Some(Probe::Http {
        host: text(&fields, "host")?,
        path: path?,
        method: methods[method?].2.clone(),
        http2: http2?,
        expected: statuses(&fields, "expected_statuses"),
        retriable: statuses(&fields, "retriable_statuses"),
    })
}

fn statuses(fields: &Fields<'_>, name: &str) -> Vec<(u16, u16)> {
    let range = |value: &Value<'_>| {
        let fields = value.message(&STATUSES)?;
        let end = |name: &str| fields.need(name).and_then(|v| v.integer(100, 600)).and_then(|n| u16::try_from(n).ok());
        let (start, end) = (end("start")?, end("end")?);
        if start >= end {
            value.problem("the range is empty", "expected start below end, which is not part of it");
        }
        Some((start, end))
    };
    fields.list(name).iter().filter_map(range).collect()
}

fn tcp(value: &Value<'_>) -> Option<Probe> {
    let fields = value.message(&TCP)?;
    let send = fields.get("send").map_or(Some(Vec::new()), |v| payload(&v));
    let receive = fields.list("receive");
    Some(Probe::Tcp { send: send?, receive: receive.iter().filter_map(payload).collect() })
}

/// Bytes in hexadecimal digits.
fn payload(value: &Value<'_>) -> Option<Vec<u8>> {
    let text = value.message(&PAYLOAD)?.need("text")?;
    let digits = text.string()?;
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.filter(|b| !b.is_empty()).or_else(|| {
        text.problem("not hexadecimal", "expected pairs of hexadecimal digits, such as 50494e47");
        None
    })
}

fn grpc(value: &Value<'_>) -> Option<Probe> {
    let fields = value.message(&GRPC)?;
    Some(Probe::Grpc { service: text(&fields, "service_name")?, authority: text(&fields, "authority")? })
}

//! Access logs of a connection manager, and the filters that local replies share with them.

use std::path::PathBuf;
use std::sync::Arc;

use super::{format, matching, mirror};
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::{AccessLog, By, Comparison, Filter, Format, LogTarget, RuntimeFraction};
use crate::format::operator::FLAGS;
use crate::nearest::nearest;

const LOG: Schema = Schema { name: "envoy.config.accesslog.v3.AccessLog", fields: "name filter typed_config", unsupported: "" };

const FILE: Schema = Schema {
    name: "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    fields: "path log_format",
    unsupported: "format json_format typed_json_format",
};

const STDOUT: Schema = Schema { name: "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", fields: "log_format", unsupported: "" };

const STDERR: Schema = Schema { name: "envoy.extensions.access_loggers.stream.v3.StderrAccessLog", fields: "log_format", unsupported: "" };

const FILTER: Schema = Schema {
    name: "envoy.config.accesslog.v3.AccessLogFilter",
    fields: "status_code_filter duration_filter not_health_check_filter and_filter or_filter response_flag_filter \
        header_filter grpc_status_filter runtime_filter",
    unsupported: "traceable_filter extension_filter metadata_filter log_type_filter",
};

const COMPARED: Schema = Schema { name: "envoy.config.accesslog.v3.StatusCodeFilter", fields: "comparison", unsupported: "" };

const COMPARISON: Schema = Schema { name: "envoy.config.accesslog.v3.ComparisonFilter", fields: "op value", unsupported: "" };

const NUMBER: Schema = Schema { name: "envoy.config.core.v3.RuntimeUInt32", fields: "default_value runtime_key", unsupported: "" };

const FILTERS: Schema = Schema { name: "envoy.config.accesslog.v3.AndFilter", fields: "filters", unsupported: "" };

const FLAGGED: Schema = Schema { name: "envoy.config.accesslog.v3.ResponseFlagFilter", fields: "flags", unsupported: "" };

const NOTHING: Schema = Schema { name: "envoy.config.accesslog.v3.NotHealthCheckFilter", fields: "", unsupported: "" };

const HEADER: Schema = Schema { name: "envoy.config.accesslog.v3.HeaderFilter", fields: "header", unsupported: "" };

const GRPC: Schema = Schema { name: "envoy.config.accesslog.v3.GrpcStatusFilter", fields: "statuses exclude", unsupported: "" };

const SAMPLED: Schema = Schema {
    name: "envoy.config.accesslog.v3.RuntimeFilter",
    fields: "runtime_key percent_sampled use_independent_randomness",
    unsupported: "",
};

/// gRPC's statuses by Envoy's names.
const STATUSES: [(&str, i64, u32); 17] = [
    ("OK", 0, 0),
    ("CANCELED", 1, 1),
    ("UNKNOWN", 2, 2),
    ("INVALID_ARGUMENT", 3, 3),
    ("DEADLINE_EXCEEDED", 4, 4),
    ("NOT_FOUND", 5, 5),
    ("ALREADY_EXISTS", 6, 6),
    ("PERMISSION_DENIED", 7, 7),
    ("RESOURCE_EXHAUSTED", 8, 8),
    ("FAILED_PRECONDITION", 9, 9),
    ("ABORTED", 10, 10),
    ("OUT_OF_RANGE", 11, 11),
    ("UNIMPLEMENTED", 12, 12),
    ("INTERNAL", 13, 13),
    ("UNAVAILABLE", 14, 14),
    ("DATA_LOSS", 15, 15),
    ("UNAUTHENTICATED", 16, 16),
];

/// Envoy's format when none is given.
const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% \
    %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
    \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// Reads `access_log`.
pub fn logs(values: &[Value<'_>]) -> Vec<Arc<AccessLog>> {
    values.iter().filter_map(log).map(Arc::new).collect()
}

fn log(value: &Value<'_>) -> Option<AccessLog> {
    let fields = value.message(&LOG)?;
    fields.get("name").map(|v| v.string());
    let filter = fields.get("filter").map(|v| filter(&v));
    let config = fields.need("typed_config")?;
    let name = config.type_name()?;
    let (target, format) = match name.as_str() {
        n if n == FILE.name => {
            let file = config.any(&FILE)?;
            (file.need("path").and_then(|v| v.name()).map(target), file.get("log_format"))
        }
        n if n == STDOUT.name => (Some(LogTarget::Stdout), config.any(&STDOUT)?.get("log_format")),
        n if n == STDERR.name => (Some(LogTarget::Stderr), config.any(&STDERR)?.get("log_format")),
        _ => {
            config.wrong_type(&name, &[FILE.name, STDOUT.name, STDERR.name]);
            return None;
        }
    };
    let format = match format {
        Some(v) => format::string(&v)?.0,
        None => Format::Text(format::template(&config, DEFAULT)?, false),
    };
    Some(AccessLog { target: target?, format, filter: filter.map_or(Some(None), |f| f.map(Some))? })
}

fn target(path: String) -> LogTarget {
    match path.as_str() {
        "/dev/stdout" => LogTarget::Stdout,
        "/dev/stderr" => LogTarget::Stderr,
        _ => LogTarget::File(PathBuf::from(path)),
    }
}

/// Reads an `AccessLogFilter`.
pub fn filter(value: &Value<'_>) -> Option<Filter> {
    let fields = value.message(&FILTER)?;
    let kinds = [
        "status_code_filter",
        "duration_filter",
        "not_health_check_filter",
        "and_filter",
        "or_filter",
        "response_flag_filter",
        "header_filter",
        "grpc_status_filter",
        "runtime_filter",
    ];
    match fields.need_one_of(&kinds)? {
        ("status_code_filter", v) => compared(&v).map(Filter::Status),
        ("duration_filter", v) => compared(&v).map(Filter::Duration),
        ("not_health_check_filter", v) => v.message(&NOTHING).map(|_| Filter::NotHealthCheck),
        ("and_filter", v) => several(&v).map(Filter::All),
        ("or_filter", v) => several(&v).map(Filter::Any),
        ("header_filter", v) => v.message(&HEADER)?.need("header").and_then(|v| matching::header(&v)).map(Filter::Header),
        ("grpc_status_filter", v) => grpc(&v),
        ("runtime_filter", v) => sampled(&v),
        (_, v) => flags(&v).map(Filter::Flags),
    }
}

fn compared(value: &Value<'_>) -> Option<Comparison> {
    let fields = value.message(&COMPARED)?.need("comparison")?.message(&COMPARISON)?;
    let by = [("EQ", 0, By::Equal), ("GE", 1, By::AtLeast), ("LE", 2, By::AtMost), ("NE", 3, By::Different)];
    let by = fields.get("op").map_or(Some(By::Equal), |v| v.choice(&by));
    let number = fields.need("value")?.message(&NUMBER)?;
    // The key would change the number at run time; here it names it only.
    number.need("runtime_key").map(|v| v.name());
    let value = number.get("default_value").map_or(Some(0), |v| v.integer(0, u32::MAX));
    Some(Comparison { by: by?, value: value?.into() })
}

fn several(value: &Value<'_>) -> Option<Vec<Filter>> {
    let list = value.message(&FILTERS)?.need("filters")?;
    let values = list.list();
    if values.len() < 2 {
        list.problem("there are fewer than two filters", "expected at least two");
    }
    values.iter().map(filter).collect()
}

fn grpc(value: &Value<'_>) -> Option<Filter> {
    let fields = value.message(&GRPC)?;
    let statuses: Vec<_> = fields.list("statuses").iter().filter_map(|v| v.choice(&STATUSES)).collect();
    Some(Filter::Grpc(statuses, fields.flag("exclude", false)))
}

fn sampled(value: &Value<'_>) -> Option<Filter> {
    let fields = value.message(&SAMPLED)?;
    let key = fields.need("runtime_key").and_then(|v| v.name());
    let default = fields.get("percent_sampled").map_or(Some(0.0), |v| mirror::fraction(&v));
    let independent = fields.flag("use_independent_randomness", false);
    Some(Filter::Sampled(RuntimeFraction { default: default?, key: Some(key?) }, independent))
}

fn flags(value: &Value<'_>) -> Option<Vec<String>> {
    let known = |value: &Value<'_>| {
        let text = value.string()?;
        if FLAGS.iter().any(|f| f.0 == text) {
            return Some(text);
        }
        let right = nearest(&text, FLAGS.iter().map(|f| f.0))
            .map_or("expected a flag such as UH or UT".to_owned(), |n| format!("did you mean {n}?"));
        value.problem(format!("`{text}` is not a response flag"), right);
        None
    };
    value.message(&FLAGGED)?.list("flags").iter().map(known).collect()
}

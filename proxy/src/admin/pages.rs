//! The endpoints themselves.

use super::stats::Wanted;
use super::{PageBody, Shared, state};
use crate::control::{Life, Reload};
use crate::telemetry::prometheus;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::time::Duration;

/// The parameter of `/runtime_modify` that gives the values an end.
const TTL: &str = "foreshadow.ttl_s";

const HELP: &str = "foreshadow-proxy admin
  GET  /ready               200 LIVE when serving
  GET  /stats[?filter=REGEX&invert_filter&usedonly&format=text|json|prometheus]
  GET  /stats/prometheus    the same for Prometheus; alias /metrics
  GET  /telemetry           the machine snapshot for the agent
  GET  /clusters[?format=json] /listeners[?format=json] /certs /server_info /config_dump /runtime
  POST /runtime_modify?KEY=VALUE&...[&foreshadow.ttl_s=SECONDS]
  POST /logging?level=LEVEL /healthcheck/fail /healthcheck/ok /drain_listeners /reload /quitquitquit
";

/// Answers one request.
pub async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<PageBody> {
    let path = request.uri().path().to_owned();
    let changes = matches!(
        path.as_str(),
        "/runtime_modify" | "/logging" | "/healthcheck/fail" | "/healthcheck/ok" | "/drain_listeners" | "/reload" | "/quitquitquit"
    );
    let (method, allowed) = (request.method(), if changes { "POST" } else { "GET, HEAD" });
    if changes != (method == Method::POST) || !(changes || matches!(*method, Method::GET | Method::HEAD)) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, format!("{path}: {allowed} only\n"));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return answer;
    }
    let query = parameters(request.uri().query().unwrap_or_default());
    if changes { change(shared, &path, &query) } else { page(shared, &path, &query).await }
}

async fn page(shared: &Shared, path: &str, query: &[(String, String)]) -> Response<PageBody> {
    let control = &shared.control;
    let as_prometheus = query.iter().any(|q| q.0 == "format" && q.1 == "prometheus");
    let json = query.iter().any(|q| q.0 == "format" && q.1 == "json");
    match path {
        "/" | "/help" => plain(StatusCode::OK, HELP),
        "/ready" => ready(shared),
        "/telemetry" => json_page(&json!(control.snapshot().await)),
        "/stats" if !as_prometheus => match Wanted::read(query) {
            Err(why) => plain(StatusCode::BAD_REQUEST, why),
            Ok(wanted) => match wanted.page(&control.snapshot().await) {
                (text, true) => as_json(text),
                (text, false) => plain(StatusCode::OK, text),
            },
        },
        "/stats" | "/stats/prometheus" | "/metrics" => {
            let (_, applied, refused) = control.reloads();
            let live = *control.life().borrow() == Life::Live;
            plain(StatusCode::OK, prometheus::text(&control.snapshot().await, live, (applied, refused)))
        }
        "/clusters" if json => json_page(&state::cluster_statuses(shared)),
        "/clusters" => plain(StatusCode::OK, state::clusters(shared)),
        "/listeners" if json => json_page(&state::listener_statuses(shared)),
        "/certs" => json_page(&state::certs(shared)),
        "/listeners" => {
            plain(StatusCode::OK, control.bound().iter().map(|(name, address)| format!("{name}::{address}\n")).collect::<String>())
        }
        "/server_info" => json_page(&state::server_info(shared)),
        "/config_dump" => json_page(&state::config_dump(shared)),
        "/runtime" => json_page(&runtime(shared)),
        _ => plain(StatusCode::NOT_FOUND, format!("{path}: no such endpoint\n{HELP}")),
    }
}

fn change(shared: &Shared, path: &str, query: &[(String, String)]) -> Response<PageBody> {
    let control = &shared.control;
    match path {
        "/runtime_modify" => modify(shared, query),
        "/logging" => {
            let Some((_, level)) = query.first() else { return plain(StatusCode::BAD_REQUEST, "usage: /logging?level=LEVEL\n") };
            shared.log.set(level).map_or_else(|e| plain(StatusCode::BAD_REQUEST, e + "\n"), |()| plain(StatusCode::OK, "OK\n"))
        }
        "/healthcheck/fail" | "/healthcheck/ok" => {
            control.set_failed(path.ends_with("fail"));
            plain(StatusCode::OK, "OK\n")
        }
        "/drain_listeners" => {
            control.drain(shared.grace);
            plain(StatusCode::OK, "OK\n")
        }
        "/reload" => match control.reload() {
            Reload::Refused(why) => plain(StatusCode::UNPROCESSABLE_ENTITY, why + "\n"),
            _ => plain(StatusCode::OK, "OK\n"),
        },
        _ => {
            // Full means that it was asked for already.
            let _ = shared.quit.try_send(());
            plain(StatusCode::OK, "OK\n")
        }
    }
}

fn ready(shared: &Shared) -> Response<PageBody> {
    let (refused, ..) = shared.control.reloads();
    let detail = refused.map_or_else(String::new, |why| format!("last reload refused, the configuration before it serves:\n{why}\n"));
    match *shared.control.life().borrow() {
        Life::Live => plain(StatusCode::OK, format!("LIVE\n{detail}")),
        Life::Failed => plain(StatusCode::SERVICE_UNAVAILABLE, format!("FAILED\n{detail}")),
        Life::Draining => plain(StatusCode::SERVICE_UNAVAILABLE, format!("DRAINING\n{detail}")),
    }
}

fn modify(shared: &Shared, query: &[(String, String)]) -> Response<PageBody> {
    let ttl = match query.iter().find(|q| q.0 == TTL).map(|q| q.1.parse::<f64>()) {
        None => None,
        Some(Ok(seconds)) if seconds > 0.0 && seconds <= 86_400.0 => Some(Duration::from_secs_f64(seconds)),
        Some(_) => return plain(StatusCode::BAD_REQUEST, format!("{TTL}: seconds above 0, at most 86400\n")),
    };
    let values: Vec<_> = query.iter().filter(|q| q.0 != TTL).cloned().collect();
    if values.is_empty() {
        return plain(StatusCode::BAD_REQUEST, "usage: /runtime_modify?key1=value1&key2=value2\n");
    }
    let outcome = shared.control.modify(&values, ttl);
    outcome.map_or_else(|e| plain(StatusCode::BAD_REQUEST, e + "\n"), |()| plain(StatusCode::OK, "OK\n"))
}

fn runtime(shared: &Shared) -> Value {
    let entries: serde_json::Map<_, _> = shared
        .control
        .overrides()
        .list()
        .into_iter()
        .map(|(key, (file, set))| {
            let file_text = file.map_or_else(String::new, |f| (f * 100.0).to_string());
            let now = set.as_ref().map_or_else(|| file_text.clone(), |v| v.text.clone());
            let end = set.as_ref().map_or(0, |v| v.end_unix_ms);
            let layers = [file_text, set.map_or_else(String::new, |v| v.text)];
            (key, json!({"final_value": now, "layer_values": layers, "expires_unix_ms": end}))
        })
        .collect();
    json!({"layers": ["file", "admin"], "entries": entries})
}

/// `a=b&c=d`, percent-decoded.
fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
    pairs.map(|(k, v)| (decode(k), decode(v))).collect()
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json_page(value: &Value) -> Response<PageBody> {
    as_json(value.to_string() + "\n")
}

fn as_json(text: String) -> Response<PageBody> {
    let mut answer = plain(StatusCode::OK, text);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A page of text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<PageBody> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let pairs = parameters("mirror.shadow=12.5&a%20b=%7B%22x%22%7D&c");
        assert_eq!(pairs, [("mirror.shadow".into(), "12.5".into()), ("a b".into(), "{\"x\"}".into()), ("c".into(), String::new())]);
        assert_eq!(decode("100%"), "100%");
    }
}

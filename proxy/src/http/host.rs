//! Hosts as a connection manager wants them before routing: without a port, without a dot at the end.

use crate::config::model::HttpManager;
use http::HeaderValue;

/// The host without what the manager says is not to be there; `port` is the listener's.
pub fn normalize(manager: &HttpManager, host: HeaderValue, port: u16) -> HeaderValue {
    if !(manager.strip_any_host_port || manager.strip_matching_host_port || manager.strip_trailing_host_dot) {
        return host;
    }
    let Ok(text) = host.to_str() else { return host };
    let now = normalized(manager, text, port);
    if now == text { host } else { HeaderValue::from_str(&now).unwrap_or(host) }
}

fn normalized(manager: &HttpManager, text: &str, port: u16) -> String {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let (name, given) = match text.rsplit_once(':') {
        Some((name, given)) if digits(given) => (name, Some(given)),
        _ => (text, None),
    };
    let name = if manager.strip_trailing_host_dot { name.strip_suffix('.').unwrap_or(name) } else { name };
    let matches = |given: &str| given.parse() == Ok(port);
    match given {
        Some(given) if !(manager.strip_any_host_port || manager.strip_matching_host_port && matches(given)) => format!("{name}:{given}"),
        _ => name.to_owned(),
    }
}

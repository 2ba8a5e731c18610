//! Autobahn's WebSocket cases through the proxy, to a backend that echoes: framing, fragments, UTF-8, closing.
//!
//! Left out: load (9) and compression (12, 13), which are the two ends' own affair.

use super::{Groups, note, tools};
use crate::error::Error;
use crate::scene::{Scene, scene};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// A route that takes upgrades.
pub(super) fn upgrading() -> Scene {
    scene("websocket").http("upgrade_configs: [{ upgrade_type: websocket }]")
}

/// Runs it.
pub(super) async fn run(tool: &Path, at: SocketAddr, dir: &Path) -> Result<Groups, Error> {
    let (out, address) = (dir.join("websocket"), at.to_string());
    let without = ["-x", "9.*", "-x", "12.*", "-x", "13.*"];
    let arguments: Vec<&str> = ["-p", "4"].into_iter().chain(without).collect();
    let out_text = out.to_string_lossy();
    let said = tools::run(tool, &[&arguments[..], &["-o", &out_text, &address]].concat()).await?;
    let text = std::fs::read(out.join("index.json")).map_err(Error::failed("reading kosoku's report"))?;
    let groups = groups(&text)?;
    if groups.is_empty() {
        return Err(Error::Failed(format!("kosoku ran no test: {}", String::from_utf8_lossy(&said.stderr))));
    }
    Ok(groups)
}

/// Groups of Autobahn's index: `{agent: {"1.1.1": {behavior, behaviorClose}}}`.
fn groups(report: &[u8]) -> Result<Groups, Error> {
    let report: Value = serde_json::from_slice(report).map_err(Error::failed("kosoku's report"))?;
    let mut groups = Groups::new();
    for (case, result) in report.as_object().into_iter().flat_map(|agents| agents.values()).filter_map(Value::as_object).flatten() {
        let well = |field: &str| matches!(result[field].as_str(), Some("OK" | "NON-STRICT" | "INFORMATIONAL"));
        let section = case.split('.').next().unwrap_or_default();
        note(&mut groups, format!("websocket/{section} {}", title(section)), case, !(well("behavior") && well("behaviorClose")));
    }
    Ok(groups)
}

/// Autobahn's own titles.
fn title(section: &str) -> &'static str {
    match section {
        "1" => "Framing",
        "2" => "Pings and pongs",
        "3" => "Reserved bits",
        "4" => "Opcodes",
        "5" => "Fragmentation",
        "6" => "UTF-8",
        "7" => "Closing",
        "10" => "Automatic fragmentation",
        _ => "Others",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Group;
    use super::*;

    #[test]
    fn a_report_is_read_by_section() {
        let report = br#"{"a server": {"1.1.1": {"behavior": "OK", "behaviorClose": "OK"}, "1.1.2": {"behavior": "OK", "behaviorClose": "WRONG CODE"}}}"#;
        assert_eq!(groups(report).unwrap(), [("websocket/1 Framing".to_owned(), Group { tests: 2, failed: vec!["1.1.2".into()] })].into());
    }
}

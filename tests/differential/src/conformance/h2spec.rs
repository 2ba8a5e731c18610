//! h2spec: RFC 9113's predecessor and HPACK, test by test.

use super::{Groups, note, tools};
use crate::error::Error;
use crate::scene::{Scene, scene};
use std::net::SocketAddr;
use std::path::Path;

/// Seconds that the tool waits for what it expects.
const PATIENCE_S: &str = "2";

/// What it asks: one route, a small answer.
pub(super) fn plain() -> Scene {
    scene("HTTP/2")
}

/// Runs it.
pub(super) async fn run(tool: &Path, at: SocketAddr, dir: &Path) -> Result<Groups, Error> {
    let report = dir.join("h2spec.xml");
    let (port, file) = (at.port().to_string(), report.to_string_lossy());
    let said = tools::run(tool, &["-h", "127.0.0.1", "-p", &port, "-o", PATIENCE_S, "-j", &file]).await?;
    let text = std::fs::read(&report).map_err(Error::failed("reading h2spec's report"))?;
    let groups = groups(&String::from_utf8_lossy(&text));
    if groups.is_empty() {
        return Err(Error::Failed(format!("h2spec ran no test: {}", String::from_utf8_lossy(&said.stderr))));
    }
    Ok(groups)
}

/// Groups of a JUnit report: `<testsuite name=".." package="http2/6.1" ..><testcase classname="..">` with a `<failure>` in those that fail.
fn groups(report: &str) -> Groups {
    let mut groups = Groups::new();
    for suite in report.split("<testsuite ").skip(1) {
        let name = format!("{} {}", field(suite, "package"), field(suite, "name"));
        for case in suite.split("<testcase ").skip(1) {
            let failed = case.contains("<failure") || case.contains("<error");
            note(&mut groups, name.clone(), &field(case, "classname"), failed);
        }
    }
    groups
}

fn field(element: &str, name: &str) -> String {
    let tag = element.split('>').next().unwrap_or_default();
    tag.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Group;
    use super::*;

    #[test]
    fn a_report_is_read_by_group() {
        let report = "<testsuites><testsuite name=\"6.1. DATA\" package=\"http2/6.1\" tests=\"2\" failures=\"1\">\n\
            <testcase package=\"http2/6.1\" classname=\"Sends one\" time=\"0.1\"></testcase>\n\
            <testcase package=\"http2/6.1\" classname=\"Sends two\" time=\"0.1\"><failure>no</failure></testcase></testsuite>\n\
            <testsuite name=\"6. Frames\" package=\"http2/6\" tests=\"0\" failures=\"0\"></testsuite></testsuites>";
        assert_eq!(groups(report), [("http2/6.1 6.1. DATA".to_owned(), Group { tests: 2, failed: vec!["Sends two".into()] })].into());
    }
}

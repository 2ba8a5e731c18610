//! HTTP/1.1 answers under REDbot, which asks for a resource in several ways (conditionally, by ranges, compressed) and judges what comes.
//!
//! A note of it is a test, one that warns or complains is a failure. Much of that is the backend's doing, the same behind both proxies.

use super::{Groups, note, tools};
use crate::error::Error;
use crate::scene::{Act, Reply, Role, Scene, reply, scene};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// Answers of the backend and of the proxy itself.
pub(super) fn scenes() -> Vec<Scene> {
    let own = |name, action: &str| scene(name).routes(&format!("{{ match: {{ prefix: / }}, {action} }}"));
    let text = "content-type: text/plain; charset=utf-8\r\ncache-control: max-age=60\r\netag: \"a\"\r\n";
    let raw = |rest: &str| Reply::raw(&format!("HTTP/1.1 200 OK\r\n{text}{rest}"));
    vec![
        scene("with a length").answers([reply(200).header("content-type", "text/plain; charset=utf-8").header("etag", "\"a\"")]),
        scene("in chunks").answers([raw("transfer-encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n")]),
        scene("until the connection ends").answers([raw("\r\nhello\n").then(Act::Close)]),
        scene("compressed").answers([raw("vary: accept-encoding\r\ncontent-length: 6\r\n\r\nhello\n")]),
        scene("hop-by-hop").answers([raw("connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 6\r\n\r\nhello\n")]),
        scene("not modified").answers([Reply::raw("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n")]),
        scene("nobody there").absent(Role::App),
        own("a direct answer", "direct_response: { status: 200, body: { inline_string: hello } }"),
        own("a redirect", "redirect: { path_redirect: /new }"),
        scene("no route").routes("{ match: { prefix: /nowhere }, route: { cluster: $app } }"),
    ]
}

/// Runs it.
pub(super) async fn run(tool: &Path, name: &str, at: SocketAddr) -> Result<Groups, Error> {
    let said = tools::run(tool, &["-o", "har", &format!("http://{at}/")]).await?;
    let group = format!("http/1.1 {name}");
    let groups = groups(&said.stdout, &group)?;
    if groups.is_empty() {
        return Err(Error::Failed(format!("{group}: REDbot says nothing: {}", String::from_utf8_lossy(&said.stderr))));
    }
    Ok(groups)
}

/// The notes of a HAR: `log.entries[]._red_messages[] {note_id, subject, level}`.
fn groups(har: &[u8], group: &str) -> Result<Groups, Error> {
    let har: Value = serde_json::from_slice(har).map_err(Error::failed("REDbot's report"))?;
    let mut groups = Groups::new();
    for said in har["log"]["entries"].as_array().into_iter().flatten().flat_map(|e| e["_red_messages"].as_array().into_iter().flatten()) {
        let text = |field: &str| said[field].as_str().unwrap_or_default();
        note(&mut groups, group.to_owned(), &format!("{} {}", text("note_id"), text("subject")), matches!(text("level"), "WARN" | "BAD"));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::super::Group;
    use super::*;

    #[test]
    fn notes_that_warn_are_failures() {
        let har = br#"{"log": {"entries": [{"_red_messages": [{"note_id": "A", "subject": "field-x", "level": "GOOD"},
            {"note_id": "B", "subject": "field-y", "level": "BAD"}]}]}}"#;
        assert_eq!(groups(har, "g").unwrap(), [("g".to_owned(), Group { tests: 2, failed: vec!["B field-y".into()] })].into());
    }
}

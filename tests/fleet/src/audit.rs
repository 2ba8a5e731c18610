//! Who asked the API server for what, from its audit log.
//!
//! A watch counts when it begins, everything else when it is answered; so does what is refused.

use foreshadow_loadtests::demo::error::Error;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Requests by who asked, then by what for.
pub type Asked = BTreeMap<String, BTreeMap<String, u64>>;

/// A stretch of the log.
pub struct Audit {
    log: PathBuf,
    from: u64,
}

impl Audit {
    /// Begins at the log's present end.
    pub fn begin(log: &Path) -> Result<Self, Error> {
        let length = std::fs::metadata(log).map_err(|e| Error::failed("audit log", e))?.len();
        Ok(Self { log: log.to_owned(), from: length })
    }

    /// What was asked since.
    pub fn end(self) -> Result<Asked, Error> {
        let mut file = File::open(&self.log).map_err(|e| Error::failed("audit log", e))?;
        file.seek(SeekFrom::Start(self.from)).map_err(|e| Error::failed("audit log", e))?;
        let mut asked = Asked::new();
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            // The first and the last line may be cut.
            if let Some((who, what)) = serde_json::from_str::<Value>(&line).ok().as_ref().and_then(event) {
                *asked.entry(who).or_default().entry(what).or_default() += 1;
            }
        }
        Ok(asked)
    }
}

/// Who and what of an event that counts.
fn event(event: &Value) -> Option<(String, String)> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let verb = text("/verb")?;
    let counts = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if text("/stage")? != counts {
        return None;
    }
    let user = text("/user/username")?;
    let who = user.rsplit(':').next().unwrap_or(user).to_owned();
    let resource = text("/objectRef/resource").unwrap_or("(other)");
    let what = match text("/objectRef/subresource") {
        Some(part) => format!("{verb} {resource}/{part}"),
        None => format!("{verb} {resource}"),
    };
    Some((who, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn requests_are_counted_once_and_by_who_asked() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let line = |stage: &str, verb: &str, user: &str| {
            format!(r#"{{"stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"leases"}}}}"#)
        };
        writeln!(log, "{}", line("ResponseComplete", "get", "before")).unwrap();
        let audit = Audit::begin(log.path()).unwrap();
        for text in [
            line("ResponseComplete", "update", "system:serviceaccount:foreshadow:foreshadow-node"),
            line("ResponseStarted", "watch", "kwok"),
            line("ResponseComplete", "watch", "kwok"),
            "{\"cut".into(),
        ] {
            writeln!(log, "{text}").unwrap();
        }
        let asked = audit.end().unwrap();
        assert_eq!(asked.keys().collect::<Vec<_>>(), ["foreshadow-node", "kwok"]);
        assert_eq!((asked["foreshadow-node"]["update leases"], asked["kwok"]["watch leases"]), (1, 1));
    }
}

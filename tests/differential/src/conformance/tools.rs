//! The conformance tools: where they are, and one way to run them.

use crate::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// A tool that has not ended by then hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// Where they are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// HTTP/2.
    pub h2spec: PathBuf,
    /// WebSocket: drives Autobahn's cases.
    pub kosoku: PathBuf,
    /// HTTP/1.1 messages.
    pub redbot: PathBuf,
}

impl Tools {
    /// Finds them at `$H2SPEC_BIN`, `$KOSOKU_BIN` and `$REDBOT_BIN`, or on PATH.
    ///
    /// # Errors
    /// When one is not there; how it installs.
    pub fn find() -> Result<Self, Error> {
        Ok(Self {
            h2spec: find("h2spec", "go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible")?,
            kosoku: find("kosoku", "pip install kosoku==0.1.0")?,
            redbot: find("redbot", "pip install redbot==2.7.1")?,
        })
    }
}

fn find(name: &'static str, install: &'static str) -> Result<PathBuf, Error> {
    let variable = format!("{}_BIN", name.to_uppercase());
    let given = std::env::var_os(&variable).map(PathBuf::from).filter(|p| p.is_file());
    let on_path = || std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file());
    given.or_else(on_path).ok_or(Error::NoTool { name, variable, install })
}

/// Runs a tool to its end.
pub(super) async fn run(tool: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let name = tool.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(ENDS_WITHIN, command.output()).await;
    ended.map_err(|_| Error::Failed(format!("{name} does not end")))?.map_err(Error::failed(&name))
}

//! Builds what the demo starts, and finds it.
//!
//! Called first. Promises: the programs started are those beside the demo's own; nothing is built when the demo was not started by cargo.
//! Not here: what they do.

use crate::demo::error::Error;
use crate::demo::ui::Phase;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The programs that the demo starts.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

/// Names of the programs needed.
const NEEDED: [&str; 4] = ["foreshadow-proxy", "foreshadow-agent", "foreshadow-app", "foreshadow-load"];
/// Lines of the compiler shown when a build fails.
const SHOWN: usize = 60;

impl Binaries {
    /// Those beside this program, built first when cargo started us.
    pub async fn prepare(phase: &Phase) -> Result<Self, Error> {
        let exe = std::env::current_exe().map_err(|e| Error::failed("finding this program", e))?;
        let dir = exe.parent().map(Path::to_path_buf).unwrap_or_default();
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(&cargo, profile(&dir), phase).await?;
        }
        let missing: Vec<_> = NEEDED.into_iter().filter(|n| !dir.join(n).is_file()).collect();
        if missing.is_empty() {
            return Ok(Self::beside(&dir));
        }
        let (missing, dir) = (missing.join(", "), dir.display());
        Err(Error::Failed(format!("{missing} not found in {dir}; start the demo with `cargo demo`, which builds them")))
    }

    /// Those in a directory, as they are.
    pub fn beside(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// Where the page goes when nobody says: beside the profile's directory, or here when that cannot be written to.
    pub fn page(&self) -> PathBuf {
        const NAME: &str = "foreshadow-demo.html";
        let target = self.dir.parent().map(|d| d.join(NAME));
        let writable = |file: &PathBuf| std::fs::OpenOptions::new().append(true).create(true).open(file).is_ok();
        target.filter(writable).unwrap_or_else(|| NAME.into())
    }

    /// Path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// cargo's profile that this program was built with, from its directory's name.
fn profile(dir: &Path) -> String {
    match dir.file_name().and_then(|n| n.to_str()) {
        Some("debug") | None => "dev".into(),
        Some(name) => name.into(),
    }
}

async fn build(cargo: &OsString, profile: String, phase: &Phase) -> Result<(), Error> {
    let mut command = Command::new(cargo);
    // Of the whole workspace, as the aliases that start us are: another selection would build the dependencies again, with other features.
    command.args(["build", "--profile", &profile, "--workspace", "--color", "never"]);
    command.args(NEEDED.into_iter().flat_map(|name| ["--bin", name]));
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.arg("--manifest-path").arg(Path::new(&manifest).join("Cargo.toml"));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Error::failed("starting cargo", e))?;
    let mut said = VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            phase.say(line.trim());
            said.push_back(line);
            if said.len() > SHOWN {
                said.pop_front();
            }
        }
    }
    let status = child.wait().await.map_err(|e| Error::failed("waiting for cargo", e))?;
    if status.success() {
        return Ok(());
    }
    let said: Vec<_> = said.into();
    Err(Error::Failed(format!("the build failed ({status}):\n{}", said.join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_follows_from_the_directory() {
        assert_eq!(profile(Path::new("/x/target/debug")), "dev");
        assert_eq!(profile(Path::new("/x/target/release")), "release");
        assert_eq!(profile(Path::new("/x/target/dist")), "dist");
    }
}

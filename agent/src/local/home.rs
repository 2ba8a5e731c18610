//! The state directory: who owns it and what stands where.
//!
//! | path | what |
//! |---|---|
//! | `orchestrator.json` | where the running orchestrator is found ([`Locator`]) |
//! | `orchestrator.lock` | locked while an orchestrator lives |
//! | `orchestrator.log` | its own log |
//! | `spec.json` | what it was started from |
//! | `run/` | generated configuration; removed at the end |
//! | `logs/` | the instances' output; bounded in size and number |

use super::api::Locator;
use super::files;
use super::spec::fnv1a;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A state directory that is ours.
#[derive(Debug)]
pub struct Home {
    /// Absolute path.
    pub dir: PathBuf,
    /// The kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

/// Why it is not.
#[derive(Debug)]
pub enum ClaimError {
    /// Another orchestrator has it.
    Busy,
    /// It cannot be used.
    Io(io::Error),
}

impl From<io::Error> for ClaimError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl Home {
    /// Makes the directory and takes it.
    pub fn claim(dir: &Path) -> Result<Self, ClaimError> {
        files::private_dir(dir)?;
        let dir = dir.canonicalize()?;
        let lock = files::open_log(&dir.join("orchestrator.lock"))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(ClaimError::Busy),
            Err(TryLockError::Error(e)) => return Err(e.into()),
            Ok(()) => {}
        }
        let home = Self { dir, _lock: lock };
        match std::fs::remove_dir_all(home.run()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        files::private_dir(&home.run())?;
        files::private_dir(&home.logs())?;
        Ok(home)
    }

    /// Generated configuration.
    pub fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The instances' output.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// What all runs in this directory have in common: beginning of their marks.
    pub fn family(&self) -> String {
        format!("{:016x}-", fnv1a(self.dir.as_os_str().as_encoded_bytes()))
    }

    /// Tells others where the orchestrator is. The token stands in it, so it is for the owner only.
    pub fn announce(&self, locator: &Locator) -> io::Result<()> {
        let text = serde_json::to_string(locator).map_err(io::Error::other)?;
        files::replace(&locator_file(&self.dir), &text, 0o600)
    }

    /// Removes what has no meaning after the end.
    pub fn leave(&self) {
        let _ = std::fs::remove_file(locator_file(&self.dir));
        let _ = std::fs::remove_dir_all(self.run());
    }
}

/// Where the locator stands.
pub fn locator_file(dir: &Path) -> PathBuf {
    dir.join("orchestrator.json")
}

/// Where the orchestrator's own log stands.
pub fn log_file(dir: &Path) -> PathBuf {
    dir.join("orchestrator.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::claim(&dir.path().join("state")).unwrap();
        std::fs::write(home.run().join("old.yaml"), "").unwrap();
        assert!(matches!(Home::claim(&home.dir), Err(ClaimError::Busy)));
        let path = home.dir.clone();
        drop(home);
        let home = Home::claim(&path).unwrap();
        assert_eq!(std::fs::read_dir(home.run()).unwrap().count(), 0, "nothing of an earlier run counts");
        assert_eq!(home.family().len(), 17);
    }
}

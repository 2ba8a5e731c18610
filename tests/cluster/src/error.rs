//! What can go wrong with a test cluster, in words that say what to do.

use std::path::{Path, PathBuf};

/// An error of the test cluster; never one of the product.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not there and could not be built.
    #[error("{what}: {reason}")]
    Missing {
        /// What is missing.
        what: String,
        /// Why, and how to get it.
        reason: String,
    },
    /// A program ended or did not become ready.
    #[error("{name} {what}; the end of {}:\n{tail}", log.display())]
    Program {
        /// Its name.
        name: String,
        /// What it did.
        what: String,
        /// Where its output is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Reading or writing a file, starting a program.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("certificates: {0}")]
    Pki(#[from] rcgen::Error),
    /// A kubeconfig could not be read.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The cluster answered with an error.
    #[error("cluster: {0}")]
    Kube(Box<kube::Error>),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Names what was tried when the system refuses it.
pub trait Tried<T> {
    /// `what` reads as in "cannot write /tmp/x".
    fn tried(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Tried<T> for std::io::Result<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

/// Writes a whole file, its directories too.
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, text)).tried(|| format!("cannot write {}", path.display()))
}

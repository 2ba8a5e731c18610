//! Why a demo ended without its result, and the exit code that says so.

use crate::entry::Fatal;

/// Errors of the demo.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or a file named by it cannot be honoured.
    #[error("{0}")]
    Usage(String),
    /// Something that was started did not do what it should.
    #[error("{0}")]
    Failed(String),
    /// A person or the system asked to stop.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Wraps any error with what was being done.
    pub fn failed(doing: &str, e: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{doing}: {e}"))
    }
}

impl Fatal for Error {
    /// 64 usage, 70 internal, 130 stopped.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Failed(_) => 70,
            Self::Stopped => 130,
        }
    }
}

//! Why `foreshadow-proxy init` did not do what it was told. Made by its parts, turned into an exit code by [`crate::app`].

/// Why the rules were not set.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Options that contradict each other.
    #[error("{0}")]
    Usage(String),
    /// No tool, or the tool failed.
    #[error("{0}")]
    Tool(String),
}

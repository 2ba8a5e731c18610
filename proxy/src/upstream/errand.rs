//! What a request asks of its cluster besides being sent.

use super::patience::Limits;

/// Terms of one request.
#[derive(Debug, Clone, Copy)]
pub struct Errand {
    /// Bounds in time.
    pub limits: Limits,
    /// The name of the chosen endpoint becomes the request's host.
    pub auto_host: bool,
}

impl From<Limits> for Errand {
    fn from(limits: Limits) -> Self {
        Self { limits, auto_host: false }
    }
}

//! HTTP's small parts: bodies of answers, headers, what a client is believed, local replies.

pub mod body;
pub mod forwarded;
pub mod headers;
pub mod host;
pub mod numbers;
pub mod path;
pub mod raw;
pub mod reply;

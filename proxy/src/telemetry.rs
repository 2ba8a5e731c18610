//! What the proxy tells about itself: logs and metrics. Numbers are made by [`crate::stats`] and gathered by [`crate::control`].

pub mod log;
pub mod names;
pub mod prometheus;

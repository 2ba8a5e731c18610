//! HTTP details that are nobody's policy: header operations, the body of an answer.

pub mod body;
pub mod headers;

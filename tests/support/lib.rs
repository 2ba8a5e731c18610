//! Support of the end-to-end suite: builds the product's programs once, starts them on loopback, ends them whatever happens.

pub mod code;
pub mod embedded;
pub mod http;
pub mod programs;

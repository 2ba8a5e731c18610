//! The end-to-end suite: one binary, so that it links once.

mod architecture;
mod embedded;
mod soak;

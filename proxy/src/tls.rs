//! TLS by rustls: from settings to something that can shake hands, made on the main thread and shared by the workers without a lock.
//!
//! Read, top down: [`contexts`] holds the contexts of a configuration and makes them anew when a file changes; [`server`] and [`client`] are the
//! two kinds; [`material`] reads certificates and keys; [`verify`] judges the other side's certificate; [`identity`] chooses our own.
//! Promises: a context is whole or not made at all; modern versions and suites only; what a file said last and rightly stays in force when
//! it breaks. Not here: sockets and their deadlines (`crate::worker::greet`, `crate::upstream::connect`).

pub mod client;
pub mod contexts;
pub mod counts;
pub mod facts;
pub mod identity;
pub mod material;
pub mod server;
pub mod verify;

/// Why a context cannot be made: which setting, and what is wrong with it, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct TlsError {
    /// Path below `common_tls_context`, such as `tls_certificates[0].private_key`; empty for the whole.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl TlsError {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, why: impl ToString) -> Self {
        Self { field: field.into(), why: why.to_string() }
    }
}

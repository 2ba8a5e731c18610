//! Which endpoints are well: passively, by what becomes of requests ([`outlier`]), and actively, by asking them ([`active`]).
//!
//! Findings are the whole process's: workers count in [`host::HostHealth`], which they share, and tell [`keeper`] on the main thread when a count is
//! full; it alone decides and marks. Clusters without health settings have none of this.

pub mod active;
pub mod host;
pub mod keeper;
pub mod outlier;
pub mod probe;
pub mod registry;

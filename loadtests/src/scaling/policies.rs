//! The scalers that are compared. Each implements [`crate::sim::Policy`] and is made for one scenario and one setting.

pub mod cluster;
pub mod fixed;
pub mod foreshadow;
pub mod holt_winters;
pub mod hpa;
pub mod keda;
pub mod observing;
pub mod oracle;
pub mod phpa;

pub use fixed::Fixed;
pub use foreshadow::Foreshadow;
pub use hpa::CpuHpa;
pub use keda::Keda;
pub use observing::Observing;
pub use oracle::Oracle;
pub use phpa::Phpa;

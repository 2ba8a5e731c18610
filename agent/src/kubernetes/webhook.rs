//! The injection webhook: the API server asks for every pod that is made where injection was asked for; the answer is the same patch that
//! `foreshadow-agent inject` would make.
//!
//! Promises: answers from memory (Services, namespaces and ShadowScalers are watched), so in milliseconds; whatever goes wrong, the pod is let
//! in as it is, with a warning; certificates are its own and rotate without a restart.

pub mod certificates;
pub mod registration;
pub mod review;
pub mod serve;
pub mod surroundings;

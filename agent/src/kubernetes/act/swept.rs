//! What became of one change of ours whose time was over. Said by `expire` and `sizes`, told by whoever sweeps.

use super::carrier::Outcome;
use super::refusal::Refusal;

/// What a sweep did to one object.
#[derive(Debug)]
pub struct Swept {
    /// Its namespace.
    pub namespace: String,
    /// `Kind/name`.
    pub title: String,
    /// `namespace/name` of the ShadowScaler that it was marked for.
    pub scaler: String,
    /// What was done, or why not.
    pub outcome: Result<Outcome, Refusal>,
}

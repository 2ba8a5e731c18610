//! The decision core: what one replica can take, when production will reach that, and what to ask for.
//!
//! Pure: no IO, no clock, no global state, no randomness that is not seeded by the settings. The same settings and the same
//! samples give the same decisions, to the bit; `foreshadow-agent replay` and the simulator rely on it.
//!
//! Called by the agent's control loop (one [`Brain`] per workload, one [`Brain::tick`] per interval), by `replay`, by the simulator.
//! Not here: how samples are collected, how a plan is carried out, how anything is stored or shown.

pub mod alarms;
pub mod brain;
pub mod capacity;
pub mod copies;
pub mod decision;
pub mod features;
pub mod latency;
pub mod load;
pub mod math;
pub mod optimize;
pub mod plan;
pub mod portfolio;
pub mod sample;
pub mod series;
pub mod settings;
pub mod startup;
pub mod svm;
pub mod verdict;

pub use brain::Brain;
pub use decision::Decision;
pub use sample::Sample;
pub use settings::Settings;

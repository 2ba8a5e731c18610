//! Load and what stands under it: a sample application with a real bottleneck, an open-loop generator, load traces, the reactive scaler
//! that Foreshadow is compared with; the demo that puts all of it together, and its report; a simulator, and the comparison of scalers in it.
//!
//! Used by the programs in `src/bin` and by tests. Modules do not import each other except as listed here: nothing imports `app` but the demo;
//! `generator` and `hpa` import nothing of this crate; `trace` gives the generator its rate curve; `report` imports nothing; `sim` imports nothing
//! of this crate but its own; `scaling` puts policies, `hpa` among them, into `sim`; `decisions` times the decision core on samples of `sim`; `demo`, `stall`, `soak` and `peers` drive real
//! processes; `entry` is how their programs begin and end, and imports nothing.

pub mod app;
pub mod cpu;
pub mod decisions;
pub mod demo;
pub mod entry;
pub mod generator;
pub mod hpa;
pub mod peers;
pub mod report;
pub mod scaling;
pub mod sidecar;
pub mod sim;
pub mod soak;
pub mod stall;
pub mod trace;

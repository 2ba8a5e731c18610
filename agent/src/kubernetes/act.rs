//! Acting on the cluster: the floor under whatever scales a workload, in-place resizes, changes of the template.
//!
//! Decisions are pure (`floor`, `scaler`, `resize`, `template`), the calls stand in files of their own (`carrier`, ...). Promises, for every
//! axis: what would be touched and who owns it is known before; nothing is forced (`write_back` says where a spec asks for more); what we change is marked with its time to live and
//! what stood there before, and is put back when it is over (`expire`), whoever wrote it; every refusal has an answer (`refusal`).

pub mod axis;
pub mod carrier;
pub mod expire;
pub mod floor;
pub mod mark;
pub mod measured;
pub mod moves;
pub mod owners;
pub mod refusal;
pub mod resize;
pub mod scaler;
pub mod sizes;
pub mod swept;
pub mod template;
pub mod write_back;

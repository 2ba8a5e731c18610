//! Load traces: files of counts over time, or of one row a request, made into a rate curve to replay.
//!
//! Called by `foreshadow-load --trace` and by the demo. Promises: a file is either read whole or refused with its name, its line and what was
//! expected; buckets that the file skips are interpolated and counted, never silently invented; the same seed picks the same excerpt.
//! Not here: drawing arrivals from a rate ([`crate::generator`]).

mod excerpt;
mod read;
mod series;
mod time;

pub use excerpt::{Excerpt, Scale, Wish, excerpt};
pub use read::{TraceError, built_in, read_bytes, read_file};
pub use series::Series;

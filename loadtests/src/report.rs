//! What a demo run is told as: the document (JSON), a table for the terminal, one self-contained page.
//!
//! Called by the demo at its end. Promises: pure functions of the document; the page loads nothing from anywhere. Not here: judgement, processes.

pub mod chart;
pub mod document;
pub mod figures;
pub mod page;
pub mod table;
pub mod words;

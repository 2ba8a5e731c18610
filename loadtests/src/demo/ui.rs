//! What a person sees while the demo runs: one bar a phase on a terminal, plain lines elsewhere.
//!
//! Called by every phase. Promises: writes to standard error only, so that standard output holds the result. Not here: the result.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The screen.
#[derive(Debug)]
pub struct Ui {
    bars: MultiProgress,
    terminal: bool,
}

/// One phase; finished when dropped.
#[derive(Debug)]
pub struct Phase {
    bar: ProgressBar,
    name: String,
    terminal: bool,
}

impl Ui {
    /// For standard error as it is.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), terminal }
    }

    /// Begins a phase of unknown length.
    pub fn phase(&self, name: &str) -> Phase {
        let style = "{prefix:>22} {spinner} {elapsed:>4} {wide_msg}";
        self.begin(name, ProgressBar::new_spinner(), style)
    }

    /// Begins a phase of this many seconds.
    pub fn timed(&self, name: &str, seconds: u64) -> Phase {
        let style = "{prefix:>22} [{bar:24}] {pos:>3}/{len} s {wide_msg}";
        self.begin(name, ProgressBar::new(seconds), style)
    }

    fn begin(&self, name: &str, bar: ProgressBar, style: &str) -> Phase {
        let bar = self.bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        if !self.terminal {
            eprintln!("[demo] {name}");
        }
        Phase { bar, name: name.into(), terminal: self.terminal }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        if self.terminal {
            let _ = self.bars.println(text);
        } else {
            eprintln!("[demo] {text}");
        }
    }
}

impl Default for Ui {
    fn default() -> Self {
        Self::new()
    }
}

impl Phase {
    /// What is going on now; shown on a terminal only.
    pub fn say(&self, text: &str) {
        self.bar.set_message(text.to_string());
    }

    /// How far it is, in seconds.
    pub fn at(&self, seconds: u64) {
        self.bar.set_position(seconds);
    }

    /// Ends the phase with a last word.
    pub fn done(self, text: &str) {
        self.bar.finish_with_message(text.to_string());
        if !self.terminal {
            eprintln!("[demo] {}: {text}", self.name);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.abandon();
        }
    }
}

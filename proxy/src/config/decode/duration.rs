//! Durations as fields: protobuf's text form or its message form, bounded so that they can be added to any instant.

use std::time::Duration;

use super::message::Schema;
use super::{Value, scalar};
use crate::config::raw::Kind;

const DURATION: Schema = Schema { name: "google.protobuf.Duration", fields: "seconds nanos", unsupported: "" };

/// Longest duration taken: ten years.
const LONGEST: Duration = Duration::from_secs(315_360_000);

impl Value<'_> {
    /// A duration such as `0.25s`, or `{seconds: .., nanos: ..}`; zero allowed.
    pub fn duration(&self) -> Option<Duration> {
        let right = "expected a duration in seconds with the letter s, such as 0.25s";
        match &self.node.kind {
            Kind::Plain(text) | Kind::Quoted(text) => match scalar::duration(text) {
                Ok(duration) => self.bounded(duration),
                Err(Some(seconds)) => self.wrong(format!("{right}; did you mean {seconds}?")),
                Err(None) => self.wrong(right),
            },
            Kind::Map(_) => {
                let fields = self.message(&DURATION)?;
                let part = |name: &str, high| fields.get(name).map_or(Some(0), |v| v.integer(0, high));
                self.bounded(Duration::new(part("seconds", u32::MAX)?.into(), part("nanos", 999_999_999)?))
            }
            _ => self.wrong(right),
        }
    }

    /// A duration above zero.
    pub fn positive_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            return self.wrong("expected a duration above zero");
        }
        Some(duration)
    }

    fn bounded(&self, duration: Duration) -> Option<Duration> {
        if duration > LONGEST {
            return self.wrong(format!("expected at most {}s (ten years)", LONGEST.as_secs()));
        }
        Some(duration)
    }
}

//! Moments in texts: `START_TIME` with the conversions of strftime and Envoy's `%3f`, `%6f`, `%9f`, `%s`; always in UTC.

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use std::time::SystemTime;

/// Envoy's default, such as `2026-01-02T03:04:05.678Z`.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

/// A checked format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(String);

impl TimeFormat {
    /// Checks a format; an empty one is the default.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let it = Self(text.to_owned());
        it.formatted(SystemTime::UNIX_EPOCH).map(|_| it)
    }

    /// A moment in this format.
    pub fn text(&self, moment: SystemTime) -> String {
        self.formatted(moment).unwrap_or_default()
    }

    fn formatted(&self, moment: SystemTime) -> Result<String, String> {
        let moment = Timestamp::try_from(moment).map_err(|e| e.to_string())?;
        BrokenDownTime::from(moment).to_string(&self.0).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_577_555_252_856);
        let text = |format: &str| TimeFormat::new(format).unwrap().text(moment);
        assert_eq!(text(""), "2026-11-25T03:32:35.252Z");
        assert_eq!(text("%Y/%m/%dT%H:%M:%S%z %s %3f %6f %9f"), "2026/11/25T03:32:35+0000 1795577555 252 252856 252856000");
        assert_eq!(text("%% %b %e"), "% Nov 25");
        assert!(TimeFormat::new("%").is_err());
    }
}

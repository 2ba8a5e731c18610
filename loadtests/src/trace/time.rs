//! Moments as they stand in trace files. Called by the reader. Pure.

use jiff::civil;
use jiff::{Timestamp, tz::TimeZone};

/// A moment in seconds: since the Unix epoch for dates and Unix times (in s, ms, us or ns, told apart by their size), as it stands for an
/// index. Dates without a zone are taken as UTC: only differences matter. None when it is no moment.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then(|| seconds(number));
    }
    let seconds = |t: Timestamp| t.as_nanosecond() as f64 / 1e9;
    if let Ok(t) = text.parse::<Timestamp>() {
        return Some(seconds(t));
    }
    let utc = |d: civil::DateTime| TimeZone::UTC.to_timestamp(d).ok().map(seconds);
    if let Ok(date_time) = text.parse::<civil::DateTime>() {
        return utc(date_time);
    }
    text.parse::<civil::Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0)))
}

/// Unix times of this century have 10 digits in seconds, 13 in ms, 16 in us, 19 in ns.
fn seconds(number: f64) -> f64 {
    match number.abs() {
        n if n >= 1e17 => number / 1e9,
        n if n >= 1e14 => number / 1e6,
        n if n >= 1e11 => number / 1e3,
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_the_same_moment() {
        for text in
            ["1700158623", "1700158623000", "1700158623000000", "1700158623000000000", "2023-11-16 18:17:03", "2023-11-16T18:17:03Z"]
        {
            assert_eq!(parse(text), Some(1_700_158_623.0), "{text}");
        }
        assert_eq!(parse("2023-11-16T19:17:03+01:00"), Some(1_700_158_623.0));
        assert_eq!(parse("2023-11-16 18:17"), Some(1_700_158_620.0));
        assert_eq!(parse("2023-11-16"), Some(1_700_092_800.0));
        assert!((parse("2023-11-16 18:17:03.9799600").unwrap() - 1_700_158_623.979_96).abs() < 1e-6);
        assert_eq!(parse(" 17 "), Some(17.0));
        for text in ["", "period", "16/11/2023", "nan", "12:30"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

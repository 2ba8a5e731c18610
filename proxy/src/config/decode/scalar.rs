//! Plain scalars as Envoy's YAML reader sees them, and protobuf's durations. Pure functions on text, used by `decode`.

use std::time::Duration;

/// Largest integer that Envoy keeps as a number (2^53); beyond it the scalar stays a string.
const EXACT: i64 = 1 << 53;

/// Truth values of YAML 1.1: y, yes, on, true and their opposites, in lower, Capitalised or UPPER letters.
pub fn yaml_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let capitalised = text.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && text[1..] == lower[1..];
    if !(text == lower || capitalised || text == text.to_ascii_uppercase()) {
        return None;
    }
    match lower.as_str() {
        "y" | "yes" | "on" | "true" => Some(true),
        "n" | "no" | "off" | "false" => Some(false),
        _ => None,
    }
}

/// Integers as C reads them: decimal, `0x` hex, leading-zero octal, with a sign.
pub fn yaml_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i64::from_str_radix(digits, base).ok()?;
    (number <= EXACT).then_some(if negative { -number } else { number })
}

/// True for numbers like `010`, which mean 8 to one reader and 10 to another.
pub fn looks_octal(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

/// A decimal integer, also written with a fraction or an exponent that comes out whole (`1e3`, `5.0`).
pub fn decimal_int(text: &str) -> Option<i64> {
    if looks_octal(text) {
        return None;
    }
    let number = decimal(text)?;
    (number.fract() == 0.0 && number.abs() <= EXACT as f64).then_some(number as i64)
}

/// An integer in quotes: decimal or `0x` hex.
pub fn quoted_int(text: &str) -> Option<i64> {
    if text.starts_with("0x") { yaml_int(text) } else { decimal_int(text) }
}

/// A finite decimal number.
pub fn decimal(text: &str) -> Option<f64> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    if !numeric || text.is_empty() {
        return None;
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite())
}

/// Protobuf's duration: digits, an optional fraction of up to nine digits, `s`.
///
/// # Errors
/// `Some(text)` = what was probably meant; `None` = no idea.
pub fn duration(text: &str) -> Result<Duration, Option<String>> {
    parse_seconds(text).ok_or_else(|| meant(text))
}

fn parse_seconds(text: &str) -> Option<Duration> {
    let body = text.strip_suffix('s')?;
    let (whole, fraction) = match body.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (body, ""),
    };
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: u64 = whole.parse().ok().filter(|s| *s <= 315_576_000_000)?;
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanos))
}

/// `250ms` -> `0.25s`, `5m` -> `300s`, `5` -> `5s`, `.5s` -> `0.5s`.
fn meant(text: &str) -> Option<String> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" | "sec" => 1.0,
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * factor;
    Some(format!("{}s", (seconds * 1e9).round() / 1e9))
}

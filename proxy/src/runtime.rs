//! Run-time values: what `POST /runtime_modify` set, each with an optional end, over the file's layers.
//!
//! Written by the admin endpoints on the main thread; workers get a shared copy whenever it changes. After its end a value counts as removed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most keys that may be set at run time.
const MAX_KEYS: usize = 1024;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// As it was given.
    pub text: String,
    /// As a fraction of requests, 1.0 = all.
    pub fraction: f64,
    /// When it ends.
    pub end: Option<Instant>,
    /// The same, milliseconds since the Unix epoch; 0 = never.
    pub end_unix_ms: u64,
}

/// All values set, by key.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    file: BTreeMap<String, f64>,
    set: BTreeMap<String, Value>,
}

impl Overrides {
    /// Takes the file's layers (percent); what was set at run time stays.
    pub fn load(&mut self, layers: &[(String, f64)]) {
        self.file = layers.iter().map(|(k, percent)| (k.clone(), (percent / 100.0).max(0.0))).collect();
    }

    /// Sets a key, or removes it when `text` is empty.
    ///
    /// # Errors
    /// What is wrong with the value, in words.
    pub fn modify(&mut self, key: &str, text: &str, ttl: Option<Duration>) -> Result<(), String> {
        self.set.retain(|_, v| v.end.is_none_or(|end| end > Instant::now()));
        if text.is_empty() {
            self.set.remove(key);
            return Ok(());
        }
        if self.set.len() >= MAX_KEYS && !self.set.contains_key(key) {
            return Err(format!("{MAX_KEYS} keys are set already"));
        }
        let fraction = parse(text).ok_or_else(|| {
            format!("{key}: '{text}' is neither a percentage such as 12.5 nor {{\"numerator\": 1, \"denominator\": \"TEN_THOUSAND\"}}")
        })?;
        let end_unix_ms = ttl.map_or(0, |t| (SystemTime::now() + t).duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64));
        self.set.insert(key.to_owned(), Value { text: text.to_owned(), fraction, end: ttl.map(|t| Instant::now() + t), end_unix_ms });
        Ok(())
    }

    /// Value now set for a key, if it has not ended.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.set.get(key).filter(|v| v.end.is_none_or(|end| end > Instant::now()))
    }

    /// Fraction for a key with its end; the file's layer when nothing is set.
    pub fn fraction(&self, key: &str) -> Option<(f64, Option<Instant>)> {
        let set = self.get(key).map(|v| (v.fraction, v.end));
        set.or_else(|| self.file.get(key).map(|f| (*f, None)))
    }

    /// Keys with the file's value and the one set at run time.
    pub fn list(&self) -> BTreeMap<String, (Option<f64>, Option<Value>)> {
        let keys = self.file.keys().chain(self.set.keys());
        keys.map(|k| (k.clone(), (self.file.get(k).copied(), self.get(k).cloned()))).collect()
    }
}

/// A percentage, or a FractionalPercent in JSON.
fn parse(text: &str) -> Option<f64> {
    if let Ok(percent) = text.parse::<f64>() {
        return (percent.is_finite() && (0.0..=1e6).contains(&percent)).then_some(percent / 100.0);
    }
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let numerator = json.get("numerator")?.as_f64()?;
    let denominator = match json.get("denominator").and_then(|d| d.as_str()).unwrap_or("HUNDRED") {
        "HUNDRED" => 1e2,
        "TEN_THOUSAND" => 1e4,
        "MILLION" => 1e6,
        _ => return None,
    };
    (numerator >= 0.0).then_some(numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_fractional_percents() {
        assert_eq!((parse("12.5"), parse("250"), parse("-1"), parse("x")), (Some(0.125), Some(2.5), None, None));
        assert_eq!(parse(r#"{"numerator": 5, "denominator": "MILLION"}"#), Some(5e-6));
    }

    #[test]
    fn a_value_with_an_end_falls_back_to_the_file() {
        let mut values = Overrides::default();
        values.load(&[("k".into(), 10.0)]);
        values.modify("k", "50", Some(Duration::ZERO)).unwrap();
        assert_eq!(values.fraction("k"), Some((0.1, None)));
        values.modify("k", "50", None).unwrap();
        assert_eq!(values.fraction("k"), Some((0.5, None)));
        values.modify("k", "", None).unwrap();
        assert_eq!(values.fraction("k"), Some((0.1, None)));
    }
}

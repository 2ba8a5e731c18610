//! YAML as people write it for Kubernetes: several documents in one text, read as JSON values and written back.
//!
//! Documents are cut apart as text, so that one that is not changed keeps its comments and its form.

use serde_json::Value;

/// One document: its text, and what it says (`None`: nothing but comments).
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Text without the line of dashes before it.
    pub text: String,
    /// First line in the whole text, from 1.
    pub line: usize,
    /// Content.
    pub value: Option<Value>,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document at line {line}: {why}")]
pub struct Unreadable {
    /// First line of the document, from 1.
    pub line: usize,
    /// The parser's words.
    pub why: String,
}

/// Reads all documents of a text.
pub fn read(text: &str) -> Result<Vec<Document>, Unreadable> {
    cut(text)
        .into_iter()
        .map(|(line, text)| {
            let empty = text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
            let value = if empty {
                None
            } else {
                let value: Value = serde_saphyr::from_str(&text).map_err(|e| Unreadable { line, why: e.to_string() })?;
                Some(value).filter(|v| !v.is_null())
            };
            Ok(Document { text, line, value })
        })
        .collect()
}

/// Cuts at lines that begin with `---`; those with `...` end a document, too.
fn cut(text: &str) -> Vec<(usize, String)> {
    let (mut all, mut now, mut begun) = (Vec::new(), String::new(), 1);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        let marks = bare == "---" || bare.starts_with("--- ") || bare == "...";
        if !marks {
            now.push_str(line);
            continue;
        }
        if !now.trim().is_empty() {
            all.push((begun, std::mem::take(&mut now)));
        }
        now.clear();
        begun = index + 2;
        // `--- # comment` or `--- {a: b}`: what follows the dashes belongs to the document.
        if let Some(rest) = bare.strip_prefix("--- ") {
            now = format!("{rest}\n");
            begun = index + 1;
        }
    }
    if !now.trim().is_empty() {
        all.push((begun, now));
    }
    all
}

/// Writes a value, block style.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, false, &mut text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Writes `value` after a key or a dash (`inline`: on the line that has begun).
fn block(value: &Value, indent: usize, inline: bool, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 || !inline {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                nested(value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 || !inline {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str("- ");
                match item {
                    Value::Object(fields) if !fields.is_empty() => block(item, indent + 2, true, text),
                    Value::Array(items) if !items.is_empty() => block(item, indent + 2, true, text),
                    other => leaf(other, indent + 2, text),
                }
            }
        }
        other => leaf(other, indent, text),
    }
}

fn nested(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, indent + 2, false, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, indent, false, text);
        }
        other => {
            text.push(' ');
            leaf(other, indent + 2, text);
        }
    }
}

/// A value without parts, and the end of its line.
fn leaf(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(string) if is_block(string) => {
            // The keeping of the last line ends is said by the indicator.
            let keep = if string.ends_with("\n\n") {
                "+"
            } else if string.ends_with('\n') {
                ""
            } else {
                "-"
            };
            text.push_str(&format!("|{keep}\n"));
            for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
                if !line.is_empty() {
                    text.push_str(&" ".repeat(indent));
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        Value::String(string) => {
            text.push_str(&scalar(string));
            text.push('\n');
        }
        other => {
            text.push_str(&other.to_string());
            text.push('\n');
        }
    }
}

/// Whether a string is written as a block: several lines, nothing that a block cannot hold.
fn is_block(text: &str) -> bool {
    let first = text.split('\n').next().unwrap_or("");
    text.contains('\n')
        && !text.trim_matches('\n').is_empty()
        && !first.is_empty()
        && !first.starts_with([' ', '\t'])
        && text.split('\n').all(|l| !l.ends_with([' ', '\t']))
        && text.chars().all(|c| c == '\n' || (!c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')))
}

/// A string without quotes where every reader, also of YAML 1.1, takes it for the same string; else a JSON string, which is YAML.
fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { Value::from(text).to_string() }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "nan", "inf"];
    let inner =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '$' | '(' | ')' | '+' | '=' | '@' | ' ' | ',' | ':');
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '$' | '_');
    text.starts_with(first)
        && !text.ends_with([' ', ':'])
        && text.chars().all(inner)
        && !text.contains(": ")
        && !text.contains(" #")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn documents_keep_their_text() {
        let text = "# head\na: 1 # one\n---\n# only a comment\n--- # named\nb: [2]\n...\n---\nc: |\n  --- not a mark\n";
        let all = read(text).unwrap();
        assert_eq!(all.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 4, 5, 9]);
        assert_eq!(all[0].text, "# head\na: 1 # one\n");
        let values: Vec<_> = all.into_iter().map(|d| d.value).collect();
        assert_eq!(values, [Some(json!({"a": 1})), None, Some(json!({"b": [2]})), Some(json!({"c": "--- not a mark\n"}))]);
    }

    #[test]
    fn what_other_readers_would_take_for_something_else_is_quoted() {
        let value = json!({"a": "yes", "b": "1e3", "c": "0o7", "d": "null", "e": "2024-01-01", "f": "a: b", "g": "", "h": "*x", "on": "plain text", "i": "12:30"});
        let text = write(&value);
        for line in
            ["a: \"yes\"", "b: \"1e3\"", "d: \"null\"", "e: \"2024-01-01\"", "f: \"a: b\"", "g: \"\"", "\"on\": plain text", "i: \"12:30\""]
        {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn several_lines_are_a_block() {
        let value = json!({"args": ["--config-yaml", "a:\n  b: 1\n"], "x": "no end\nhere", "empty": {}, "list": []});
        let text = write(&value);
        assert!(text.contains("- |\n  a:\n    b: 1\n") && text.contains("x: |-\n  no end\n  here\n"), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\n\t]{0,12}".prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,8}", inner, 0..4).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let text = write(&value);
            let back: Value = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(back, value, "{}", text);
        }
    }
}

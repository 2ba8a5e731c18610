//! Small steps through a pod's JSON that make what is missing and never panic.

use serde_json::{Map, Value};
use std::sync::LazyLock;

static NULL: Value = Value::Null;
static NOTHING: LazyLock<Vec<Value>> = LazyLock::new(Vec::new);

/// The pod's annotation.
pub fn annotation<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("annotations")?.get(name)?.as_str().map(str::trim)
}

/// The pod's label.
pub fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// A list of the pod's spec; nothing when it is not there.
pub fn list<'a>(pod: &'a Value, name: &str) -> &'a Vec<Value> {
    pod.get("spec").and_then(|s| s.get(name)).and_then(Value::as_array).unwrap_or(&NOTHING)
}

/// A field's value, null when it is not there.
pub fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&NULL)
}

/// The object at a field; made when it is not there or is null.
pub fn entry<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let slot = &mut value[name];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot
}

/// The same; reads better for a pod's top level.
pub fn at<'a>(pod: &'a mut Value, name: &str) -> &'a mut Value {
    entry(pod, name)
}

/// The list at a field of the pod's spec; made when it is not there.
pub fn list_mut<'a>(pod: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let slot = &mut entry(pod, "spec")[name];
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(items) => items,
        _ => unreachable!("made an array above"),
    }
}

/// A port number.
pub fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}

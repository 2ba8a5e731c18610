//! The CustomResourceDefinition: the schema of the types, and what only the API server needs.

use super::ShadowScaler;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

/// The CustomResourceDefinition, as manifests/ ships it.
pub fn definition() -> CustomResourceDefinition {
    let mut crd = ShadowScaler::crd();
    let mut labels = crd.metadata.labels.take().unwrap_or_default();
    labels.insert("app.kubernetes.io/name".into(), "foreshadow".into());
    labels.insert("app.kubernetes.io/part-of".into(), "foreshadow".into());
    crd.metadata.labels = Some(labels);
    for version in &mut crd.spec.versions {
        let Some(schema) = &mut version.schema else { continue };
        let Ok(mut tree) = serde_json::to_value(&*schema) else { continue };
        walk(&mut tree, &drop_unknown_format);
        walk(&mut tree, &say_fractions);
        tree["openAPIV3Schema"]["x-kubernetes-validations"] = name_rule();
        if let Ok(plain) = serde_json::from_value(tree) {
            *schema = plain;
        }
    }
    crd
}

/// Objects are named after a ShadowScaler, and their names have a limit.
fn name_rule() -> Value {
    json!([{
        "rule": "size(self.metadata.name) <= 52",
        "message": "metadata.name has more than 52 characters: objects are named after it, give a shorter one",
    }])
}

/// Does something to every object in a tree.
fn walk(tree: &mut Value, change: &dyn Fn(&mut serde_json::Map<String, Value>)) {
    match tree {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| walk(value, change));
            change(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        _ => {}
    }
}

/// Takes away formats that are Rust's and not OpenAPI's: the API server warns of each. The ranges beside them stay.
fn drop_unknown_format(fields: &mut serde_json::Map<String, Value>) {
    if fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
        fields.remove("format");
    }
}

/// The API server cuts fractions off when it tells a bound ("less than or equal to 0" for 0.9999). The bound becomes the whole number
/// beyond it, and a rule of ours says the fraction.
fn say_fractions(fields: &mut serde_json::Map<String, Value>) {
    say_fraction(fields, "minimum", f64::floor, (">=", "at least"));
    say_fraction(fields, "maximum", f64::ceil, ("<=", "at most"));
}

fn say_fraction(fields: &mut serde_json::Map<String, Value>, bound: &str, beyond: fn(f64) -> f64, (sign, words): (&str, &str)) {
    let Some(value) = fields.get(bound).and_then(Value::as_f64).filter(|v| v.fract() != 0.0) else { return };
    fields.insert(bound.into(), json!(beyond(value)));
    let rule = json!({ "rule": format!("self {sign} {value}"), "message": format!("must be {words} {value}") });
    if let Some(rules) = fields.entry("x-kubernetes-validations").or_insert(json!([])).as_array_mut() {
        rules.push(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_has_defaults_rules_and_no_rust_formats() {
        let text = serde_json::to_string(&definition()).unwrap();
        assert!(!text.contains("uint32"), "the API server warns of formats that it does not know");
        let tree: Value = serde_json::from_str(&text).unwrap();
        let spec = tree.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        assert_eq!(spec.pointer("/properties/mode/default"), Some(&json!("Observe")));
        assert_eq!(spec.pointer("/properties/bounds/default"), Some(&json!({"minReplicas": 1, "maxReplicas": 10})));
        assert!(spec.pointer("/properties/targetRef/x-kubernetes-validations").is_some());
        assert_eq!(tree.pointer("/spec/versions/0/subresources/status"), Some(&json!({})));
    }

    #[test]
    fn a_bound_with_a_fraction_is_told_to_the_digit() {
        let tree = serde_json::to_value(definition()).unwrap();
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/objective/properties/targetRatio";
        let ratio = tree.pointer(path).unwrap();
        assert_eq!((ratio["minimum"].as_f64(), ratio["maximum"].as_f64()), (Some(0.0), Some(1.0)));
        assert_eq!(
            ratio["x-kubernetes-validations"],
            json!([{ "rule": "self >= 0.5", "message": "must be at least 0.5" }, { "rule": "self <= 0.9999", "message": "must be at most 0.9999" }])
        );
    }
}

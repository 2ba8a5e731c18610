//! `layered_runtime`: static layers flattened to `a.b.c` keys. Numbers are kept as written, fractional percents in percent.

use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::raw::Kind;
use crate::config::validate::mirror;

const LAYERED: Schema = Schema { name: "envoy.config.bootstrap.v3.LayeredRuntime", fields: "layers", unsupported: "" };

const LAYER: Schema = Schema {
    name: "envoy.config.bootstrap.v3.RuntimeLayer",
    fields: "name static_layer admin_layer",
    unsupported: "disk_layer rtds_layer",
};

const ADMIN_LAYER: Schema = Schema { name: "envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer", fields: "", unsupported: "" };

/// All static values, later layers last.
pub fn layers(value: &Value<'_>) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    let Some(fields) = value.message(&LAYERED) else { return values };
    let mut names: Vec<String> = Vec::new();
    let mut admin_layers = 0;
    for layer in fields.list("layers") {
        let Some(fields) = layer.message(&LAYER) else { continue };
        if let Some(name) = fields.need("name").and_then(|v| v.name()) {
            if names.contains(&name) {
                layer.problem(format!("a layer named `{name}` stands before this one"), "expected names that are unique");
            }
            names.push(name);
        }
        match fields.need_one_of(&["static_layer", "admin_layer"]) {
            Some(("static_layer", tree)) => flatten(&tree, "", &mut values),
            Some((_, admin)) => {
                admin.message(&ADMIN_LAYER);
                admin_layers += 1;
                if admin_layers > 1 {
                    admin.problem("an admin layer stands before this one", "expected at most one");
                }
            }
            None => {}
        }
    }
    values
}

fn flatten(tree: &Value<'_>, prefix: &str, values: &mut Vec<(String, f64)>) {
    for (name, value) in tree.entries() {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if key.starts_with("envoy.reloadable_features") || key.starts_with("envoy.restart_features") {
            value.problem("Envoy's own feature flags are not supported", "remove it, or keep it in files for Envoy only");
            continue;
        }
        match &value.node().kind {
            Kind::Map(entries) if entries.iter().any(|e| matches!(&*e.key, "numerator" | "denominator")) => {
                values.extend(mirror::fraction(&value).map(|fraction| (key, fraction * 100.0)));
            }
            Kind::Map(_) => flatten(&value, &key, values),
            _ => values.extend(value.number().map(|number| (key, number))),
        }
    }
}

const DOUBLE: Schema = Schema { name: "envoy.config.core.v3.RuntimeDouble", fields: "default_value runtime_key", unsupported: "" };

/// A `RuntimeDouble`: its default; the key is checked, and nothing can be set by it yet.
pub fn double(value: &Value<'_>) -> Option<f64> {
    let fields = value.message(&DOUBLE)?;
    fields.need("runtime_key").map(|v| v.name());
    fields.need("default_value")?.number()
}

const PERCENT: Schema = Schema { name: "envoy.type.v3.Percent", fields: "value", unsupported: "" };

/// A `Percent`, 0 to 100.
pub fn percent(value: &Value<'_>) -> Option<f64> {
    let Some(number) = value.message(&PERCENT)?.get("value") else { return Some(0.0) };
    let found = number.number()?;
    if !(0.0..=100.0).contains(&found) {
        number.problem(format!("{found} is no percentage"), "expected 0 to 100");
        return None;
    }
    Some(found)
}

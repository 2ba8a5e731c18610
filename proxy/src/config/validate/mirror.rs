//! Mirror policies: Envoy's `request_mirror_policies` at every level, combined with Foreshadow's settings.
//!
//! The most specific list that is not empty wins whole; the list of the chosen cluster overrides all.

use std::sync::Arc;

use super::clusters::Names;
use super::headers;
use super::limits::Settings;
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::{MirrorLimits, MirrorPolicy};

const POLICY: Schema = Schema {
    name: "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
    fields: "cluster cluster_header runtime_fraction trace_sampled disable_shadow_host_suffix_append request_headers_mutations \
        host_rewrite_literal",
    unsupported: "",
};

const RUNTIME_FRACTION: Schema =
    Schema { name: "envoy.config.core.v3.RuntimeFractionalPercent", fields: "default_value runtime_key", unsupported: "" };

const FRACTION: Schema = Schema { name: "envoy.type.v3.FractionalPercent", fields: "numerator denominator", unsupported: "" };

const METADATA: Schema = Schema { name: "envoy.config.core.v3.Metadata", fields: "filter_metadata", unsupported: "typed_filter_metadata" };

/// What stands at one level of a route table, everything above included.
#[derive(Clone, Default)]
pub struct Level {
    drafts: Vec<MirrorPolicy>,
    settings: Settings,
    /// The policies in force. Levels that change nothing share them with the level above, and with them their bounds.
    pub ready: Vec<Arc<MirrorPolicy>>,
}

impl Level {
    /// The level below this one, with its own list and settings.
    pub fn below(&self, own: Vec<MirrorPolicy>, settings: Option<Settings>) -> Self {
        if own.is_empty() && settings.is_none() {
            return self.clone();
        }
        let drafts = if own.is_empty() { self.drafts.clone() } else { own };
        let settings = settings.map_or_else(|| self.settings.clone(), |own| own.over(&self.settings));
        let ready = drafts.iter().map(|draft| Arc::new(settings.apply(draft.clone()))).collect();
        Self { drafts, settings, ready }
    }
}

/// Reads a list of policies; `place` names them when they have no runtime key.
pub fn policies(value: &Value<'_>, names: &Names, place: &str) -> Vec<MirrorPolicy> {
    value.list().iter().filter_map(|v| policy(v, names, place)).collect()
}

fn policy(value: &Value<'_>, names: &Names, place: &str) -> Option<MirrorPolicy> {
    let fields = value.message(&POLICY)?;
    // There are no traces here: what would be sampled of them makes no difference.
    fields.get("trace_sampled").map(|v| v.wrapper().boolean());
    let target = fields.need_one_of(&["cluster", "cluster_header"]);
    let (fraction, runtime_key) = fields.get("runtime_fraction").map_or((Some(1.0), None), |v| runtime_fraction(&v));
    let rewrite = fields.get("host_rewrite_literal");
    let host_rewrite = rewrite.and_then(|v| v.name().and_then(|text| headers::header_value(&v, &text)));
    let request_headers = headers::mutations(&fields.list("request_headers_mutations"));
    let keep_host = fields.flag("disable_shadow_host_suffix_append", false);
    let (kind, target) = target?;
    let (cluster, cluster_header) = match kind {
        "cluster" => (Some(names.resolve(&target)?), None),
        _ => (None, Some(headers::header_name(&target)?)),
    };
    let name = runtime_key.clone().unwrap_or_else(|| format!("{place}/{}", target.string().unwrap_or_default()));
    Some(MirrorPolicy {
        name,
        cluster,
        cluster_header,
        fraction: fraction?,
        runtime_key,
        keep_host,
        host_rewrite,
        request_headers,
        limits: MirrorLimits::default(),
    })
}

/// A `RuntimeFractionalPercent`: its default as a fraction of 1, and its key.
pub fn runtime_fraction(value: &Value<'_>) -> (Option<f64>, Option<String>) {
    let Some(fields) = value.message(&RUNTIME_FRACTION) else { return (None, None) };
    let key = fields.get("runtime_key").and_then(|v| v.string()).filter(|key| !key.is_empty());
    (fields.need("default_value").and_then(|v| fraction(&v)), key)
}

/// A `FractionalPercent` as a fraction of 1; a numerator above the denominator means always.
pub fn fraction(value: &Value<'_>) -> Option<f64> {
    let fields = value.message(&FRACTION)?;
    let numerator = fields.get("numerator").map_or(Some(0), |v| v.integer(0, u32::MAX));
    let denominator = fields
        .get("denominator")
        .map_or(Some(100.0), |v| v.choice(&[("HUNDRED", 0, 100.0), ("TEN_THOUSAND", 1, 10_000.0), ("MILLION", 2, 1_000_000.0)]));
    Some((f64::from(numerator?) / denominator?).min(1.0))
}

/// Foreshadow's settings in a `Metadata` message. Metadata for others is left alone.
pub fn settings(value: &Value<'_>, names: &Names) -> Option<Settings> {
    let metadata = value.message(&METADATA)?.get("filter_metadata")?;
    let (_, own) = metadata.entries().into_iter().find(|(space, _)| space == "foreshadow")?;
    Settings::read(&own, names)
}

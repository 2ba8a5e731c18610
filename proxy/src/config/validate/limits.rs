//! Foreshadow's own mirror settings: `metadata.filter_metadata.foreshadow.mirror` of a route, virtual host, route table or cluster.
//!
//! Envoy ignores this metadata, so a file that carries it stays loadable by Envoy. Settings of the levels combine key by key,
//! the most specific level wins; `per_cluster.<mirror cluster>` holds settings for the copies to that cluster only.

use std::collections::HashMap;
use std::time::Duration;

use super::clusters::Names;
use super::headers::header_name;
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{ClusterId, MirrorLimits, MirrorMethods, MirrorPolicy, SampleKey};
use crate::config::raw::Kind;

const SPACE: Schema = Schema { name: "filter_metadata.foreshadow", fields: "mirror", unsupported: "" };

const MIRROR: Schema = Schema {
    name: "foreshadow.mirror",
    fields: "percent methods max_in_flight max_buffered_bytes max_body_bytes timeout spread key only_accepted max_per_second strip_headers \
        compare_bodies per_cluster",
    unsupported: "",
};

const ONE: Schema = Schema {
    name: "foreshadow.mirror.per_cluster",
    fields: "percent methods max_in_flight max_buffered_bytes max_body_bytes timeout spread key only_accepted max_per_second strip_headers \
        compare_bodies",
    unsupported: "",
};

const KEY: Schema = Schema { name: "foreshadow.mirror.key", fields: "header cookie query source_ip", unsupported: "" };

/// Largest `percent`: a hundred copies of each request.
const MAX_PERCENT: f64 = 10_000.0;

/// Settings of one level; unset ones are inherited.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    all: Knobs,
    per_cluster: HashMap<ClusterId, Knobs>,
}

#[derive(Debug, Clone, Default)]
struct Knobs {
    fraction: Option<f64>,
    methods: Option<MirrorMethods>,
    max_in_flight: Option<usize>,
    max_buffered_bytes: Option<usize>,
    max_body_bytes: Option<usize>,
    timeout: Option<Duration>,
    spread: Option<Duration>,
    key: Option<SampleKey>,
    only_accepted: Option<bool>,
    max_per_second: Option<f64>,
    strip_headers: Option<Vec<http::HeaderName>>,
    compare_bodies: Option<bool>,
}

impl Settings {
    /// Reads the `foreshadow` name space of `filter_metadata`.
    pub fn read(value: &Value<'_>, names: &Names) -> Option<Self> {
        let mirror = value.message(&SPACE)?.get("mirror")?;
        let fields = mirror.message(&MIRROR)?;
        let mut settings = Self { all: Knobs::read(&fields), per_cluster: HashMap::new() };
        if let Some(clusters) = fields.get("per_cluster") {
            for (name, value) in clusters.entries() {
                let Some(id) = names.resolve_key(&name, &value) else { continue };
                if let Some(fields) = value.message(&ONE) {
                    settings.per_cluster.insert(id, Knobs::read(&fields));
                }
            }
        }
        Some(settings)
    }

    /// These settings over those of the level above.
    pub fn over(&self, above: &Self) -> Self {
        let mut per_cluster = above.per_cluster.clone();
        for (id, knobs) in &self.per_cluster {
            let merged = per_cluster.get(id).map_or_else(|| knobs.clone(), |old| knobs.over(old));
            per_cluster.insert(*id, merged);
        }
        Self { all: self.all.over(&above.all), per_cluster }
    }

    /// Puts the settings into a policy.
    pub fn apply(&self, mut policy: MirrorPolicy) -> MirrorPolicy {
        let knobs = policy.cluster.and_then(|c| self.per_cluster.get(&c)).map_or_else(|| self.all.clone(), |own| own.over(&self.all));
        policy.fraction = knobs.fraction.unwrap_or(policy.fraction);
        let default = MirrorLimits::default();
        policy.limits = MirrorLimits {
            methods: knobs.methods.unwrap_or(default.methods),
            max_in_flight: knobs.max_in_flight.unwrap_or(default.max_in_flight),
            max_buffered_bytes: knobs.max_buffered_bytes.unwrap_or(default.max_buffered_bytes),
            max_body_bytes: knobs.max_body_bytes.unwrap_or(default.max_body_bytes),
            timeout: knobs.timeout.unwrap_or(default.timeout),
            spread: knobs.spread.unwrap_or(default.spread),
            key: knobs.key.or(default.key),
            only_accepted: knobs.only_accepted.unwrap_or(default.only_accepted),
            max_per_second: knobs.max_per_second.or(default.max_per_second),
            strip_headers: knobs.strip_headers.unwrap_or(default.strip_headers),
            compare_bodies: knobs.compare_bodies.unwrap_or(default.compare_bodies),
        };
        policy
    }
}

impl Knobs {
    fn read(fields: &Fields<'_>) -> Self {
        let size = |name: &str, low, high| fields.get(name).and_then(|v| v.integer(low, high)).map(|n| n as usize);
        Self {
            fraction: fields.get("percent").and_then(|v| percent(&v)),
            methods: fields.get("methods").and_then(|v| v.choice(&[("all", 0, MirrorMethods::All), ("safe", 1, MirrorMethods::Safe)])),
            max_in_flight: size("max_in_flight", 1, 1_000_000),
            max_buffered_bytes: size("max_buffered_bytes", 0, 1 << 30),
            max_body_bytes: size("max_body_bytes", 0, 1 << 30),
            timeout: fields.get("timeout").and_then(|v| v.positive_duration()),
            spread: fields.get("spread").and_then(|v| v.duration()),
            key: fields.get("key").and_then(|v| key(&v)),
            only_accepted: fields.get("only_accepted").and_then(|v| v.boolean()),
            max_per_second: fields.get("max_per_second").and_then(|v| rate(&v)),
            strip_headers: fields.get("strip_headers").map(|v| v.list().iter().filter_map(header_name).collect()),
            compare_bodies: fields.get("compare_bodies").and_then(|v| v.boolean()),
        }
    }

    fn over(&self, above: &Self) -> Self {
        Self {
            fraction: self.fraction.or(above.fraction),
            methods: self.methods.or(above.methods),
            max_in_flight: self.max_in_flight.or(above.max_in_flight),
            max_buffered_bytes: self.max_buffered_bytes.or(above.max_buffered_bytes),
            max_body_bytes: self.max_body_bytes.or(above.max_body_bytes),
            timeout: self.timeout.or(above.timeout),
            spread: self.spread.or(above.spread),
            key: self.key.clone().or_else(|| above.key.clone()),
            only_accepted: self.only_accepted.or(above.only_accepted),
            max_per_second: self.max_per_second.or(above.max_per_second),
            strip_headers: self.strip_headers.clone().or_else(|| above.strip_headers.clone()),
            compare_bodies: self.compare_bodies.or(above.compare_bodies),
        }
    }
}

fn percent(value: &Value<'_>) -> Option<f64> {
    let percent = value.number()?;
    if !(0.0..=MAX_PERCENT).contains(&percent) {
        value.problem(format!("{percent} is out of range"), format!("expected a percentage from 0 to {MAX_PERCENT}"));
        return None;
    }
    Some(percent / 100.0)
}

fn rate(value: &Value<'_>) -> Option<f64> {
    let rate = value.number()?;
    if !(rate > 0.0 && rate <= 1e6) {
        value.problem(format!("{rate} is out of range"), "expected copies per second, above 0 and at most 1000000");
        return None;
    }
    Some(rate)
}

fn key(value: &Value<'_>) -> Option<SampleKey> {
    if let Kind::Plain(text) | Kind::Quoted(text) = &value.node().kind
        && &**text == "source_ip"
    {
        return Some(SampleKey::SourceIp);
    }
    let fields = value.message(&KEY)?;
    match fields.need_one_of(&["header", "cookie", "query", "source_ip"])? {
        ("header", v) => header_name(&v).map(SampleKey::Header),
        ("cookie", v) => v.name().map(SampleKey::Cookie),
        ("query", v) => v.name().map(SampleKey::Query),
        (_, v) => {
            if v.boolean()? {
                return Some(SampleKey::SourceIp);
            }
            v.problem("it can only be true", "leave `key` out to sample each request by itself");
            None
        }
    }
}

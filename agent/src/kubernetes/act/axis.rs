//! Which other size, class or bandwidth the replicas are to have, if any: the optimizer asked about what the profiles measured. Pure.
//!
//! Called by `sizer`. Promises: only axes that are enabled, within their bounds, along one axis at a time, and only configurations that a
//! profile of the shadow has measured; nothing on old numbers; nothing that would first want more replicas than are ready.

use super::measured::Measured;
use super::resize::{Size, Sizing};
use super::template::{self, Change};
use crate::kubernetes::crd::ShadowScalerSpec;
use crate::kubernetes::crd::actuation::QuantityBounds;
use crate::kubernetes::quantity;
use foreshadow_brain::capacity::grid::LogEstimate;
use foreshadow_brain::decision::Band;
use foreshadow_brain::optimize::{self, Configuration, Demand, Prices};
use foreshadow_brain::{Decision, Sample, Settings};
use std::collections::BTreeMap;

/// A change must save this share of the cost: it is a disturbance, and prices and measurements are rough.
const SAVING: f64 = 0.15;
/// Standard deviations between the 10 % and the 90 % quantile.
const DECILES: f64 = 2.563;
/// Name of the class that runs now; no class of a spec has an empty name.
const NOW: &str = "";

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What is asked for.
    pub spec: &'a ShadowScalerSpec,
    /// What the decision core was told.
    pub settings: &'a Settings,
    /// The template's size: profiles are factors on it.
    pub template: &'a Size,
    /// The size and the container that runs now.
    pub running: &'a Sizing,
    /// The nodes that the template asks for.
    pub nodes: &'a BTreeMap<String, String>,
    /// The annotations that the template has.
    pub annotations: &'a BTreeMap<String, String>,
    /// What profiles take.
    pub measured: &'a Measured,
    /// The last tick.
    pub sample: &'a Sample,
    /// What was decided then.
    pub decision: &'a Decision,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// Nothing, in words.
    Stay(String),
    /// Another size, class or bandwidth, and why.
    Change(Change, String),
}

/// Decides.
pub fn choose(seen: Seen<'_>) -> Choice {
    let stay = |why: &str| Choice::Stay(why.to_owned());
    let (Some(capacity), Some(load)) = (seen.decision.capacity_rps.and_then(estimate), load(seen.decision)) else {
        return stay("capacity or load to come is not known yet");
    };
    let Some(now) = configuration(seen, NOW, &seen.running.size, Some(capacity)) else {
        return stay("the container has no processor or memory request: its size has no price");
    };
    let mut all = vec![(now, None)];
    let others = sizes(seen, capacity).chain(classes(seen, capacity)).chain(bandwidths(seen, capacity));
    all.extend(others.map(|(c, change)| (c, Some(change))));
    if all.len() == 1 {
        return stay("no profile of an axis that is enabled has been measured yet");
    }
    let configurations: Vec<Configuration> = all.iter().map(|(c, _)| c.clone()).collect();
    let ready = seen.sample.scale.ready;
    let Some(choice) = optimize::choose(&configurations, &prices(seen), (0, ready), &demand(seen, load)) else {
        return stay("the optimizer knows nothing of what runs");
    };
    match all.swap_remove(choice.configuration).1 {
        Some(_) if choice.replicas > ready => {
            Choice::Stay(format!("{}, but {} replicas would have to be ready first, and {ready} are", choice.reason, choice.replicas))
        }
        Some(change) => Choice::Change(change, choice.reason),
        None => Choice::Stay(choice.reason),
    }
}

/// Sizes that profiles stand for, within the bounds.
fn sizes(seen: Seen<'_>, capacity: LogEstimate) -> impl Iterator<Item = (Configuration, Change)> {
    let axis = &seen.spec.actuation.resources;
    let profiles = seen.spec.shadow.profiles.iter().filter(|_| axis.enabled).filter_map(|name| seen.spec.shadow.profile(name));
    profiles.filter(|p| p.bandwidth.is_none() && p.node_selector.is_none()).filter_map(move |profile| {
        let size = scaled(seen.template, profile.cpu, profile.memory);
        let measured = seen.measured.capacity(&profile.name, capacity, seen.sample.at_ms)?;
        let allowed =
            may(&seen.running.size, &size, "cpu", axis.cpu.as_ref()) && may(&seen.running.size, &size, "memory", axis.memory.as_ref());
        let sizing = Sizing { container: seen.running.container.clone(), size: size.clone() };
        let other = allowed && !size.is(&seen.running.size);
        configuration(seen, NOW, &size, Some(measured)).filter(|_| other).map(|c| (c, Change::Size(sizing)))
    })
}

/// Classes whose profile was measured, the one that runs now left out.
fn classes(seen: Seen<'_>, capacity: LogEstimate) -> impl Iterator<Item = (Configuration, Change)> {
    let axis = &seen.spec.actuation.class;
    axis.classes.iter().filter(move |c| axis.enabled && !within(&c.node_selector, seen.nodes)).filter_map(move |class| {
        let measured = seen.measured.capacity(&class.name, capacity, seen.sample.at_ms)?;
        let configuration = configuration(seen, &class.name, &seen.running.size, Some(measured))?;
        Some((configuration, Change::Class(class.node_selector.clone())))
    })
}

/// Bandwidths that profiles stand for, within the bounds, the one that is there left out.
fn bandwidths(seen: Seen<'_>, capacity: LogEstimate) -> impl Iterator<Item = (Configuration, Change)> {
    let axis = &seen.spec.actuation.bandwidth;
    let profiles = seen.spec.shadow.profiles.iter().filter(|_| axis.enabled).filter_map(|name| seen.spec.shadow.profile(name));
    profiles.filter_map(move |profile| {
        let text = profile.bandwidth?;
        let bps = quantity::parse(&text)?;
        let (least, most) = limits(axis.bounds.as_ref()?)?;
        let measured = seen.measured.capacity(&profile.name, capacity, seen.sample.at_ms)?;
        let now = configuration(seen, NOW, &seen.running.size, Some(measured))?;
        let other = (least..=most).contains(&bps) && (bps / now.bandwidth_bps - 1.0).abs() > 1e-9;
        let change = Change::Bandwidth { ingress: text.clone(), egress: text };
        other.then_some((Configuration { bandwidth_bps: bps, ..now }, change))
    })
}

/// Bits a second that a replica is charged for: what its template names both ways, else the largest within bounds. 0 where the axis is off.
fn bandwidth(seen: Seen<'_>) -> f64 {
    let axis = &seen.spec.actuation.bandwidth;
    let Some((_, most)) = axis.bounds.as_ref().filter(|_| axis.enabled).and_then(limits) else { return 0.0 };
    let named = |way: &str| seen.annotations.get(&template::bandwidth(way)).and_then(|q| quantity::parse(q));
    named("ingress").zip(named("egress")).map_or(most, |(i, e)| i.max(e))
}

fn limits(bounds: &QuantityBounds) -> Option<(f64, f64)> {
    quantity::parse(&bounds.min.0).zip(quantity::parse(&bounds.max.0))
}

/// Whether all labels are among these.
pub fn within(labels: &BTreeMap<String, String>, all: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(k, v)| all.get(k) == Some(v))
}

/// What runs now costs what its class does, when that is one of them.
fn prices(seen: Seen<'_>) -> Prices {
    let (cost, classes) = (&seen.spec.cost, &seen.spec.actuation.class.classes);
    let now = classes.iter().find(|c| within(&c.node_selector, seen.nodes)).map_or(1.0, |c| c.relative_cost);
    let classes = classes.iter().map(|c| (c.name.clone(), c.relative_cost));
    let classes = std::iter::once((NOW.to_owned(), now)).chain(classes).collect();
    Prices { core: cost.cpu_core_hour, gibibyte: cost.memory_gib_hour, gigabit: cost.bandwidth_gbit_hour, classes }
}

fn demand(seen: Seen<'_>, load: (f64, f64)) -> Demand {
    let scale = &seen.sample.scale;
    Demand {
        load,
        risk_z: seen.settings.risk_z,
        headroom: seen.settings.headroom,
        least: seen.settings.min_replicas.max(1),
        most: seen.settings.max_replicas,
        step_up: seen.settings.max_step_up,
        saving: SAVING,
        // A rollout or a start under way counts as such: what is measured then says little.
        stale: seen.sample.production.is_none() || scale.starting > 0 || seen.decision.alarms.iter().any(|a| a.kind == "stale_data"),
    }
}

/// The highest load that any horizon expects.
fn load(decision: &Decision) -> Option<(f64, f64)> {
    let all = decision.forecasts.iter().filter_map(|f| f.load_rps).filter_map(estimate);
    all.max_by(|a, b| a.mean.total_cmp(&b.mean)).map(|e| (e.mean, e.sd))
}

fn estimate(band: Band) -> Option<LogEstimate> {
    let sd = (band.p90 / band.p10).ln() / DECILES;
    (band.p50 > 0.0 && sd.is_finite()).then(|| LogEstimate { mean: band.p50.ln(), sd: sd.max(0.0) })
}

fn configuration(seen: Seen<'_>, class: &str, size: &Size, capacity: Option<LogEstimate>) -> Option<Configuration> {
    let [cores, memory_bytes] = amounts(size);
    Some(Configuration { class: class.to_owned(), cores: cores?, memory_bytes: memory_bytes?, bandwidth_bps: bandwidth(seen), capacity })
}

/// Processor and memory that are paid for: requests, else limits.
fn amounts(size: &Size) -> [Option<f64>; 2] {
    ["cpu", "memory"].map(|r| size.requests.get(r).or_else(|| size.limits.get(r)).and_then(|q| quantity::parse(q)))
}

/// The size with every quantity of a resource multiplied.
fn scaled(size: &Size, cpu: f64, memory: f64) -> Size {
    let part = |map: &BTreeMap<String, String>| {
        let one = |(resource, text): (&String, &String)| {
            let (factor, write): (f64, fn(f64) -> String) =
                if resource == "cpu" { (cpu, quantity::cpu) } else { (memory, quantity::memory) };
            let number = quantity::parse(text).filter(|_| (factor - 1.0).abs() > f64::EPSILON);
            (resource.clone(), number.map_or_else(|| text.clone(), |n| write(n * factor)))
        };
        map.iter().map(one).collect()
    };
    Size { requests: part(&size.requests), limits: part(&size.limits) }
}

/// Whether a resource may become this: unchanged, or within bounds.
fn may(now: &Size, then: &Size, resource: &str, bounds: Option<&QuantityBounds>) -> bool {
    let index = usize::from(resource == "memory");
    let (now, then) = (amounts(now)[index], amounts(then)[index]);
    now == then || bounds.and_then(limits).zip(then).is_some_and(|((least, most), then)| (least..=most).contains(&then))
}

#[cfg(test)]
mod tests;

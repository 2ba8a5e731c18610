//! The figures of the page: which quantities are drawn, over what, with what words beneath.
//!
//! Called by [`super::page`]. Not here: how a chart is drawn ([`super::chart`]).

use crate::report::chart::{Chart, Ink, Shape, svg};
use crate::report::document::{Arm, Document};
use crate::report::words::escape;
use std::fmt::Write as _;

/// What is drawn, and what the legend calls it; an empty name keeps it out of the legend.
type Named = (Ink, Shape, &'static str);

/// Every figure that this document has data for, in reading order.
pub fn all(doc: &Document) -> Vec<String> {
    [load(doc), bad(doc), replicas(doc), latency(doc), capacity(doc), margin(doc), machine(doc)].into_iter().flatten().collect()
}

fn ink(arm: &Arm) -> Ink {
    if arm.name == "foreshadow" { Ink::Foreshadow } else { Ink::Reactive }
}

fn legend(arm: &Arm) -> &'static str {
    if arm.name == "foreshadow" { "with Foreshadow" } else { "reactive alone" }
}

/// A line an arm, from its client seconds.
fn by_second(doc: &Document, value: impl Fn(&crate::report::document::Second) -> Option<f64>) -> Vec<Named> {
    let points = |a: &Arm| a.client.iter().map(|s| (s.at_s, value(s))).collect();
    doc.arms.iter().map(|a| (ink(a), Shape::Line(points(a)), legend(a))).collect()
}

fn load(doc: &Document) -> Option<String> {
    let planned = doc.planned_rps.iter().enumerate().map(|(t, &v)| (t as f64, Some(v))).collect();
    let mut series = vec![(Ink::Other, Shape::Line(planned), "planned")];
    series.extend(by_second(doc, |s| Some(s.requests as f64)));
    figure(doc, "Load", "Requests a second that were sent; shaded: a fault stands.", series, false, 1.0)
}

fn bad(doc: &Document) -> Option<String> {
    let mut series = by_second(doc, |s| Some(s.bad as f64));
    if let Some(arm) = doc.arm("foreshadow").filter(|a| !a.floor_raises.is_empty()) {
        series.push((Ink::Other, Shape::Moments(arm.floor_raises.iter().map(|r| r.at_s).collect()), "floor raised"));
    }
    figure(doc, "Bad requests a second", "Slower than the threshold, or failed, as the client saw it.", series, false, 5.0)
}

fn replicas(doc: &Document) -> Option<String> {
    let mut series: Vec<Named> = Vec::new();
    for arm in &doc.arms {
        series.push((ink(arm), Shape::Step(arm.scale.iter().map(|p| (p.at_s, f64::from(p.ready))).collect()), legend(arm)));
        if arm.scale.iter().any(|p| p.floor > 0) {
            series.push((Ink::Other, Shape::Step(arm.scale.iter().map(|p| (p.at_s, f64::from(p.floor))).collect()), "floor"));
        }
    }
    figure(
        doc,
        "Replicas that take traffic, and the floor",
        "The floor is the least that Foreshadow asks for; 0 = it asks for nothing.",
        series,
        false,
        4.0,
    )
}

fn latency(doc: &Document) -> Option<String> {
    let mut series = by_second(doc, |s| s.p99_ms);
    series.push((Ink::Limit, Shape::Level(doc.objective.threshold_ms), "threshold"));
    figure(doc, "Response time, 99 % quantile of each second", "Milliseconds, logarithmic.", series, true, 1.0)
}

fn capacity(doc: &Document) -> Option<String> {
    let arm = doc.arm("foreshadow")?;
    let known = || arm.tracked.iter().filter_map(|p| Some((p.at_s, p.capacity_rps?)));
    known().next()?;
    let series = vec![
        (Ink::Foreshadow, Shape::Band(known().map(|(t, c)| (t, c[0], c[2])).collect()), ""),
        (Ink::Foreshadow, Shape::Line(known().map(|(t, c)| (t, Some(c[1]))).collect()), "capacity, median and 10 to 90 % band"),
    ];
    figure(
        doc,
        "Capacity of one replica, as tracked",
        "Requests a second that one replica takes within the objective, measured at the shadow.",
        series,
        false,
        1.0,
    )
}

fn margin(doc: &Document) -> Option<String> {
    let arm = doc.arm("foreshadow")?;
    let points: Vec<_> = arm.tracked.iter().map(|p| (p.at_s, p.margin)).collect();
    points.iter().find(|p| p.1.is_some())?;
    let series = vec![(Ink::Foreshadow, Shape::Line(points), "margin"), (Ink::Limit, Shape::Level(1.0), "all the replicas can take")];
    figure(doc, "Margin", "Forecast load over what the replicas can take, when a replica asked for now would be ready.", series, false, 1.2)
}

fn machine(doc: &Document) -> Option<String> {
    let series = by_second(doc, |s| Some(s.send_lag_ms));
    figure(
        doc,
        "How late the generator itself sent",
        "Milliseconds, 99 % quantile of each second: a check of the measurement.",
        series,
        false,
        10.0,
    )
}

/// One figure; None when no series has a point.
fn figure(doc: &Document, title: &str, caption: &str, series: Vec<Named>, log: bool, least_top: f64) -> Option<String> {
    let has_points = |shape: &Shape| match shape {
        Shape::Line(p) => !p.is_empty(),
        Shape::Step(p) => !p.is_empty(),
        Shape::Band(p) => !p.is_empty(),
        Shape::Level(_) | Shape::Moments(_) => false,
    };
    series.iter().find(|(_, shape, _)| has_points(shape))?;
    let legend = series.iter().filter(|s| !s.2.is_empty()).fold(String::new(), |mut out, (ink, _, name)| {
        let _ = write!(out, "<span class=\"key\"><i style=\"background:var({})\"></i>{}</span>", ink.variable(), escape(name));
        out
    });
    let series = series.into_iter().map(|(ink, shape, _)| (ink, shape)).collect();
    let chart = Chart { time_s: 0.0..doc.seconds.max(1.0), faults: &doc.faults, series, log, least_top };
    let drawing = svg(&chart).unwrap_or_else(|e| format!("<p>could not be drawn: {}</p>", escape(&e)));
    let title = escape(title);
    Some(format!(
        "<figure role=\"group\" aria-label=\"{title}\">\n<h3>{title}</h3>\n{drawing}\n<figcaption>{legend}<br>{}</figcaption>\n</figure>\n",
        escape(caption)
    ))
}

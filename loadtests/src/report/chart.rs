//! Time charts as inline SVG whose colours are decided by the page.
//!
//! plotters draws with marker colours ([`Ink`]); the page's style sheet gives each marker its colour, so that one drawing serves the light and
//! the dark theme. Called by [`super::page`]. Promises: no font, image or script is referred to. Not here: legends and captions, which are text
//! of the page and so wrap on a phone.

use crate::report::document::Fault;
use plotters::prelude::*;
use std::fmt::Display;
use std::ops::Range;

/// Size of a drawing in its own units; the page scales it to the column.
const SIZE: (u32, u32) = (560, 250);
const LABEL_PX: u32 = 14;

/// What a stroke stands for; the page picks its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Axes and their text.
    Text,
    /// Grid lines.
    Grid,
    /// The reactive arm.
    Reactive,
    /// The foreshadow arm.
    Foreshadow,
    /// A quantity that belongs to neither arm, or a second one of the foreshadow arm.
    Other,
    /// A limit that should not be crossed.
    Limit,
    /// A standing fault.
    Fault,
}

impl Ink {
    /// Every ink.
    pub const ALL: [Self; 7] = [Self::Text, Self::Grid, Self::Reactive, Self::Foreshadow, Self::Other, Self::Limit, Self::Fault];

    fn color(self) -> RGBColor {
        RGBColor(1, 1, self as u8 + 1)
    }

    /// As plotters writes it.
    pub fn marker(self) -> String {
        let RGBColor(r, g, b) = self.color();
        format!("#{r:02X}{g:02X}{b:02X}")
    }

    /// Name of the style sheet's variable.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Text => "--muted",
            Self::Grid => "--grid",
            Self::Reactive => "--reactive",
            Self::Foreshadow => "--foreshadow",
            Self::Other => "--other",
            Self::Limit => "--limit",
            Self::Fault => "--fault",
        }
    }
}

/// How points become a shape.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Straight lines between points; a gap where there is no value.
    Line(Vec<(f64, Option<f64>)>),
    /// A value holds until the next point.
    Step(Vec<(f64, f64)>),
    /// The room between a lower and an upper value.
    Band(Vec<(f64, f64, f64)>),
    /// A level line over the whole width.
    Level(f64),
    /// Upright lines at moments.
    Moments(Vec<f64>),
}

/// One chart.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// Span of time in seconds.
    pub time_s: Range<f64>,
    /// Faults to shade.
    pub faults: &'a [Fault],
    /// What to draw, back to front.
    pub series: Vec<(Ink, Shape)>,
    /// Whether the values spread over magnitudes.
    pub log: bool,
    /// Least top of the value axis.
    pub least_top: f64,
}

/// Draws the chart; the error is plotters' own, in words.
pub fn svg(chart: &Chart<'_>) -> Result<String, String> {
    let mut out = String::new();
    draw(chart, &mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

type Failed = Box<dyn std::error::Error>;

fn draw(chart: &Chart<'_>, out: &mut String) -> Result<(), Failed> {
    let scale = Scale::of(chart);
    let root = SVGBackend::with_string(out, SIZE).into_drawing_area();
    let mut plot = ChartBuilder::on(&root)
        .margin_top(18)
        .margin_right(10)
        .x_label_area_size(24)
        .y_label_area_size(52)
        .build_cartesian_2d(chart.time_s.clone(), scale.range.clone())
        .map_err(boxed)?;
    let text = ("sans-serif", LABEL_PX).into_font().color(&Ink::Text.color());
    let seconds = |t: &f64| format!("{t:.0} s");
    let value = |v: &f64| scale.label(*v);
    let mut mesh = plot.configure_mesh();
    mesh.disable_x_mesh().x_labels(6).y_labels(5).x_label_formatter(&seconds).y_label_formatter(&value);
    mesh.label_style(text.clone()).axis_style(Ink::Grid.color()).bold_line_style(Ink::Grid.color()).light_line_style(TRANSPARENT);
    mesh.draw().map_err(boxed)?;
    for fault in chart.faults {
        let (from, to) = (fault.start_s.max(chart.time_s.start), fault.end_s.min(chart.time_s.end));
        let corners = [(from, scale.range.start), (to, scale.range.end)];
        plot.draw_series([Rectangle::new(corners, Ink::Fault.color().mix(0.14).filled())]).map_err(boxed)?;
        let (x, _) = plot.backend_coord(&(from, scale.range.end));
        root.draw(&Text::new(fault.name.clone(), (x + 2, 2), text.clone())).map_err(boxed)?;
    }
    for (ink, shape) in &chart.series {
        let color = ink.color();
        match shape {
            Shape::Line(points) => {
                for run in points.split(|p| p.1.is_none()) {
                    let run: Vec<_> = run.iter().filter_map(|p| Some((p.0, scale.place(p.1?)))).collect();
                    plot.draw_series(LineSeries::new(run, color.stroke_width(2))).map_err(boxed)?;
                }
            }
            Shape::Step(points) => {
                let steps = steps(points).into_iter().map(|(t, v)| (t, scale.place(v)));
                plot.draw_series(LineSeries::new(steps, color.stroke_width(2))).map_err(boxed)?;
            }
            Shape::Band(points) => {
                let upper = points.iter().map(|p| (p.0, scale.place(p.2)));
                let outline: Vec<_> = upper.chain(points.iter().rev().map(|p| (p.0, scale.place(p.1)))).collect();
                if !outline.is_empty() {
                    plot.draw_series([Polygon::new(outline, color.mix(0.18).filled())]).map_err(boxed)?;
                }
            }
            Shape::Level(v) => {
                let ends = [(chart.time_s.start, scale.place(*v)), (chart.time_s.end, scale.place(*v))];
                plot.draw_series(DashedLineSeries::new(ends, 6, 4, color.stroke_width(1))).map_err(boxed)?;
            }
            Shape::Moments(moments) => {
                for &t in moments {
                    let ends = [(t, scale.range.start), (t, scale.range.end)];
                    plot.draw_series(DashedLineSeries::new(ends, 2, 3, color.stroke_width(1))).map_err(boxed)?;
                }
            }
        }
    }
    root.present().map_err(boxed)?;
    Ok(())
}

fn boxed(e: impl Display) -> Failed {
    e.to_string().into()
}

/// Corners of a staircase.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for &(t, v) in points {
        match out.last() {
            Some(&(_, before)) if before == v => continue,
            Some(&(_, before)) => out.extend([(t, before), (t, v)]),
            None => out.push((t, v)),
        }
    }
    out.extend(points.last().copied());
    out
}

/// The value axis.
struct Scale {
    range: Range<f64>,
    log: bool,
}

impl Scale {
    fn of(chart: &Chart<'_>) -> Self {
        let values = chart.series.iter().flat_map(|(_, shape)| values(shape));
        let (mut low, mut high) = (f64::INFINITY, chart.least_top);
        for v in values.filter(|v| v.is_finite() && (!chart.log || *v > 0.0)) {
            (low, high) = (low.min(v), high.max(v));
        }
        let range = match chart.log {
            true => low.min(high).log10().floor()..(high * 1.2).log10(),
            false => 0.0..(high * 1.08).max(1e-9),
        };
        Self { range, log: chart.log }
    }

    fn place(&self, v: f64) -> f64 {
        if self.log { v.max(1e-9).log10() } else { v }
    }

    fn label(&self, v: f64) -> String {
        let v = if self.log { 10f64.powf(v) } else { v };
        let places = if (v - v.round()).abs() < 1e-9 || v >= 10.0 { 0 } else { 1 + usize::from(v < 1.0) };
        format!("{v:.places$}")
    }
}

fn values(shape: &Shape) -> Vec<f64> {
    match shape {
        Shape::Line(points) => points.iter().filter_map(|p| p.1).collect(),
        Shape::Step(points) => points.iter().map(|p| p.1).collect(),
        Shape::Band(points) => points.iter().flat_map(|p| [p.1, p.2]).collect(),
        Shape::Level(v) => vec![*v],
        Shape::Moments(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<(Ink, Shape)>, log: bool) -> String {
        let faults = [Fault { name: "hidden-loss".into(), start_s: 3.0, end_s: 7.0, ..Fault::default() }];
        svg(&Chart { time_s: 0.0..10.0, faults: &faults, series, log, least_top: 1.0 }).unwrap()
    }

    #[test]
    fn draws_every_shape_with_marker_colours_only() {
        let shapes = vec![
            (Ink::Reactive, Shape::Line(vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(4.0)), (4.0, Some(5.0))])),
            (Ink::Foreshadow, Shape::Step(vec![(0.0, 1.0), (5.0, 3.0)])),
            (Ink::Other, Shape::Band(vec![(0.0, 1.0, 2.0), (5.0, 2.0, 3.0)])),
            (Ink::Limit, Shape::Level(4.0)),
            (Ink::Foreshadow, Shape::Moments(vec![6.0])),
        ];
        let svg = chart(shapes, false);
        for ink in Ink::ALL {
            assert!(svg.contains(&ink.marker()), "{ink:?} is missing");
        }
        let markers: Vec<_> = Ink::ALL.iter().map(|i| i.marker()).collect();
        for color in svg.match_indices('#').map(|(i, _)| &svg[i..i + 7]).filter(|c| c[1..].chars().all(|c| c.is_ascii_hexdigit())) {
            assert!(markers.iter().any(|m| m == color) || color == "#000000", "{color} has no place in the style sheet");
        }
        assert!(svg.contains("hidden-loss") && svg.contains("viewBox"));
    }

    #[test]
    fn empty_and_zero_series_draw() {
        for log in [false, true] {
            assert!(chart(vec![(Ink::Other, Shape::Line(vec![])), (Ink::Reactive, Shape::Band(vec![]))], log).contains("</svg>"));
            assert!(chart(vec![(Ink::Other, Shape::Step(vec![(0.0, 0.0)]))], log).contains("</svg>"));
        }
    }

    #[test]
    fn staircases_hold_their_value() {
        let points = [(0.0, 2.0), (1.0, 2.0), (4.0, 3.0), (6.0, 3.0)];
        assert_eq!(steps(&points), [(0.0, 2.0), (4.0, 2.0), (4.0, 3.0), (6.0, 3.0)]);
    }
}

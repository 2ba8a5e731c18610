//! One world's plot: avoidable bad requests against mean replicas, a line a policy. Gives an SVG document.

use crate::scaling::portfolio::Kind;
use crate::scaling::summary::{Block, LEAST_RATIO, Row};
use plotters::prelude::*;

/// Pixels.
const SIZE: (u32, u32) = (760, 440);

/// A policy's colour; told apart by those who do not see red and green, too (Okabe and Ito's palette).
pub fn colour(policy: &str) -> RGBColor {
    match Kind::parse(policy) {
        Some(Kind::Hpa) => RGBColor(230, 159, 0),
        Some(Kind::Keda) => RGBColor(86, 180, 233),
        Some(Kind::Phpa) => RGBColor(204, 121, 167),
        Some(Kind::Foreshadow) => RGBColor(0, 114, 178),
        Some(Kind::ForeshadowOver70) => RGBColor(0, 60, 120),
        Some(Kind::ForeshadowAlone) => RGBColor(120, 180, 230),
        Some(Kind::ForeshadowNoShadow) => RGBColor(150, 150, 150),
        Some(Kind::ForeshadowObserving) => RGBColor(213, 94, 0),
        Some(Kind::Oracle) => RGBColor(0, 158, 115),
        None => BLACK,
    }
}

/// The plot. The error is for people.
pub fn svg(block: &Block) -> Result<String, String> {
    let mut out = String::new();
    draw(block, &mut out).map_err(|e| format!("the plot of {} cannot be drawn: {e}", block.scenario))?;
    Ok(out)
}

fn percent(row: &Row) -> f64 {
    100.0 * row.avoidable.mean.max(LEAST_RATIO)
}

fn draw(block: &Block, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let most_x = block.rows.iter().map(|r| r.replicas.mean).fold(1.0, f64::max) * 1.08;
    let most_y = block.rows.iter().map(percent).fold(0.1, f64::max) * 2.0;
    let root = SVGBackend::with_string(out, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..most_x, (100.0 * LEAST_RATIO..most_y).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("mean replicas, shadow counted")
        .y_desc("avoidable bad requests, %")
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for kind in Kind::ALL {
        let mut rows: Vec<&Row> = block.rows.iter().filter(|r| r.policy == kind.name()).collect();
        if rows.is_empty() {
            continue;
        }
        rows.sort_by(|a, b| a.replicas.mean.total_cmp(&b.replicas.mean));
        let style = colour(kind.name());
        chart
            .draw_series(LineSeries::new(rows.iter().map(|r| (r.replicas.mean, percent(r))), style.stroke_width(2)))?
            .label(kind.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style.stroke_width(2)));
        chart.draw_series(rows.iter().map(|r| {
            let span = |p: f64| 100.0 * p.max(LEAST_RATIO);
            PathElement::new([(r.replicas.mean, span(r.avoidable.low)), (r.replicas.mean, span(r.avoidable.high))], style)
        }))?;
        chart.draw_series(rows.iter().map(|r| {
            let fill = if r.default { style.filled() } else { style.stroke_width(1) };
            Circle::new((r.replicas.mean, percent(r)), if r.default { 6 } else { 3 }, fill)
        }))?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    root.present()?;
    Ok(())
}

//! The result as one page: what each policy costs against what it lets go bad, and the history over time. Nothing is loaded from elsewhere.

use crate::backtest::judge::{Backtest, Moment, Run};
use crate::backtest::report;
use std::fmt::Write;

const SIZE: (f64, f64) = (760.0, 380.0);
const MARGIN: f64 = 46.0;
/// A policy's colour (Okabe and Ito's palette, told apart by those who do not see red and green, too).
const COLOURS: [(&str, &str); 6] = [
    ("recorded", "#000000"),
    ("hpa", "#e69f00"),
    ("keda", "#56b4e9"),
    ("foreshadow", "#0072b2"),
    ("foreshadow-no-shadow", "#999999"),
    ("oracle", "#009e73"),
];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}pre{overflow-x:auto;font-size:12px}svg{max-width:100%;height:auto}";

/// The page.
pub fn page(result: &Backtest) -> String {
    let name = result.runs.first().map_or("", |r| &r.load);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Backtest</title><style>{STYLE}</style>\n<h1>What scalers would have done: {}</h1>\n{}\n{}\n<pre>{}</pre></html>\n",
        escaped(name),
        front(&result.runs),
        timeline(result),
        escaped(&report::text(result))
    )
}

/// Places values on an axis.
fn axis(low: f64, high: f64, from: f64, to: f64) -> impl Fn(f64) -> f64 {
    move |x| from + (x - low) / (high - low).max(1e-9) * (to - from)
}

fn svg(inside: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">{inside}</svg>",
        SIZE.0, SIZE.1
    )
}

fn line(points: &[(f64, f64)], colour: &str) -> String {
    let points: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", p.0, p.1)).collect();
    format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>", points.join(" "))
}

fn front(runs: &[Run]) -> String {
    let percent = |r: &Run| 100.0 * (r.bad as f64).max(1.0) / r.requests.max(1) as f64;
    let most_x = runs.iter().map(|r| r.mean_replicas).fold(1.0, f64::max) * 1.05;
    let (low, high) = runs.iter().map(|r| percent(r).ln()).fold((f64::INFINITY, f64::NEG_INFINITY), |s, y| (s.0.min(y), s.1.max(y)));
    let (x, y) = (axis(0.0, most_x, MARGIN, SIZE.0 - 10.0), axis(low - 0.2, high + 0.2, SIZE.1 - MARGIN, 10.0));
    let mut out = String::new();
    for (i, (name, colour)) in COLOURS.iter().enumerate() {
        let mut own: Vec<(f64, f64)> =
            runs.iter().filter(|r| r.policy == *name).map(|r| (x(r.mean_replicas), y(percent(r).ln()))).collect();
        own.sort_by(|a, b| a.0.total_cmp(&b.0));
        out += &line(&own, colour);
        own.iter().for_each(|p| {
            let _ = write!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", p.0, p.1);
        });
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\" text-anchor=\"end\">{name}</text>",
            SIZE.0 - 14.0,
            24.0 + 16.0 * i as f64
        );
    }
    for part in 0..=4 {
        let (px, py) = (most_x * f64::from(part) / 4.0, low + (high - low) * f64::from(part) / 4.0);
        let _ = write!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\">{px:.1}</text><text x=\"2\" y=\"{:.0}\">{:.3}</text>",
            x(px),
            SIZE.1 - 28.0,
            y(py),
            py.exp()
        );
    }
    let _ = write!(out, "<text x=\"{}\" y=\"{}\">mean replicas, shadow counted; upwards: bad requests, %</text>", MARGIN, SIZE.1 - 8.0);
    svg(&out)
}

fn timeline(result: &Backtest) -> String {
    let rows = &result.timeline;
    let seconds = rows.last().map_or(1.0, |r| r.0);
    let most = |f: fn(&Moment) -> f64| rows.iter().map(f).fold(1e-9, f64::max) * 1.05;
    let x = axis(0.0, seconds, MARGIN, SIZE.0 - 10.0);
    let middle = SIZE.1 / 2.0;
    let rates = axis(0.0, most(|r| r.1), middle - 10.0, 20.0);
    let replicas = axis(0.0, most(|r| f64::from(r.3.max(r.4))), SIZE.1 - 24.0, middle + 20.0);
    let curve = |f: &dyn Fn(&Moment) -> f64, colour: &str| line(&rows.iter().map(|r| (x(r.0), f(r))).collect::<Vec<_>>(), colour);
    let mut out = curve(&|r| rates(r.1), "#555555");
    out += &curve(&|r| rates((r.2 * f64::from(r.3)).min(most(|r| r.1))), "#d55e00");
    out += &curve(&|r| replicas(f64::from(r.3)), "#000000");
    out += &curve(&|r| replicas(f64::from(r.4)), "#0072b2");
    let _ = write!(
        out,
        "<text x=\"{MARGIN}\" y=\"14\">load (grey), what the replicas that ran take (red), requests a second, up to {:.0}</text>\
         <text x=\"{MARGIN}\" y=\"{}\">replicas: recorded (black), Foreshadow (blue), up to {:.0}; {:.1} hours</text>",
        most(|r| r.1),
        middle + 14.0,
        most(|r| f64::from(r.3.max(r.4))),
        seconds / 3_600.0
    );
    svg(&out)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_both_pictures_and_no_markup_from_names() {
        let run = Run { load: "<b>".into(), policy: "hpa".into(), requests: 100, bad: 3, mean_replicas: 4.0, ..Run::default() };
        let result = Backtest { runs: vec![run], timeline: vec![(0.0, 10.0, 5.0, 2, 3), (1.0, 12.0, 5.0, 3, 3)], ..Backtest::default() };
        let page = page(&result);
        assert_eq!(page.matches("<svg").count(), 2);
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>") && !page.contains("NaN"));
    }
}

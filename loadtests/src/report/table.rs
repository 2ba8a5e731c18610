//! The arms side by side, for the terminal and for the page's first table.
//!
//! Called by the demo at its end and by [`super::page`]. Not here: sentences ([`super::words`]).

use crate::report::document::{Arm, Document};
use crate::report::words;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

/// A label and one cell an arm.
pub type Row = (String, Vec<String>);

/// Rows of the comparison, in order of importance.
pub fn rows(doc: &Document) -> Vec<Row> {
    let row = |label: &str, cell: &dyn Fn(&Arm) -> String| (label.to_string(), doc.arms.iter().map(cell).collect());
    let mut rows = vec![
        row("requests", &|a| words::thousands(a.requests)),
        row("bad", &|a| words::thousands(a.bad)),
        row("bad %", &|a| format!("{:.2}", a.bad_ratio() * 100.0)),
        row("failed (among the bad)", &|a| words::thousands(a.failed)),
        row("seconds beyond the objective", &|a| format!("{:.0}", a.violation_seconds)),
        row("p50 / p99 ms", &|a| format!("{} / {}", millis(a.latency_ms.p50), millis(a.latency_ms.p99))),
        row("replica-seconds", &|a| format!("{:.0}", a.replica_seconds)),
        row("shadow replica-seconds", &|a| format!("{:.0}", a.shadow_replica_seconds)),
        row("sum", &|a| format!("{:.0}", a.cost())),
        row("machine busy, mean / most", &|a| format!("{:.0} % / {:.0} %", a.machine.cpu_mean * 100.0, a.machine.cpu_max * 100.0)),
    ];
    for lead in &doc.leads {
        let cells = doc.arms.iter().map(|a| match a.name.as_str() {
            "foreshadow" => format!("raise {}, violation {}", moment(lead.first_raise_s), moment(lead.onset_s)),
            _ => format!("violation {}", moment(lead.reactive_onset_s)),
        });
        rows.push((format!("{} from {:.1} s", lead.fault, lead.start_s), cells.collect()));
    }
    rows
}

fn millis(v: Option<f64>) -> String {
    v.map_or_else(|| "-".into(), |v| format!("{v:.0}"))
}

fn moment(v: Option<f64>) -> String {
    v.map_or_else(|| "none".into(), |v| format!("{v:.1} s"))
}

/// The table and the sentences, as text.
pub fn text(doc: &Document) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once(String::new()).chain(doc.arms.iter().map(|a| a.name.clone())));
    for (label, cells) in rows(doc) {
        let cells = cells.into_iter().map(|c| Cell::new(c).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(label)).chain(cells));
    }
    let mut out = format!("{table}\n\n{}\n", words::headline(doc));
    for lead in &doc.leads {
        out.push_str(&format!("  {}\n", words::lead(doc, lead)));
    }
    for warning in words::warnings(doc) {
        out.push_str(&format!("  note: {warning}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_an_arm_and_every_row_filled() {
        let arms = ["reactive", "foreshadow"].map(|n| Arm { name: n.into(), requests: 1_500, bad: 15, ..Arm::default() });
        let doc = Document { arms: arms.to_vec(), complete: true, ..Document::default() };
        assert!(rows(&doc).iter().all(|r| r.1.len() == 2));
        let text = text(&doc);
        for piece in ["reactive", "foreshadow", "1,500", "1.00", "No difference"] {
            assert!(text.contains(piece), "{piece} in\n{text}");
        }
    }
}

//! The summary as text for the terminal.

use crate::scaling::bootstrap::Estimate;
use crate::scaling::summary::{Block, Row, Verdict};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A world's table and verdicts.
pub fn block(block: &Block) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["policy", "setting", "", "avoidable bad %", "replicas", "violations", "warned", "lead s", "false/day", "actions"]);
    table.add_rows(block.rows.iter().map(cells));
    for i in [1, 3, 4, 5, 6, 7, 8, 9] {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let title = format!("{} under {}: {:.3} % of requests are bad whatever is done", block.scenario, block.load, 100.0 * block.unavoidable);
    let verdicts: String = block.verdicts.iter().map(|v| format!("  {}\n", verdict(v))).collect();
    format!("\n{title}\n{table}\n{verdicts}")
}

fn cells(row: &Row) -> Vec<String> {
    let or_dash = |x: Option<f64>, digits: usize| x.map_or("-".into(), |x| format!("{x:.digits$}"));
    vec![
        row.policy.clone(),
        format!("{}{}", row.setting, if row.default { " (default)" } else { "" }),
        if row.front { "front" } else { "" }.into(),
        interval(row.avoidable, 100.0, 3),
        interval(row.replicas, 1.0, 1),
        format!("{:.1}", row.violations),
        row.warned.map_or("-".into(), |w| format!("{:.0} %", 100.0 * w)),
        or_dash(row.lead_s, 0),
        format!("{:.1}", row.false_alarms_per_day),
        format!("{:.0}", row.actions),
    ]
}

fn interval(e: Estimate, scale: f64, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", e.mean * scale, e.low * scale, e.high * scale)
}

/// A verdict as a sentence.
pub fn verdict(v: &Verdict) -> String {
    let usual = match (v.bad_ratio, v.cost_ratio) {
        (Some(bad), Some(cost)) => format!("{bad:.2} of its avoidable bad requests at {cost:.2} of its replicas, both untuned"),
        _ => "its usual setting was not run".into(),
    };
    let equal = match v.cost_at_equal_quality {
        Some(cost) => format!("{cost:.2} of its replicas at equal avoidable bad requests, it tuned for this world"),
        None => "it gets that good at none of its settings".into(),
    };
    format!("foreshadow against {}: {usual}; {equal}", v.against)
}

//! The result as text.

use crate::backtest::judge::{Backtest, Run};
use comfy_table::{CellAlignment, Table, presets};

/// Table, verdicts, limits.
pub fn text(result: &Backtest) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["policy", "setting", "bad", "90 %", "replicas", "90 %", "violations", "median lead s", "false/day", "actions"]);
    table.add_rows(result.runs.iter().map(cells));
    for i in 1..10 {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let check = result
        .model_over_recorded
        .map_or_else(|| "nothing bad was recorded".into(), |x| format!("the curve gives {x:.2} of it for what ran"));
    let mut text = format!(
        "judged {:.0} s after {:.0} s of learning; recorded bad {}, {check}; {:.3} % bad without load, steepness {:.0}\n{table}\n",
        result.judged_s,
        result.embargo_s,
        result.recorded_bad,
        100.0 * result.base,
        result.steepness
    );
    text += &format!("leads and alarms against {}; the shadow counts in what uses it; shadow: {}\n", result.control, result.shadow_verdict);
    result.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

fn cells(run: &Run) -> Vec<String> {
    let mut leads = run.leads_s.clone();
    leads.sort_by(f64::total_cmp);
    vec![
        run.policy.clone(),
        if run.policy == "recorded" { "-".into() } else { run.setting.to_string() },
        run.bad.to_string(),
        format!("{} to {}", run.bad_interval.0, run.bad_interval.1),
        format!("{:.2}", run.mean_replicas),
        format!("{:.1} to {:.1}", run.replicas_interval.0, run.replicas_interval.1),
        run.violations.to_string(),
        leads.get(leads.len() / 2).map_or("-".into(), |l| format!("{l:.0}")),
        format!("{:.1}", run.false_alarms_per_day),
        run.actions.to_string(),
    ]
}

//! The summary as text for the terminal.

use crate::scaling::bootstrap::Estimate;
use crate::scaling::observers::Watched;
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
    format!("\n{title}\n{table}\n{verdicts}{}{}{}", warnings(block), watched(block), inside(block))
}

/// Leads at one false alarm a day, of every policy as it is when nobody tunes it.
fn warnings(block: &Block) -> String {
    let line = |row: &Row| {
        let said = match row.usable {
            Some((factor, warned, Some(lead))) => {
                format!("warned of {:.0} %, median usable lead {lead:.0} s (alarm: more than {factor} x the control)", 100.0 * warned)
            }
            Some((_, _, None)) => "no warning".into(),
            None => "no alarm that is false once a day at most, or nothing to warn of".into(),
        };
        format!("    {}: {said}\n", row.policy)
    };
    let rows: String = block.rows.iter().filter(|r| r.default).map(line).collect();
    format!("  leads at one false alarm a day at most, less the start of a pod:\n{rows}")
}

/// What each forecaster warned of while nothing was changed.
fn watched(block: &Block) -> String {
    let line = |w: &Watched| {
        let lead = w.usable_lead_s.map_or_else(|| "-".into(), |s| format!("{s:.0} s"));
        format!("    {}: {} of {}, {lead}, {:.1}\n", w.name, w.warned, w.violations, w.false_alarms_per_day)
    };
    let rows: String = block.rows.iter().flat_map(|r| &r.watched).map(line).collect();
    if rows.is_empty() {
        return rows;
    }
    let rule = "thresholds for one false alarm a day, from the seeds before each";
    format!("  changing nothing: violations warned of, median usable lead, false alarms a day\n  ({rule})\n{rows}")
}

/// What the forecasters inside Foreshadow were worth on held-out time, and what it says of its shadow.
fn inside(block: &Block) -> String {
    let Some(row) = block.rows.iter().find(|r| r.default && !r.members.is_empty()) else { return String::new() };
    let best = row.members.iter().map(|m| m.1).fold(f64::INFINITY, f64::min);
    let members: Vec<String> =
        row.members.iter().map(|(name, loss)| format!("{name} {loss:.0}{}", if *loss <= best { " (best)" } else { "" })).collect();
    let cannot = format!("it said for {:.0} s a run that more replicas would not help", row.cannot_help_s);
    format!(
        "  held-out loss an hour of {}'s forecasters: {}\n  {cannot}; of its shadow: {}\n",
        row.policy,
        members.join(", "),
        row.shadow_verdict
    )
}

/// Which bars hold, over all worlds; and the forecasters that were best in none, with why.
pub fn bars(blocks: &[Block]) -> String {
    let mut out = String::from("\nbars (foreshadow at its default)\n");
    for block in blocks {
        let of = |name: &str| block.verdicts.iter().find(|v| v.against == name);
        let holds =
            |x: Option<f64>, bar: f64| x.map_or("not reached".into(), |x| format!("{x:.2} {}", if x <= bar { "holds" } else { "FAILS" }));
        if let (Some(hpa), oracle) = (of("hpa"), of("oracle")) {
            out += &format!(
                "  {} under {}: bad over hpa 70 % {} (0.25), its replicas {} (1.10); replicas over the best-tuned hpa {} (0.70, mixed), over the clairvoyant {} (1.25)\n",
                block.scenario,
                block.load,
                holds(hpa.bad_ratio, 0.25),
                holds(hpa.cost_ratio, 1.10),
                holds(hpa.cost_at_equal_quality, 0.70),
                holds(oracle.and_then(|o| o.cost_at_equal_quality), 1.25),
            );
        }
    }
    out + &never_best(blocks)
}

fn never_best(blocks: &[Block]) -> String {
    let inside = || blocks.iter().filter_map(|b| b.rows.iter().find(|r| r.default && !r.members.is_empty()));
    let wins = |name: &str| {
        inside().filter(|r| r.members.iter().all(|m| m.0 == name || r.members.iter().any(|own| own.0 == name && own.1 <= m.1))).count()
    };
    let why = |name: &str| match name {
        "reactive" => "it moves after processor use has, which neither a fuller queue nor a smaller pool shows",
        "load trend" => "it takes a replica's capacity for its long-run mean",
        "production alone" => "far below its edge production says only what a replica takes at least",
        "capacity tracker" => "what the support vectors ask for is taken together with its own ask, and two that err apart err less",
        "support vectors" => "it learns from examples of the past what the tracker measures now",
        "support vectors alone" => "it has too few violations of production to learn from",
        _ => "",
    };
    let all = foreshadow_brain::portfolio::MEMBERS.into_iter().filter(|_| inside().next().is_some());
    all.filter(|m| wins(m) == 0).map(|m| format!("  {m} was best nowhere: {}\n", why(m))).collect()
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

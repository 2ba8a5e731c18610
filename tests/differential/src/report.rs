//! What is printed and written: a line a scene, the differences, the rules of comparison.

use crate::run::{Outcome, Verdict};
use crate::transcript::RULES;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

/// How many of each verdict, in words.
pub fn summary(outcomes: &[Outcome]) -> String {
    let count = |wanted: fn(&Verdict) -> bool| outcomes.iter().filter(|o| wanted(&o.verdict)).count();
    let (same, deviations) = (count(|v| matches!(v, Verdict::Same)), count(|v| matches!(v, Verdict::Deviation(_))));
    format!(
        "{} scenes: {same} the same, {deviations} documented deviations, {} different",
        outcomes.len(),
        outcomes.len() - same - deviations
    )
}

/// Everything that is not simply the same, and the summary by group.
pub fn text(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let difference = outcome.difference.as_deref().unwrap_or_default();
        match &outcome.verdict {
            Verdict::Same if outcome.stale => text += &format!("{}: stands in the table of deviations, and is the same\n\n", outcome.name),
            Verdict::Same => {}
            Verdict::Deviation(d) => text += &format!("{} ({}): {}\n\n", outcome.name, d.kind.word(), d.reason),
            Verdict::Different => text += &format!("{}: DIFFERENT (- Envoy, + Foreshadow)\n{difference}\n", outcome.name),
        }
    }
    format!("{text}{}\n\nMade equal before comparing:\n{}\n{}", groups(outcomes), rules(), summary(outcomes))
}

fn groups(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["group", "scenes", "same", "deviations", "different"]);
    let mut names: Vec<_> = outcomes.iter().map(|o| o.group).collect();
    names.dedup();
    for group in names {
        let of: Vec<_> = outcomes.iter().filter(|o| o.group == group).collect();
        let count = |wanted: fn(&Verdict) -> bool| of.iter().filter(|o| wanted(&o.verdict)).count();
        table.add_row([
            group.to_owned(),
            of.len().to_string(),
            count(|v| matches!(v, Verdict::Same)).to_string(),
            count(|v| matches!(v, Verdict::Deviation(_))).to_string(),
            count(|v| matches!(v, Verdict::Different)).to_string(),
        ]);
    }
    table
}

fn rules() -> String {
    RULES.iter().map(|(what, how)| format!("  {what}: {how}\n")).collect()
}

/// Everything, for other programs: `scenes[] {name, group, verdict same|deviation|different, reason, difference}`.
pub fn json(outcomes: &[Outcome]) -> Value {
    let scenes: Vec<_> = outcomes
        .iter()
        .map(|o| {
            let (verdict, reason) = match &o.verdict {
                Verdict::Same => ("same", None),
                Verdict::Deviation(d) => ("deviation", Some(format!("{}: {}", d.kind.word(), d.reason))),
                Verdict::Different => ("different", None),
            };
            json!({ "name": o.name, "group": o.group, "verdict": verdict, "reason": reason, "difference": o.difference })
        })
        .collect();
    json!({ "summary": summary(outcomes), "scenes": scenes })
}

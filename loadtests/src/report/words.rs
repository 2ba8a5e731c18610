//! What a run means, in sentences: the same for the terminal and the page.
//!
//! Called by [`super::page`] and [`super::table`]. Promises: says so when Foreshadow lost, when nothing happened, when the machine was the
//! bottleneck, and when there is nothing to compare. Not here: the figures' layout.

use crate::report::document::{Arm, BUSY, Document, Lead};

/// Ratios closer to 1 than this are called equal.
const SAME: f64 = 0.10;

/// The run in one or two sentences.
pub fn headline(doc: &Document) -> String {
    let (Some(reactive), Some(foreshadow)) = (doc.arm("reactive"), doc.arm("foreshadow")) else {
        return match doc.arms.first() {
            Some(arm) => format!("Only the {} arm ran: {}. There is nothing to compare it with.", arm.name, share(arm)),
            None => "No arm was finished: there is nothing to say.".into(),
        };
    };
    let counts = format!("{} with Foreshadow, {} with the reactive scaler alone", share(foreshadow), share(reactive));
    let cost = cost(doc).unwrap_or_default();
    let early = if doc.complete { "" } else { " The run ended early, so the arms may differ in length." };
    match doc.bad_ratio() {
        None if foreshadow.bad == 0 => format!("Nothing went wrong in either arm ({counts}); this run shows no difference. {cost}{early}"),
        None => format!("Foreshadow lost: {counts}. {cost}{early}"),
        Some(r) if r > 1.0 + SAME => format!("Foreshadow lost: {:.1} times the bad requests ({counts}). {cost}{early}", r),
        Some(r) if r > 1.0 - SAME => format!("No difference worth naming: {counts}. {cost}{early}"),
        Some(r) => format!("{:.0} % fewer bad requests: {counts}. {cost}{early}", (1.0 - r) * 100.0),
    }
}

fn share(arm: &Arm) -> String {
    format!("{} of {} requests bad ({:.2} %)", thousands(arm.bad), thousands(arm.requests), arm.bad_ratio() * 100.0)
}

fn cost(doc: &Document) -> Option<String> {
    let percent = (doc.cost_ratio()? - 1.0) * 100.0;
    let words = if percent >= 0.0 { "more" } else { "fewer" };
    Some(format!("{:.0} % {words} replica-seconds, the shadow counted.", percent.abs()))
}

/// A number with its thousands apart.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Text made safe for a page.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// One sentence a trouble; says nothing about an arm that did not run.
pub fn lead(doc: &Document, lead: &Lead) -> String {
    let mut parts = Vec::new();
    if doc.arm("reactive").is_some() {
        parts.push(match lead.reactive_onset_s {
            Some(at) => format!("the reactive arm was beyond the objective from {at:.1} s"),
            None => "the reactive arm stayed within the objective".into(),
        });
    }
    if doc.arm("foreshadow").is_some() {
        parts.extend(foreshadows_part(lead));
    }
    format!("{} (from {:.1} s): {}.", lead.fault, lead.start_s, parts.join("; "))
}

fn foreshadows_part(lead: &Lead) -> Vec<String> {
    let mut parts = Vec::new();
    parts.push(match (lead.first_raise_s, lead.first_alarm_s) {
        (Some(r), Some(a)) if a < r => format!("Foreshadow warned at {a:.1} s and raised the floor at {r:.1} s"),
        (Some(r), _) => format!("Foreshadow raised the floor at {r:.1} s"),
        (None, Some(a)) => format!("Foreshadow warned at {a:.1} s and did not raise the floor"),
        (None, None) => "Foreshadow neither warned nor raised the floor".into(),
    });
    parts.push(match (lead.onset_s, lead.averted) {
        (Some(at), _) => format!("its arm was beyond the objective from {at:.1} s"),
        (None, true) => "the violation was averted".into(),
        (None, false) => "its arm stayed within the objective".into(),
    });
    if let Some(s) = lead.lead_s {
        parts.push(format!("lead {}", signed(s)));
    }
    if let Some(s) = lead.lead_vs_reactive_s {
        parts.push(format!("lead on the reactive arm's violation {}", signed(s)));
    }
    parts
}

fn signed(s: f64) -> String {
    if s < 0.0 { format!("{s:+.1} s (too late)") } else { format!("{s:+.1} s") }
}

/// What a reader must know before trusting the figures.
pub fn warnings(doc: &Document) -> Vec<String> {
    let mut out = Vec::new();
    for arm in &doc.arms {
        let m = &arm.machine;
        if m.busy_share > 0.0 {
            out.push(format!(
                "{} arm: the whole machine was more than {:.0} % busy in {:.0} % of the seconds (at most {:.0} %): some of its bad requests may be the machine's own.",
                arm.name,
                BUSY * 100.0,
                m.busy_share * 100.0,
                m.cpu_max * 100.0
            ));
        }
        if m.send_lag_p95_ms > doc.objective.threshold_ms / 4.0 {
            out.push(format!(
                "{} arm: the generator itself sent up to {:.0} ms late (95 % of seconds); latency counts from the intended moment, so that is in the figures.",
                arm.name, m.send_lag_p95_ms
            ));
        }
        if !arm.copies.closes() {
            out.push(format!("{} arm: the account of copies does not close.", arm.name));
        }
        out.extend(arm.notes.iter().map(|n| format!("{} arm: {n}", arm.name)));
    }
    out.extend(doc.notes.iter().cloned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(reactive: (u64, f64), foreshadow: (u64, f64)) -> Document {
        let arm = |name: &str, (bad, replica_seconds)| Arm { name: name.into(), requests: 10_000, bad, replica_seconds, ..Arm::default() };
        Document { arms: vec![arm("reactive", reactive), arm("foreshadow", foreshadow)], complete: true, ..Document::default() }
    }

    #[test]
    fn the_headline_says_who_won_and_at_what_cost() {
        let won = headline(&doc((1_000, 100.0), (250, 110.0)));
        assert!(won.starts_with("75 % fewer bad requests: 250 of 10,000") && won.contains("10 % more replica-seconds"), "{won}");
        assert!(headline(&doc((100, 100.0), (300, 90.0))).starts_with("Foreshadow lost: 3.0 times"));
        assert!(headline(&doc((100, 100.0), (95, 90.0))).starts_with("No difference"));
        assert!(headline(&doc((0, 100.0), (0, 100.0))).starts_with("Nothing went wrong"));
        assert!(headline(&doc((0, 100.0), (5, 100.0))).starts_with("Foreshadow lost"));
    }

    #[test]
    fn one_arm_and_no_arm_are_said() {
        let mut one = doc((10, 1.0), (10, 1.0));
        one.arms.truncate(1);
        assert!(headline(&one).starts_with("Only the reactive arm ran: 10 of 10,000"));
        assert!(headline(&Document::default()).starts_with("No arm"));
    }

    #[test]
    fn a_lead_tells_the_whole_story() {
        let averted = Lead {
            fault: "leak".into(),
            start_s: 3.0,
            first_raise_s: Some(5.0),
            reactive_onset_s: Some(9.0),
            lead_vs_reactive_s: Some(4.0),
            averted: true,
            ..Lead::default()
        };
        let both = doc((1, 1.0), (1, 1.0));
        let text = lead(&both, &averted);
        assert!(text.contains("averted") && text.contains("+4.0 s"), "{text}");
        let late = Lead { onset_s: Some(4.0), first_raise_s: Some(6.0), lead_s: Some(-2.0), ..Lead::default() };
        assert!(lead(&both, &late).contains("-2.0 s (too late)"));
        assert!(lead(&both, &Lead::default()).contains("neither warned"));
        let mut alone = both;
        alone.arms.remove(0);
        assert!(!lead(&alone, &Lead::default()).contains("reactive"));
    }

    #[test]
    fn a_busy_machine_is_named() {
        let mut d = doc((0, 0.0), (0, 0.0));
        assert!(warnings(&d).is_empty());
        d.arms[0].machine = crate::report::document::Machine { busy_share: 0.2, cpu_max: 0.97, ..Default::default() };
        assert!(warnings(&d)[0].contains("reactive arm: the whole machine"));
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}

//! One self-contained page about a run.
//!
//! Called by the demo at its end. Promises: a pure function of the document; nothing is loaded from anywhere (no script, font, image); light and
//! dark; readable on a phone; every text of the document is escaped. Not here: which charts there are ([`super::figures`]).

use crate::report::chart::Ink;
use crate::report::document::{Arm, Document};
use crate::report::words::escape;
use crate::report::{figures, table, words};
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");
/// Most decisions listed; the rest is counted.
const DECISIONS_SHOWN: usize = 60;

/// Renders the page. Writing to a string does not fail, so results of `write!` are not looked at.
pub fn html(doc: &Document) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    );
    let _ = write!(out, "<title>Foreshadow demo, seed {}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n", doc.seed, inks());
    let _ = writeln!(out, "<h1>Foreshadow beside the reactive scaler</h1>\n<p class=\"lead\">{}</p>", escape(&words::headline(doc)));
    let _ = writeln!(out, "<p class=\"meta\">{}</p>", escape(&setting(doc)));
    warnings(doc, &mut out);
    out.push_str("<h2>Side by side</h2>\n");
    comparison(doc, &mut out);
    leads(doc, &mut out);
    out.push_str("<h2>What happened</h2>\n<div class=\"grid\">\n");
    for figure in figures::all(doc) {
        out.push_str(&figure);
    }
    out.push_str("</div>\n");
    for arm in &doc.arms {
        decisions(arm, &mut out);
    }
    copies(doc, &mut out);
    out.push_str(&method(doc));
    out.push_str("</body>\n</html>\n");
    out
}

/// The style rules that give marker colours their meaning.
fn inks() -> String {
    Ink::ALL.iter().fold(String::new(), |mut css, ink| {
        let (m, v) = (ink.marker(), ink.variable());
        let _ = writeln!(css, "svg [fill=\"{m}\"]{{fill:var({v})}}svg [stroke=\"{m}\"]{{stroke:var({v})}}");
        css
    })
}

fn setting(doc: &Document) -> String {
    format!(
        "Seed {}; load shape: {}; {:.0} s judged an arm; application: {} at {}; objective: {:.0} % of requests within {:.0} ms.",
        doc.seed,
        doc.load,
        doc.seconds,
        doc.target.command,
        doc.target.path,
        doc.objective.target_ratio * 100.0,
        doc.objective.threshold_ms
    )
}

fn warnings(doc: &Document, out: &mut String) {
    let warnings = words::warnings(doc);
    if warnings.is_empty() {
        return;
    }
    out.push_str("<ul class=\"warn\">\n");
    for w in warnings {
        let _ = writeln!(out, "<li>{}</li>", escape(&w));
    }
    out.push_str("</ul>\n");
}

fn comparison(doc: &Document, out: &mut String) {
    out.push_str("<div class=\"scroll\"><table>\n<tr><th></th>");
    for arm in &doc.arms {
        let _ = write!(out, "<th class=\"n\">{}</th>", escape(&arm.name));
    }
    out.push_str("</tr>\n");
    for (label, cells) in table::rows(doc) {
        let _ = write!(out, "<tr><td>{}</td>", escape(&label));
        for cell in cells {
            let _ = write!(out, "<td class=\"n\">{}</td>", escape(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

fn leads(doc: &Document, out: &mut String) {
    if doc.leads.is_empty() {
        return;
    }
    out.push_str("<h2>Who noticed first</h2>\n<ul>\n");
    for lead in &doc.leads {
        let what = doc.faults.iter().find(|f| f.name == lead.fault && f.start_s == lead.start_s).map(|f| f.text.as_str());
        let what = what.map(|t| format!(" <small>({})</small>", escape(t))).unwrap_or_default();
        let _ = writeln!(out, "<li>{}{what}</li>", escape(&words::lead(doc, lead)));
    }
    out.push_str("</ul>\n");
}

fn decisions(arm: &Arm, out: &mut String) {
    if arm.decisions.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>Decisions of the {} arm</h2>", escape(&arm.name));
    if !arm.verdict.shadow.is_empty() || !arm.verdict.champion.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"meta\">Forecaster in charge at the end: {}. {}</p>",
            escape(&arm.verdict.champion),
            escape(&arm.verdict.shadow)
        );
    }
    out.push_str("<div class=\"scroll\"><table>\n<tr><th class=\"n\">at</th><th class=\"n\">floor</th><th>why</th><th>what would change it</th></tr>\n");
    for d in arm.decisions.iter().take(DECISIONS_SHOWN) {
        let floor = d.floor.map_or_else(|| "none".into(), |f| f.to_string());
        let (why, change) = (escape(&d.reason), escape(&d.would_change));
        let _ = writeln!(out, "<tr><td class=\"n\">{:.1} s</td><td class=\"n\">{floor}</td><td>{why}</td><td>{change}</td></tr>", d.at_s);
    }
    out.push_str("</table></div>\n");
    if arm.decisions.len() > DECISIONS_SHOWN {
        let _ = writeln!(out, "<p class=\"meta\">and {} more, in the JSON.</p>", arm.decisions.len() - DECISIONS_SHOWN);
    }
}

fn copies(doc: &Document, out: &mut String) {
    let c = &doc.copies;
    out.push_str("<h2>Account of the copies</h2>\n<div class=\"scroll\"><table>\n<tr><th>what</th><th class=\"n\">copies</th></tr>\n");
    let mut row = |label: &str, n: u64| {
        let _ = writeln!(out, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(label), words::thousands(n));
    };
    row("eligible", c.eligible);
    row("completed", c.completed);
    for (reason, &n) in &c.dropped {
        row(&format!("not made or not finished: {reason}"), n);
    }
    let verdict = if c.closes() {
        "The account closes: every eligible copy is completed or dropped for a named reason."
    } else {
        "The account does not close."
    };
    let _ = writeln!(out, "</table></div>\n<p class=\"meta\">{verdict}</p>");
}

fn method(doc: &Document) -> String {
    let r = &doc.reactive;
    let how = format!(
        "Both arms get the same arrivals, mix and faults, one after the other, on this machine. Latency counts from the moment a request was meant to be sent. \
         A second is beyond the objective when over the three seconds that end with it more than {:.1} % of the requests (and at least five) were bad; such seconds less than six seconds apart are one violation. \
         The reactive scaler is the Kubernetes HPA's algorithm on processor use, target {:.0} % of {:.2} requested cores, all its periods {:.0} times shortened; it runs in both arms. A new replica takes {:.1} s to start. {} \
         Replica-seconds count from the start of a process to its end; the shadow's are weighted by its size. Lead is the onset of a violation minus the first floor raise or alarm after the fault began.",
        (1.0 - doc.objective.target_ratio) * 100.0,
        r.target_utilisation * 100.0,
        doc.target.cpu_cores,
        r.time_scale,
        r.replica_start_s,
        doc.target.how,
    );
    format!("<h2>How this was measured</h2>\n<p>{}</p>\n", escape(&how))
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;

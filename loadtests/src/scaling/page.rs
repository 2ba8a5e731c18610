//! The page: a plot and a table a world, the rules in words. One file, nothing loaded from elsewhere.

use crate::scaling::plot;
use crate::scaling::summary::{Block, Row};
use crate::scaling::table;
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}table{border-collapse:collapse;\
font-variant-numeric:tabular-nums}td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}\
svg{max-width:100%;height:auto}.default{font-weight:600}";
const RULES: &str = "Every policy is put into the same simulated world with the same requests; the large dot is the setting that it has when nobody tunes it. A request is bad when it \
is slower than the objective's threshold or fails for good. Avoidable is what is left after subtracting the bad requests of a run with far too many replicas. Replicas count from when a pod is asked for, \
and the shadow counts with its size. A lead is the time from a policy's asking for more than the autoscaler at 70 % does until that one is beyond the objective; 90 % intervals are \
bootstrapped over seeds.";

/// The page. The error is for people.
pub fn page(blocks: &[Block], how: &str) -> Result<String, String> {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Scalers compared</title>\
         <style>{STYLE}</style>\n<h1>Scalers compared at what they cost</h1>\n<p>{RULES}</p>\n<p>{}</p>\n",
        escaped(how)
    );
    for block in blocks {
        write!(out, "<h2>{} under {}</h2>\n{}\n", escaped(&block.scenario), escaped(&block.load), plot::svg(block)?)
            .map_err(|e| e.to_string())?;
        out.push_str("<ul>");
        block.verdicts.iter().for_each(|v| out.push_str(&format!("<li>{}</li>", escaped(&table::verdict(v)))));
        out.push_str("</ul>\n<table><tr><th>policy</th><th>setting</th><th>avoidable bad, %</th><th>replicas</th><th>violations</th><th>warned of</th><th>lead, s</th><th>false alarms a day</th></tr>\n");
        block.rows.iter().for_each(|r| out.push_str(&line(r)));
        out.push_str("</table>\n");
    }
    out.push_str("</html>\n");
    Ok(out)
}

fn line(row: &Row) -> String {
    let class = if row.default { " class=\"default\"" } else { "" };
    let maybe = |x: Option<f64>, scale: f64| x.map_or("–".into(), |x| format!("{:.0}", x * scale));
    format!(
        "<tr{class}><td>{}</td><td>{}</td><td>{:.3} ({:.3} to {:.3})</td><td>{:.2}</td><td>{:.1}</td><td>{} %</td><td>{}</td><td>{:.1}</td></tr>\n",
        escaped(&row.policy),
        row.setting,
        100.0 * row.avoidable.mean,
        100.0 * row.avoidable.low,
        100.0 * row.avoidable.high,
        row.replicas.mean,
        row.violations,
        maybe(row.warned, 100.0),
        maybe(row.lead_s, 1.0),
        row.false_alarms_per_day,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::record::Run;
    use crate::scaling::summary::blocks;

    #[test]
    fn the_page_has_a_plot_a_world_and_no_markup_from_names() {
        let run = |policy: &str, bad, replicas| Run {
            load: "<b>".into(),
            scenario: "s".into(),
            policy: policy.into(),
            setting: 0.7,
            requests: 1_000,
            bad,
            mean_replicas: replicas,
            ..Run::default()
        };
        let page = page(&blocks(&[run("hpa", 10, 5.0), run("keda", 1, 7.0)]), "x & y").unwrap();
        assert_eq!(page.matches("<svg").count(), 1);
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>") && page.contains("x &amp; y"));
    }
}

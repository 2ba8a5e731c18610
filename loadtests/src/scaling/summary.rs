//! What the runs amount to: per scenario, load, policy and setting the means over seeds, the front, and policies at equal quality.
//!
//! Pure.

use crate::scaling::bootstrap::{Estimate, mean};
use crate::scaling::observers::{Watched, walk_forward};
use crate::scaling::portfolio::Kind;
use crate::scaling::record::Run;
use serde::Serialize;

/// Ratios below this cannot be told from nothing.
pub const LEAST_RATIO: f64 = 1e-5;

/// One setting of one policy, over seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The policy's name.
    pub policy: String,
    /// Value of its parameter.
    pub setting: f64,
    /// Whether that is what it has when nobody tunes it.
    pub default: bool,
    /// Avoidable bad requests over requests.
    pub avoidable: Estimate,
    /// Mean replicas, shadow counted.
    pub replicas: Estimate,
    /// Violations a run.
    pub violations: f64,
    /// Share of the control's violations that were warned of, and the median lead of those.
    pub warned: Option<f64>,
    /// Median lead in seconds.
    pub lead_s: Option<f64>,
    /// A day.
    pub false_alarms_per_day: f64,
    /// At one false alarm a day at most: how many times the control's count makes an alarm, the share of violations warned of, the median
    /// lead less the start of a pod. None when even the strictest alarm is false more often, or nothing was to be warned of.
    pub usable: Option<(f64, f64, Option<f64>)>,
    /// What was warned of while nothing was changed, by thresholds from the seeds before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<Watched>,
    /// Mean held-out operational loss of each forecaster inside.
    pub members: Vec<(String, f64)>,
    /// What the first seed's run says of its shadow.
    pub shadow_verdict: String,
    /// Seconds a run in which it said that more replicas would not help.
    pub cannot_help_s: f64,
    /// A run.
    pub actions: f64,
    /// Whether no other setting of the policy is better in both.
    pub front: bool,
}

/// One world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// The load's name.
    pub load: String,
    /// The scenario's name.
    pub scenario: String,
    /// Bad requests over requests that no scaling avoids.
    pub unavoidable: f64,
    /// Settings, by policy, in order.
    pub rows: Vec<Row>,
    /// Foreshadow as it ships against others, in words and numbers.
    pub verdicts: Vec<Verdict>,
}

/// Foreshadow at its default against another policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Against what.
    pub against: String,
    /// Its avoidable bad requests over theirs, with both as they come.
    pub bad_ratio: Option<f64>,
    /// Its replicas over theirs.
    pub cost_ratio: Option<f64>,
    /// Its replicas over those that the other needs for the same avoidable bad requests, tuned for this world; None when it never reaches them.
    pub cost_at_equal_quality: Option<f64>,
}

/// Summarises runs, in their order.
pub fn blocks(runs: &[Run]) -> Vec<Block> {
    let mut worlds: Vec<(&str, &str)> = Vec::new();
    for run in runs {
        if !worlds.contains(&(&run.load, &run.scenario)) {
            worlds.push((&run.load, &run.scenario));
        }
    }
    worlds.into_iter().map(|(load, scenario)| block(load, scenario, runs)).collect()
}

fn block(load: &str, scenario: &str, runs: &[Run]) -> Block {
    let own: Vec<&Run> = runs.iter().filter(|r| r.load == load && r.scenario == scenario).collect();
    let mut rows: Vec<Row> = Vec::new();
    for run in &own {
        if !rows.iter().any(|r| r.policy == run.policy && r.setting == run.setting) {
            rows.push(row(&own, &run.policy, run.setting));
        }
    }
    for i in 0..rows.len() {
        rows[i].front = !rows.iter().any(|r| r.policy == rows[i].policy && dominates(r, &rows[i]));
    }
    let sums = own.iter().fold((0, 0), |s, r| (s.0 + r.unavoidable_bad, s.1 + r.requests));
    let verdicts = [Kind::Hpa, Kind::Keda, Kind::Phpa, Kind::Oracle].iter().filter_map(|k| verdict(&rows, *k)).collect();
    Block { load: load.into(), scenario: scenario.into(), unavoidable: sums.0 as f64 / sums.1.max(1) as f64, rows, verdicts }
}

fn dominates(a: &Row, b: &Row) -> bool {
    let (x, y) = ((a.avoidable.mean, a.replicas.mean), (b.avoidable.mean, b.replicas.mean));
    x.0 <= y.0 && x.1 <= y.1 && x != y
}

fn row(runs: &[&Run], policy: &str, setting: f64) -> Row {
    let own: Vec<&Run> = runs.iter().filter(|r| r.policy == policy && r.setting == setting).copied().collect();
    let over = |f: &dyn Fn(&Run) -> f64| mean(&own.iter().map(|r| f(r)).collect::<Vec<_>>());
    let mut leads: Vec<f64> = own.iter().flat_map(|r| r.leads_s.iter().copied()).collect();
    leads.sort_by(f64::total_cmp);
    let dangers: usize = own.iter().map(|r| r.control_violations).sum();
    Row {
        policy: policy.into(),
        setting,
        default: Kind::parse(policy).is_some_and(|k| (k.default_setting() - setting).abs() < 1e-9),
        avoidable: over(&Run::avoidable_ratio),
        replicas: over(&|r| r.mean_replicas),
        violations: over(&|r| r.violations as f64).mean,
        warned: (dangers > 0).then(|| leads.len() as f64 / dangers as f64),
        lead_s: leads.get(leads.len() / 2).copied(),
        false_alarms_per_day: over(&|r| r.false_alarms_per_day).mean,
        usable: usable(&own, dangers),
        watched: walk_forward(&own),
        members: members(&own),
        shadow_verdict: own.first().map(|r| r.shadow_verdict.clone()).unwrap_or_default(),
        cannot_help_s: over(&|r| r.cannot_help_s).mean,
        actions: over(&|r| r.actions as f64).mean,
        front: false,
    }
}

/// The mildest alarm that is false at most once a day.
fn usable(runs: &[&Run], dangers: usize) -> Option<(f64, f64, Option<f64>)> {
    let first = runs.first().filter(|_| dangers > 0)?;
    first.warnings.iter().enumerate().find_map(|(i, w)| {
        let false_alarms: f64 = runs.iter().filter_map(|r| r.warnings.get(i)).map(|w| w.false_alarms_per_day).sum();
        if false_alarms > runs.len() as f64 {
            return None;
        }
        let mut leads: Vec<f64> = runs.iter().filter_map(|r| r.warnings.get(i)).flat_map(|w| w.leads_s.iter().copied()).collect();
        leads.sort_by(f64::total_cmp);
        let median = leads.get(leads.len() / 2).map(|l| l - first.start_s);
        Some((w.factor, leads.len() as f64 / dangers as f64, median))
    })
}

fn members(runs: &[&Run]) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64, f64)> = Vec::new();
    for (name, loss) in runs.iter().flat_map(|r| &r.members) {
        match sums.iter_mut().find(|s| s.0 == *name) {
            Some(s) => (s.1, s.2) = (s.1 + loss, s.2 + 1.0),
            None => sums.push((name.clone(), *loss, 1.0)),
        }
    }
    sums.into_iter().map(|(name, sum, n)| (name, sum / n)).collect()
}

fn verdict(rows: &[Row], against: Kind) -> Option<Verdict> {
    let ours = rows.iter().find(|r| r.policy == Kind::Foreshadow.name() && r.default)?;
    let theirs: Vec<&Row> = rows.iter().filter(|r| r.policy == against.name()).collect();
    let usual = theirs.iter().find(|r| r.default);
    let equal = replicas_for(&theirs, ours.avoidable.mean);
    (!theirs.is_empty()).then(|| Verdict {
        against: against.name().into(),
        bad_ratio: usual.map(|u| ours.avoidable.mean.max(LEAST_RATIO) / u.avoidable.mean.max(LEAST_RATIO)),
        cost_ratio: usual.map(|u| ours.replicas.mean / u.replicas.mean),
        cost_at_equal_quality: equal.map(|e| ours.replicas.mean / e),
    })
}

/// Replicas with which a policy's front reaches a ratio of avoidable bad requests; straight in the ratio's logarithm between settings. None when
/// it does not get that good; its cheapest setting when that is already better.
fn replicas_for(rows: &[&Row], avoidable: f64) -> Option<f64> {
    let mut front: Vec<(f64, f64)> =
        rows.iter().filter(|r| r.front).map(|r| (r.avoidable.mean.max(LEAST_RATIO).ln(), r.replicas.mean)).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = avoidable.max(LEAST_RATIO).ln();
    let (best, worst) = (front.first()?, front.last()?);
    if wanted < best.0 - 1e-9 {
        return None;
    }
    if wanted >= worst.0 {
        return Some(worst.1);
    }
    let pair = front.windows(2).find(|w| w[0].0 <= wanted && wanted <= w[1].0)?;
    let part = (wanted - pair[0].0) / (pair[1].0 - pair[0].0).max(1e-12);
    Some(pair[0].1 + part * (pair[1].1 - pair[0].1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(policy: &str, setting: f64, bad: u64, replicas: f64) -> Run {
        Run {
            load: "l".into(),
            scenario: "s".into(),
            policy: policy.into(),
            setting,
            requests: 100_000,
            bad: bad + 100,
            unavoidable_bad: 100,
            mean_replicas: replicas,
            ..Run::default()
        }
    }

    #[test]
    fn policies_are_compared_at_equal_quality() {
        let ours = Kind::Foreshadow.default_setting();
        let runs =
            [run("hpa", 0.7, 1_000, 10.0), run("hpa", 0.5, 10, 20.0), run("hpa", 0.6, 1_200, 12.0), run("foreshadow", ours, 100, 9.0)];
        let blocks = blocks(&runs);
        let block = &blocks[0];
        assert!((block.unavoidable - 0.001).abs() < 1e-9);
        assert_eq!(block.rows.iter().map(|r| r.front).collect::<Vec<_>>(), [true, true, false, true]);
        let v = &block.verdicts[0];
        assert!((v.bad_ratio.unwrap() - 0.1).abs() < 1e-9 && (v.cost_ratio.unwrap() - 0.9).abs() < 1e-9);
        assert!((v.cost_at_equal_quality.unwrap() - 0.6).abs() < 1e-9, "{v:?}");
    }

    #[test]
    fn quality_that_is_never_reached_has_no_price() {
        let runs = [run("hpa", 0.7, 1_000, 10.0), run("foreshadow", Kind::Foreshadow.default_setting(), 1, 9.0)];
        assert_eq!(blocks(&runs)[0].verdicts[0].cost_at_equal_quality, None);
    }
}

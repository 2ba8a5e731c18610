//! When production was beyond the objective, and how long before that a policy had moved.
//!
//! Pure. A second is *beyond the objective* when over the window that ends with it more than `1 - target` of the requests, and at least as many
//! as chance would rarely give, were bad, and it had bad requests itself; such seconds less than a quiet gap apart are one violation. An *alarm* of a policy is a time in
//! which it asks for more replicas than the control does at that moment; alarms less than a minute apart are one. A lead is the control's
//! onset minus the beginning of the alarm that stands then, if that is within what is called a warning. Control and policy have the same seed,
//! so the control shows what would have happened.

use crate::sim::outcome::Point;

/// How violations and warnings are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Length of the sliding count in seconds.
    pub window_s: f64,
    /// Violations closer than this are one.
    pub quiet_s: f64,
    /// An alarm older than this is no warning.
    pub longest_lead_s: f64,
    /// Share of requests that must be good.
    pub target_ratio: f64,
}

impl Rule {
    /// For runs at the pace of a cluster.
    pub fn cluster(target_ratio: f64) -> Self {
        Self { window_s: 15.0, quiet_s: 60.0, longest_lead_s: 900.0, target_ratio }
    }

    /// For the time-compressed demonstration.
    pub fn demo(target_ratio: f64) -> Self {
        Self { window_s: 3.0, quiet_s: 6.0, longest_lead_s: 60.0, target_ratio }
    }
}

/// Alarms closer than this many quiet gaps are one.
const MERGE: f64 = 1.0;
/// Fewer bad requests than this are never a violation.
const LEAST_BAD: f64 = 5.0;

/// A time beyond the objective or an alarm: from, to, in seconds.
pub type Span = (f64, f64);

/// Times beyond the objective, in seconds since the first point.
pub fn violations(points: &[Point], step_s: f64, rule: &Rule) -> Vec<Span> {
    let window = ((rule.window_s / step_s).round() as usize).max(1);
    let (mut requests, mut bad) = (0u64, 0u64);
    let mut spans: Vec<Span> = Vec::new();
    for (i, p) in points.iter().enumerate() {
        requests += u64::from(p.requests);
        bad += u64::from(p.bad);
        if let Some(gone) = i.checked_sub(window).and_then(|j| points.get(j)) {
            requests -= u64::from(gone.requests);
            bad -= u64::from(gone.bad);
        }
        let tolerated = (1.0 - rule.target_ratio) * requests as f64;
        if p.bad > 0 && bad as f64 >= LEAST_BAD && bad as f64 > tolerated + 2.0 * tolerated.sqrt() {
            extend(&mut spans, i as f64 * step_s, step_s, rule.quiet_s);
        }
    }
    spans
}

fn extend(spans: &mut Vec<Span>, at_s: f64, step_s: f64, gap_s: f64) {
    match spans.last_mut().filter(|s| at_s - s.1 < gap_s) {
        Some(span) => span.1 = at_s + step_s,
        None => spans.push((at_s, at_s + step_s)),
    }
}

/// Times in which the policy asks for more than `factor` times what the control asks for.
pub fn alarms(policy: &[Point], control: &[Point], factor: f64, step_s: f64, rule: &Rule) -> Vec<Span> {
    standing(policy.iter().zip(control).map(|(p, c)| f64::from(p.desired) > factor * f64::from(c.desired)), step_s, rule)
}

/// Times in which an alarm stands, given for every step.
pub fn standing(stands: impl Iterator<Item = bool>, step_s: f64, rule: &Rule) -> Vec<Span> {
    let mut spans = Vec::new();
    for (i, _) in stands.enumerate().filter(|s| s.1) {
        extend(&mut spans, i as f64 * step_s, step_s, MERGE * rule.quiet_s);
    }
    spans
}

/// Leads before the control's violations (those without a warning are left out), and the alarms that nothing followed.
pub fn leads(alarms: &[Span], onsets: &[Span], rule: &Rule) -> (Vec<f64>, usize) {
    let lead = |onset: &Span| {
        let standing = alarms.iter().rev().find(|a| a.0 <= onset.0 && a.1 + rule.quiet_s >= onset.0)?;
        Some(onset.0 - standing.0).filter(|l| *l <= rule.longest_lead_s)
    };
    let followed = |a: &&Span| onsets.iter().any(|o| o.1 >= a.0 && o.0 <= a.1 + rule.longest_lead_s);
    (onsets.iter().filter_map(lead).collect(), alarms.len() - alarms.iter().filter(followed).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { window_s: 3.0, quiet_s: 6.0, longest_lead_s: 60.0, target_ratio: 0.99 };

    fn points(bad: &[usize], more: std::ops::Range<usize>) -> Vec<Point> {
        (0..60)
            .map(|i| Point {
                requests: 100,
                bad: if bad.contains(&i) { 20 } else { 0 },
                desired: if more.contains(&i) { 5 } else { 4 },
                ..Point::default()
            })
            .collect()
    }

    #[test]
    fn bad_seconds_close_together_are_one_violation() {
        assert_eq!(violations(&points(&[20, 21, 25, 40], 0..0), 1.0, &RULE), [(20.0, 26.0), (40.0, 41.0)]);
        assert!(violations(&points(&[], 0..0), 1.0, &RULE).is_empty());
    }

    #[test]
    fn leads_count_from_the_standing_alarm() {
        let control = points(&[30, 50], 0..0);
        let raised = alarms(&points(&[], 18..33), &control, 1.0, 1.0, &RULE);
        assert_eq!(raised, [(18.0, 33.0)]);
        let onsets = violations(&control, 1.0, &RULE);
        assert_eq!(leads(&raised, &onsets, &RULE), (vec![12.0], 0));
        assert_eq!(leads(&[(1.0, 2.0)], &[], &RULE), (vec![], 1));
    }
}

//! The cheapest configuration that carries a load: replicas times a measured configuration (processor, memory, bandwidth, class), priced.
//!
//! Pure arithmetic over what was measured: each profile that the shadow ran gives the capacity of one configuration, with doubt. A
//! choice keeps forecast load under capacity at the quantile asked for, differs from what runs now along one axis only, and
//! says why in words and numbers. Called by whoever holds a price list. Promises: never fewer replicas than the reactive path asks for,
//! nothing smaller on stale data, nothing at all without a measured capacity. Not here: how capacity is measured, how a choice is carried out.

use crate::capacity::grid::LogEstimate;

/// Replicas considered at most, whatever the bounds say.
const MOST_REPLICAS: u32 = 10_000;

/// One configuration of a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Instance class, e.g. `standard`.
    pub class: String,
    /// Cores of one replica.
    pub cores: f64,
    /// Memory of one replica in bytes.
    pub memory_bytes: f64,
    /// Network bandwidth of one replica that is paid for, in bits per second; 0 where it is not part of the bill.
    pub bandwidth_bps: f64,
    /// ln of the requests per second that one replica takes within the objective; None: never measured.
    pub capacity: Option<LogEstimate>,
}

/// What replicas cost, in any one currency per hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// A core.
    pub core: f64,
    /// 2^30 bytes of memory.
    pub gibibyte: f64,
    /// 10^9 bits per second of bandwidth.
    pub gigabit: f64,
    /// Factor on processor and memory for a class; a class that is not listed cannot be bought.
    pub classes: Vec<(String, f64)>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Mean and standard deviation of the logarithm of the load to come, in requests per second.
    pub load: (f64, f64),
    /// Standard normal deviate of how sure the choice is to be.
    pub risk_z: f64,
    /// Share of capacity that may be used.
    pub headroom: f64,
    /// Fewest replicas: the larger of the bound and what the reactive path asks for.
    pub least: u32,
    /// Most replicas.
    pub most: u32,
    /// Replicas added at once, at most.
    pub step_up: u32,
    /// A change of configuration must save this share of the cost.
    pub saving: f64,
    /// Data are old or missing.
    pub stale: bool,
}

/// What is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Index of the configuration.
    pub configuration: usize,
    /// Replicas of it.
    pub replicas: u32,
    /// Price per hour of all of them; None when the class has no price.
    pub price: Option<f64>,
    /// Why, in words and numbers.
    pub reason: String,
}

impl Prices {
    /// Price of one replica per hour; None when its class has none or a number makes no sense.
    pub fn of(&self, c: &Configuration) -> Option<f64> {
        let factor = self.classes.iter().find(|(class, _)| *class == c.class)?.1;
        let machine = self.core * c.cores + self.gibibyte * c.memory_bytes / f64::from(1u32 << 30);
        let price = factor * machine + self.gigabit * c.bandwidth_bps / 1e9;
        (price.is_finite() && price > 0.0).then_some(price)
    }
}

impl Demand {
    /// Replicas of a capacity that carry the load at the quantile asked for.
    fn replicas(&self, capacity: LogEstimate) -> Option<u32> {
        let sd = self.load.1.hypot(capacity.sd);
        let need = (self.load.0 - capacity.mean + self.risk_z * sd).exp() / self.headroom;
        let most = self.most.min(MOST_REPLICAS);
        (need.is_finite() && need <= f64::from(most)).then(|| (need.ceil() as u32).max(self.least).max(1)).filter(|n| *n <= most)
    }
}

/// Axes along which two configurations differ.
fn axes(a: &Configuration, b: &Configuration) -> Vec<&'static str> {
    let differs = |x: f64, y: f64| (x - y).abs() > 1e-9 * x.abs().max(y.abs());
    let all = [
        ("class", a.class != b.class),
        ("cores", differs(a.cores, b.cores)),
        ("memory", differs(a.memory_bytes, b.memory_bytes)),
        ("bandwidth", differs(a.bandwidth_bps, b.bandwidth_bps)),
    ];
    all.into_iter().filter(|axis| axis.1).map(|axis| axis.0).collect()
}

/// The cheapest choice one axis away at most from `now` (index of the running configuration, replicas of it).
/// None when `now.0` is not among the configurations.
pub fn choose(configurations: &[Configuration], prices: &Prices, now: (usize, u32), demand: &Demand) -> Option<Choice> {
    let running = configurations.get(now.0)?;
    let price = |c: &Configuration, n: u32| prices.of(c).map(|p| p * f64::from(n));
    let stay = |replicas: u32, reason: String| Choice { configuration: now.0, replicas, price: price(running, replicas), reason };
    let Some(capacity) = running.capacity else {
        return Some(stay(
            now.1.max(demand.least),
            "what the running configuration takes was not measured: nothing but the reactive path counts".into(),
        ));
    };
    let wanted = demand.replicas(capacity);
    let reach = now.1.saturating_add(demand.step_up.max(1)).max(demand.least);
    let same = wanted.unwrap_or(demand.most.max(demand.least)).min(reach);
    if demand.stale {
        return Some(stay(now.1.max(demand.least), format!("numbers are missing or old: {} replicas stay", now.1)));
    }
    // Not more of what runs and another configuration at once: one axis a step, so that what follows can be told apart.
    if same > now.1 || wanted.is_none() {
        return Some(stay(same, format!("{} replicas do not hold the load to come: {same} of {:.0} rps each", now.1, capacity.median())));
    }
    let base = price(running, same);
    let others = configurations.iter().enumerate().filter_map(|(i, c)| {
        let axis = match axes(running, c)[..] {
            [axis] => axis,
            _ => return None,
        };
        let n = demand.replicas(c.capacity?)?;
        Some((i, axis, n, price(c, n)?))
    });
    let best = others.min_by(|a, b| a.3.total_cmp(&b.3));
    match (best, base) {
        (Some((i, axis, n, cost)), Some(base)) if cost < (1.0 - demand.saving) * base => {
            let each = configurations[i].capacity.map_or(0.0, |c| c.median());
            let reason = format!(
                "other {axis}: {n} replicas of {each:.0} rps at {cost:.2} an hour instead of {same} of {:.0} rps at {base:.2}",
                capacity.median()
            );
            Some(Choice { configuration: i, replicas: n, price: Some(cost), reason })
        }
        _ => Some(stay(
            same,
            format!(
                "{same} replicas of {:.0} rps each; no other measured configuration saves {:.0} %",
                capacity.median(),
                100.0 * demand.saving
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(class: &str, cores: f64, rps: Option<f64>) -> Configuration {
        let capacity = rps.map(|c| LogEstimate { mean: c.ln(), sd: 0.0 });
        Configuration { class: class.into(), cores, memory_bytes: f64::from(1u32 << 30), bandwidth_bps: 0.0, capacity }
    }

    fn prices() -> Prices {
        Prices { core: 1.0, gibibyte: 0.1, gigabit: 1.0, classes: vec![("standard".into(), 1.0), ("spot".into(), 0.4)] }
    }

    fn demand(rps: f64) -> Demand {
        Demand { load: (rps.ln(), 0.0), risk_z: 0.5, headroom: 1.0, least: 2, most: 20, step_up: 3, saving: 0.1, stale: false }
    }

    #[test]
    fn the_cheaper_size_wins_when_it_saves_enough() {
        let all = [configuration("standard", 1.0, Some(100.0)), configuration("standard", 2.0, Some(300.0))];
        let choice = choose(&all, &prices(), (0, 9), &demand(890.0)).expect("running");
        assert_eq!((choice.configuration, choice.replicas), (1, 3), "{}", choice.reason);
        assert!(choice.reason.contains("cores"), "{}", choice.reason);
        let dear = Demand { saving: 0.5, ..demand(890.0) };
        assert_eq!(choose(&all, &prices(), (0, 9), &dear).expect("running").configuration, 0);
    }

    #[test]
    fn bandwidth_that_is_not_needed_is_given_back() {
        let with = |gigabits: f64, rps: f64| Configuration { bandwidth_bps: gigabits * 1e9, ..configuration("standard", 1.0, Some(rps)) };
        let all = [with(1.0, 100.0), with(0.2, 99.0), with(0.05, 20.0)];
        let choice = choose(&all, &prices(), (0, 9), &demand(880.0)).expect("running");
        assert_eq!((choice.configuration, choice.replicas), (1, 9), "{}", choice.reason);
        assert!(choice.reason.contains("bandwidth"), "{}", choice.reason);
    }

    #[test]
    fn one_axis_at_a_time_and_only_what_was_measured_and_priced() {
        let all = [
            configuration("standard", 1.0, Some(100.0)),
            configuration("spot", 2.0, Some(300.0)),
            configuration("standard", 4.0, None),
            configuration("unpriced", 1.0, Some(1e3)),
        ];
        assert_eq!(choose(&all, &prices(), (0, 9), &demand(890.0)).expect("running").configuration, 0);
        assert_eq!(choose(&all, &prices(), (9, 9), &demand(890.0)), None);
    }

    #[test]
    fn steps_are_bounded_and_the_reactive_path_is_never_undercut() {
        let all = [configuration("standard", 1.0, Some(100.0))];
        let replicas = |now: u32, d: &Demand| choose(&all, &prices(), (0, now), d).expect("running").replicas;
        assert_eq!(replicas(4, &demand(890.0)), 7);
        assert_eq!(replicas(4, &demand(1e6)), 7);
        assert_eq!(replicas(9, &Demand { least: 8, ..demand(10.0) }), 8);
    }

    #[test]
    fn old_numbers_make_nothing_smaller() {
        let all = [configuration("standard", 1.0, Some(100.0))];
        let stale = Demand { stale: true, ..demand(10.0) };
        assert_eq!(choose(&all, &prices(), (0, 9), &stale).expect("running").replicas, 9);
        let unknown = [configuration("standard", 1.0, None)];
        assert_eq!(choose(&unknown, &prices(), (0, 9), &demand(10.0)).expect("running").replicas, 9);
    }
}

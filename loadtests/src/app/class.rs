//! Request classes of the sample application and what each costs.
//!
//! Called by the handlers and by whoever plans a request mix. Pure. Not here: faults, which multiply these costs.

use serde::{Deserialize, Serialize};

/// How expensive a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Half the usual hold.
    Cheap,
    /// The usual hold.
    #[default]
    Normal,
    /// About twice the usual hold, hardly spread: it is late only when it had to queue.
    Costly,
}

impl Class {
    /// Every class, cheapest first.
    pub const ALL: [Self; 3] = [Self::Cheap, Self::Normal, Self::Costly];

    /// Shares of the classes in the ordinary mix, in the order of [`Class::ALL`]; the mean I/O factor is within 1 % of 1.
    pub const ORDINARY_MIX: [f64; 3] = [0.2, 0.7, 0.1];

    /// Name on the wire (`?class=` and the request header).
    pub fn name(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Normal => "normal",
            Self::Costly => "costly",
        }
    }

    /// The reverse of [`Class::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Place in [`Class::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Mean I/O wait as a multiple of the mean configured.
    pub fn io_factor(self) -> f64 {
        [0.5, 1.0, 1.9][self.index()]
    }

    /// Sigma of the logarithm of the I/O wait.
    pub fn io_sigma(self) -> f64 {
        [0.40, 0.30, 0.12][self.index()]
    }

    /// Processor work as a multiple of the work configured.
    pub fn cpu_factor(self) -> f64 {
        [0.6, 1.0, 1.5][self.index()]
    }

    /// Memory touched and held while the worker is held, as a multiple of the amount configured.
    pub fn memory_factor(self) -> f64 {
        [0.5, 1.0, 4.0][self.index()]
    }
}

/// The mix whose mean I/O time is `cost` times that of [`Class::ORDINARY_MIX`], made by giving the costly class a larger share of it and the
/// others what is left, in their usual proportion. `cost` is held to what the classes can reach (1.0 to about 1.9).
pub fn mix_of_cost(cost: f64) -> [f64; 3] {
    let [cheap, normal, costly] = Class::ORDINARY_MIX;
    let others = cheap + normal;
    let other_mean = (cheap * Class::Cheap.io_factor() + normal * Class::Normal.io_factor()) / others;
    let ordinary = other_mean * others + costly * Class::Costly.io_factor();
    let share = ((cost * ordinary - other_mean) / (Class::Costly.io_factor() - other_mean)).clamp(costly, 1.0);
    let left = (1.0 - share) / others;
    [cheap * left, normal * left, share]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mix: [f64; 3]) -> f64 {
        Class::ALL.iter().map(|c| mix[c.index()] * c.io_factor()).sum()
    }

    #[test]
    fn names_are_read_back() {
        assert!(Class::ALL.iter().all(|c| Class::parse(c.name()) == Some(*c)));
        assert_eq!(Class::parse("free"), None);
    }

    #[test]
    fn mixes_cost_what_they_say() {
        let ordinary = mean(Class::ORDINARY_MIX);
        assert!((ordinary - 1.0).abs() < 0.011, "{ordinary}");
        for cost in [1.0, 1.3, 1.7] {
            let mix = mix_of_cost(cost);
            assert!((mean(mix) / ordinary - cost).abs() < 1e-9);
            assert!((mix.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        assert_eq!(mix_of_cost(9.0), [0.0, 0.0, 1.0]);
        assert!((mix_of_cost(0.1)[2] - 0.1).abs() < 1e-9);
    }
}

//! What people should be told, and what forecasts cannot cure: judged each interval from what the brain knows.

use crate::capacity::Capacity;
use crate::math::Decayed;
use crate::series::Observation;

/// Intervals in a row before a slow dependency is believed.
const SURE: u32 = 3;
/// The usual is learned with this memory per interval.
const KEEP: f64 = 0.995;

/// Tells apart what more replicas cure from what they do not.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    usual_p50_ms: Decayed,
    usual_shadow_rps: Decayed,
    slow: u32,
}

impl Watch {
    /// Takes an interval; answers why more replicas would not help, if so: production and shadow slow at once, however little the shadow gets.
    pub fn cannot_help(&mut self, seen: &Observation, capacity: &Capacity, tolerated: f64) -> Option<String> {
        let (Some(production), Some(shadow)) = (&seen.production, &seen.shadow) else {
            self.slow = 0;
            return None;
        };
        let p50 = production.quantile_ms(0.5)?;
        let usual = self.usual_p50_ms.get().unwrap_or(p50);
        let usual_rate = self.usual_shadow_rps.get().unwrap_or(0.0);
        let production_bad = production.bad_fraction().unwrap_or(0.0);
        let shadow_bad = shadow.bad_fraction().unwrap_or(0.0);
        let starved = shadow.arrival_rps < 0.35 * usual_rate && shadow.sojourn_ms() < 10.0 * usual;
        let both = starved && shadow_bad > 0.3 && production_bad > 5.0 * tolerated && p50 > 1.8 * usual;
        self.slow = if both { self.slow + 1 } else { self.slow.saturating_sub(1) };
        if !both && production_bad <= tolerated {
            self.usual_p50_ms.add(p50, KEEP);
            if let Some(edge) = capacity.shadow_edge().estimate() {
                self.usual_shadow_rps.add(edge.median(), KEEP);
            }
        }
        (self.slow >= SURE).then(|| {
            format!(
                "production and shadow are slow at once (median {p50:.0} ms, usually {usual:.0}), the shadow even at {:.0} rps where it usually takes {usual_rate:.0}: something both depend on, which more replicas do not cure",
                shadow.arrival_rps
            )
        })
    }

    /// Forgets what is usual: a new release.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

//! Desired replicas: who asked for how many, and until when. Pure.

use super::clock::Now;
use crate::local::api::Scale;
use std::time::Duration;

/// Bounds and the number wanted when nobody asks.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// When nobody asks.
    pub initial: u32,
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
}

#[derive(Debug, Clone)]
struct Floor {
    replicas: u32,
    expires: Duration,
    expires_unix_ms: u64,
    reason: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    bounds: Bounds,
    requested: Option<u32>,
    floor: Option<Floor>,
}

impl Wish {
    /// Nobody has asked yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, requested: None, floor: None }
    }

    /// The reactive scaler asks.
    pub fn request(&mut self, replicas: u32) {
        self.requested = Some(replicas);
    }

    /// Sets or renews the floor.
    pub fn raise_floor(&mut self, now: Now, replicas: u32, ttl: Duration, reason: String) {
        let expires_unix_ms = now.unix_ms.saturating_add(ttl.as_millis() as u64);
        self.floor = (replicas > 0).then_some(Floor { replicas, expires: now.mono.saturating_add(ttl), expires_unix_ms, reason });
    }

    /// Withdraws the floor.
    pub fn drop_floor(&mut self) {
        self.floor = None;
    }

    /// Lets a floor fall away whose time is over, whoever set it and whether or not it still lives.
    pub fn expire(&mut self, now: Now) {
        self.floor.take_if(|floor| now.mono >= floor.expires);
    }

    /// `clamp(max(requested or initial, floor), min, max)`.
    pub fn desired(&self) -> u32 {
        let asked = self.requested.unwrap_or(self.bounds.initial);
        asked.max(self.floor.as_ref().map_or(0, |floor| floor.replicas)).clamp(self.bounds.min, self.bounds.max)
    }

    /// As told to readers of the API.
    pub fn report(&self) -> Scale {
        let floor = self.floor.as_ref();
        Scale {
            desired: self.desired(),
            requested: self.requested,
            floor: floor.map_or(0, |f| f.replicas),
            floor_expires_unix_ms: floor.map_or(0, |f| f.expires_unix_ms),
            floor_reason: floor.map_or_else(String::new, |f| f.reason.clone()),
            min: self.bounds.min,
            max: self.bounds.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish::new(Bounds { initial: 3, min: 2, max: 6 })
    }

    #[test]
    fn desired_follows_the_larger_wish_within_bounds() {
        let mut w = wish();
        assert_eq!(w.desired(), 3);
        w.request(1);
        assert_eq!(w.desired(), 2, "never below the least");
        w.raise_floor(Now::at_s(0.0), 5, Duration::from_secs(10), "why".into());
        assert_eq!(w.desired(), 5, "a floor lifts what the scaler asks for");
        w.request(9);
        assert_eq!(w.desired(), 6, "never above the most");
        w.drop_floor();
        w.request(4);
        assert_eq!(w.desired(), 4, "a floor that is gone lowers nothing");
    }

    #[test]
    fn a_floor_expires_by_itself_and_is_prolonged_by_renewal() {
        let mut w = wish();
        w.raise_floor(Now::at_s(0.0), 5, Duration::from_secs(10), "first".into());
        w.expire(Now::at_s(9.9));
        assert_eq!((w.desired(), w.report().floor_expires_unix_ms), (5, Now::at_s(10.0).unix_ms));
        w.raise_floor(Now::at_s(9.9), 5, Duration::from_secs(10), "renewed".into());
        w.expire(Now::at_s(19.8));
        assert_eq!((w.desired(), w.report().floor_reason.as_str()), (5, "renewed"));
        w.expire(Now::at_s(19.9));
        assert_eq!((w.desired(), w.report().floor), (3, 0));
    }
}

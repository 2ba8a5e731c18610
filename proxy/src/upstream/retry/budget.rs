//! How many retries of a cluster may be under way at once: a number, or a share of the requests under way (a retry budget).

use crate::config::model::RetryLimit;
use std::cell::Cell;
use std::rc::Rc;

/// Retries of one cluster in one worker.
#[derive(Debug, Default)]
pub struct Retries(Rc<Cell<u32>>);

/// One retry under way; over when dropped.
#[derive(Debug)]
pub struct Permit(Rc<Cell<u32>>);

impl Retries {
    /// Counts one more, if there may be; `active` requests are under way.
    pub fn permit(&self, limit: RetryLimit, active: u32) -> Option<Permit> {
        let most = match limit {
            RetryLimit::AtOnce(most) => most,
            RetryLimit::Budget { percent, least } => least.max((f64::from(active) * percent / 100.0) as u32),
        };
        if self.0.get() >= most {
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Permit(self.0.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_at_once_are_bounded() {
        let retries = Retries::default();
        let one = retries.permit(RetryLimit::AtOnce(1), 0).unwrap();
        assert!(retries.permit(RetryLimit::AtOnce(1), 100).is_none());
        let budget = RetryLimit::Budget { percent: 20.0, least: 1 };
        assert!(retries.permit(budget, 5).is_none());
        let two = retries.permit(budget, 10).unwrap();
        assert!(retries.permit(budget, 14).is_none());
        drop((one, two));
        assert!(retries.permit(RetryLimit::AtOnce(1), 0).is_some() && retries.permit(RetryLimit::AtOnce(0), 0).is_none());
    }
}

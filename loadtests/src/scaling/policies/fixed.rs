//! Always the same number of replicas: measures what no scaling removes.

use crate::sim::{Policy, View, Want};

/// Always so many.
#[derive(Debug, Clone, Copy)]
pub struct Fixed(pub u32);

impl Policy for Fixed {
    fn decide(&mut self, _: &View<'_>) -> Want {
        Want { replicas: self.0, ..Want::default() }
    }
}

//! Adds up what workers say of themselves.
//!
//! Which fields are sums is said once, in `sums`, where every field has to be named: a new one does not compile before somebody has decided.

use crate::stats::mean_of_known;
use foreshadow_snapshot::{
    ClusterSnapshot, DownstreamSnapshot, LatencyHistogram, ListenerSnapshot, MirrorSnapshot, RouteSnapshot, Snapshot,
};
use std::collections::BTreeMap;

/// Shapes of requests in a snapshot.
const SHAPES: usize = 64;

/// What parts of can be added up.
trait Sum {
    fn take(&mut self, part: &Self);
}

impl Sum for u64 {
    fn take(&mut self, part: &Self) {
        *self += part;
    }
}

impl Sum for f64 {
    fn take(&mut self, part: &Self) {
        *self += part;
    }
}

impl Sum for [u64; 5] {
    fn take(&mut self, part: &Self) {
        self.iter_mut().zip(part).for_each(|(all, mine)| *all += mine);
    }
}

impl Sum for BTreeMap<String, u64> {
    fn take(&mut self, part: &Self) {
        part.iter().for_each(|(name, n)| *self.entry(name.clone()).or_default() += n);
    }
}

impl Sum for LatencyHistogram {
    fn take(&mut self, part: &Self) {
        // One shape everywhere: adding cannot fail.
        let _ = self.add(&**part);
    }
}

macro_rules! sums {
    ($part:ident: $($sum:ident)*, not $($other:ident)*) => {
        impl Sum for $part {
            fn take(&mut self, part: &Self) {
                let Self { $($sum,)* $($other: _,)* } = part;
                $(self.$sum.take($sum);)*
            }
        }
    };
}

sums!(ClusterSnapshot: requests responses own_responses in_flight failures events total_us first_byte_us connect_us bytes_sent bytes_received
    tcp_rtt_us, not name role rtt_us endpoints endpoints_total endpoints_ejected);
sums!(MirrorSnapshot: eligible_requests eligible completed in_flight dropped buffered_bytes status_match status_mismatch body_match
    body_mismatch slower_us faster_us represented,
    not policy cluster runtime_key fraction fraction_source fraction_expires_unix_ms inclusion_probability);
sums!(RouteSnapshot: requests responses failures total_us first_byte_us, not cluster route);
sums!(ListenerSnapshot: events, not name address);
sums!(DownstreamSnapshot: requests connections connections_resting connections_total refused events responses access_log_written
    access_log_dropped, not);

/// Adds a worker's part: same configuration, same order; a part made just before a reload may lack or have entries, hence by name.
pub(super) fn add(sum: &mut Snapshot, part: &Snapshot) {
    for mine in &part.clusters {
        if let Some(all) = sum.clusters.iter_mut().find(|c| c.name == mine.name) {
            all.take(mine);
            all.rtt_us = mean_of_known(all.rtt_us, mine.rtt_us);
        }
    }
    for mine in &part.mirrors {
        if let Some(all) = sum.mirrors.iter_mut().find(|m| m.policy == mine.policy) {
            all.take(mine);
        }
    }
    for mine in &part.routes {
        sum.route(&mine.cluster, &mine.route).take(mine);
    }
    for mine in &part.listeners {
        if let Some(all) = sum.listeners.iter_mut().find(|l| l.name == mine.name) {
            all.take(mine);
        }
    }
    sum.downstream.take(&part.downstream);
    for shape in &part.recent_requests {
        if sum.recent_requests.len() < SHAPES && !sum.recent_requests.contains(shape) {
            sum.recent_requests.push(shape.clone());
        }
    }
}

//! Adds up what workers say of themselves.

use crate::stats::mean_of_known;
use foreshadow_snapshot::{ClusterSnapshot, DownstreamSnapshot, MirrorSnapshot, Snapshot};
use std::collections::BTreeMap;

/// Shapes of requests in a snapshot.
const SHAPES: usize = 64;

/// Adds a worker's part: same configuration, same order; a part made just before a reload may lack or have entries, hence by name.
pub(super) fn add(sum: &mut Snapshot, part: &Snapshot) {
    for mine in &part.clusters {
        if let Some(all) = sum.clusters.iter_mut().find(|c| c.name == mine.name) {
            cluster(all, mine);
        }
    }
    for mine in &part.mirrors {
        if let Some(all) = sum.mirrors.iter_mut().find(|m| m.policy == mine.policy) {
            mirror(all, mine);
        }
    }
    for mine in &part.routes {
        let all = sum.route(&mine.cluster, &mine.route);
        all.requests += mine.requests;
        all.failures += mine.failures;
        each(&mut all.responses, &mine.responses);
        // One shape everywhere: adding cannot fail.
        let _ = all.total_us.add(&*mine.total_us);
        let _ = all.first_byte_us.add(&*mine.first_byte_us);
    }
    for mine in &part.listeners {
        if let Some(all) = sum.listeners.iter_mut().find(|l| l.name == mine.name) {
            named(&mut all.events, &mine.events);
        }
    }
    downstream(&mut sum.downstream, &part.downstream);
    for shape in &part.recent_requests {
        if sum.recent_requests.len() < SHAPES && !sum.recent_requests.contains(shape) {
            sum.recent_requests.push(shape.clone());
        }
    }
}

fn each(all: &mut [u64; 5], mine: &[u64; 5]) {
    all.iter_mut().zip(mine).for_each(|(a, m)| *a += m);
}

fn named(all: &mut BTreeMap<String, u64>, mine: &BTreeMap<String, u64>) {
    mine.iter().for_each(|(name, n)| *all.entry(name.clone()).or_default() += n);
}

fn cluster(all: &mut ClusterSnapshot, mine: &ClusterSnapshot) {
    all.requests += mine.requests;
    each(&mut all.responses, &mine.responses);
    each(&mut all.own_responses, &mine.own_responses);
    all.in_flight += mine.in_flight;
    named(&mut all.failures, &mine.failures);
    named(&mut all.events, &mine.events);
    // One shape everywhere: adding cannot fail.
    let _ = all.total_us.add(&*mine.total_us);
    let _ = all.first_byte_us.add(&*mine.first_byte_us);
    let _ = all.connect_us.add(&*mine.connect_us);
    all.bytes_sent += mine.bytes_sent;
    all.bytes_received += mine.bytes_received;
    let _ = all.tcp_rtt_us.add(&*mine.tcp_rtt_us);
    all.rtt_us = mean_of_known(all.rtt_us, mine.rtt_us);
}

fn mirror(all: &mut MirrorSnapshot, mine: &MirrorSnapshot) {
    all.eligible_requests += mine.eligible_requests;
    all.eligible += mine.eligible;
    all.completed += mine.completed;
    all.in_flight += mine.in_flight;
    all.buffered_bytes += mine.buffered_bytes;
    all.status_match += mine.status_match;
    all.status_mismatch += mine.status_mismatch;
    all.body_match += mine.body_match;
    all.body_mismatch += mine.body_mismatch;
    all.represented += mine.represented;
    // One shape everywhere: adding cannot fail.
    let _ = all.slower_us.add(&*mine.slower_us);
    let _ = all.faster_us.add(&*mine.faster_us);
    named(&mut all.dropped, &mine.dropped);
}

fn downstream(all: &mut DownstreamSnapshot, mine: &DownstreamSnapshot) {
    each(&mut all.responses, &mine.responses);
    all.requests += mine.requests;
    all.connections += mine.connections;
    all.connections_resting += mine.connections_resting;
    all.connections_total += mine.connections_total;
    all.access_log_written += mine.access_log_written;
    all.access_log_dropped += mine.access_log_dropped;
    named(&mut all.refused, &mine.refused);
    named(&mut all.events, &mine.events);
}

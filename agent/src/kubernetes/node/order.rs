//! Which agent holds which workload: highest random weight (rendezvous) hashing over the live agents.
//!
//! Asked by the holder's loop. Pure. Promises: every agent computes the same order from the same names; workloads spread evenly; an agent
//! that comes or goes moves only the workloads that it gains or leaves. The Lease decides, this only says who goes first.

/// Agents in the order in which they should hold `workload`, first choice first.
pub fn order<'a>(workload: &str, agents: &'a [String]) -> Vec<&'a str> {
    let mut weighed: Vec<(u64, &str)> = agents.iter().map(|agent| (weight(workload, agent), agent.as_str())).collect();
    weighed.sort_by(|a, b| b.cmp(a));
    weighed.dedup();
    weighed.into_iter().map(|(_, agent)| agent).collect()
}

/// Place of `me` in that order; one that is not among the live agents comes last.
pub fn rank(workload: &str, agents: &[String], me: &str) -> usize {
    let mine = weight(workload, me);
    agents.iter().filter(|agent| agent.as_str() != me && (weight(workload, agent), agent.as_str()) > (mine, me)).count()
        + if agents.iter().any(|agent| agent == me) { 0 } else { agents.len() }
}

/// FNV-1a over both names, then a finalizer that spreads every bit (as in SplitMix64): neighbours' names differ in one digit.
fn weight(workload: &str, agent: &str) -> u64 {
    let bytes = workload.bytes().chain([0]).chain(agent.bytes());
    let mut h = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("agent-{i}")).collect()
    }

    #[test]
    fn rank_is_the_place_in_the_order() {
        let all = agents(7);
        for workload in ["a/b", "shop/web", "x/y"] {
            for (place, agent) in order(workload, &all).into_iter().enumerate() {
                assert_eq!(rank(workload, &all, agent), place);
            }
        }
        assert!(rank("a/b", &all, "stranger") >= 7, "whoever is not live comes last");
        assert_eq!(rank("a/b", &[], "only"), 0);
    }

    #[test]
    fn five_hundred_workloads_spread_over_fifty_agents() {
        let all = agents(50);
        let mut held = [0_usize; 50];
        for i in 0..500 {
            let first = order(&format!("team-{}/app-{i}", i % 17), &all)[0];
            held[first["agent-".len()..].parse::<usize>().unwrap()] += 1;
        }
        // Binomial with mean 10: above 24 or an agent without any is far out in the tail.
        assert!(held.iter().all(|n| (1..=24).contains(n)), "{held:?}");
    }

    #[test]
    fn an_agent_that_goes_moves_only_its_own_workloads() {
        let (before, mut after) = (agents(10), agents(10));
        after.remove(3);
        for i in 0..300 {
            let workload = format!("ns/app-{i}");
            let (old, new) = (order(&workload, &before)[0], order(&workload, &after)[0]);
            assert!(old == new || old == "agent-3", "{workload} moved from {old} to {new}");
        }
    }
}

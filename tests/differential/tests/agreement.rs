//! The whole suite against the real Envoy: nothing differs but what is documented. Without Envoy it is left out, visibly, except on CI.

use foreshadow_differential::play::Play;
use foreshadow_differential::programs::{self, Programs};
use foreshadow_differential::report;
use foreshadow_differential::run::Verdict;

/// How often what differs is played again before it counts.
const AGAIN: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_differs_from_envoy_but_what_is_documented() {
    if programs::envoy().is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI compares with the real Envoy: install it or set ENVOY_BIN");
        eprintln!("left out: no Envoy on PATH or at $ENVOY_BIN");
        return;
    }
    let programs = Programs::prepare().unwrap();
    let mut outcomes = Play::chosen(&[]).unwrap().run(&programs).await.unwrap();
    let mut differ = differing(&outcomes);
    // Scenes with a clock in them may fail where a machine stands still for a moment: those are played again, fewer at a time.
    for _ in 0..AGAIN {
        if differ.is_empty() {
            break;
        }
        let again = Play::chosen(&differ).unwrap().run(&programs).await.unwrap();
        outcomes.retain(|o| !differ.iter().any(|name| name == o.name));
        differ = differing(&again);
        eprintln!("played again:\n{}", report::text(&again));
        outcomes.extend(again);
    }
    assert!(differ.is_empty(), "different from Envoy: {differ:?}");
    println!("{}", report::summary(&outcomes));
    for mended in outcomes.iter().filter(|o| o.stale) {
        println!("{}: stands in the table of deviations, and is the same", mended.name);
    }
}

fn differing(outcomes: &[foreshadow_differential::run::Outcome]) -> Vec<String> {
    outcomes.iter().filter(|o| matches!(o.verdict, Verdict::Different)).map(|o| o.name.to_owned()).collect()
}

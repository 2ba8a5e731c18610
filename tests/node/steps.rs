//! The steps, in their order.

mod ground;
mod sidecar;

use crate::story::{Result, Story};

/// One step.
pub type Step = fn(&mut Story) -> Result;

/// All of them; a name says what holds when it passed.
pub fn all() -> Vec<(&'static str, Step)> {
    vec![
        ("the_sample_application_runs", ground::the_sample_application_runs),
        ("a_service_carries_requests_to_it", ground::a_service_carries_requests_to_it),
        ("names_are_resolved_in_pods", ground::names_are_resolved_in_pods),
        ("metrics_of_pods_are_served", ground::metrics_of_pods_are_served),
        ("a_resize_in_place_shows_in_the_control_group", ground::a_resize_in_place_shows_in_the_control_group),
        ("both_ways_of_taking_over_start", sidecar::both_ways_of_taking_over_start),
        ("a_named_port_carries_traffic_and_copies_arrive", sidecar::a_named_port_carries_traffic_and_copies_arrive),
        ("a_redirect_carries_traffic_and_copies_arrive", sidecar::a_redirect_carries_traffic_and_copies_arrive),
        ("prometheus_scrapes_the_sidecars", sidecar::prometheus_scrapes_the_sidecars),
        ("without_its_api_server_the_node_goes_on", ground::without_its_api_server_the_node_goes_on),
    ]
}
